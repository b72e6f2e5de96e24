//! What a file says of people who want no mail: they get none, whatever else becomes of their row.

use engine::signal::{self, NewSignal, Target};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::suppression::{self, NewSuppression, Reason, What};
use crate::unsubscription;
use crate::{contact, enrollment, inbound};

/// Who says so in histories and events.
const ACTOR: &str = "import";

/// Somebody who gets no mail.
pub(super) struct OptOut<'a> {
    pub(super) contact_id: Uuid,
    pub(super) email: &'a str,
    pub(super) reason: Reason,
}

/// What the people are to SalesOS from now on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Unsubscribed,
    Bounced,
}

impl OptOut<'_> {
    fn mark(&self) -> Mark {
        match self.reason {
            Reason::Bounced => Mark::Bounced,
            Reason::Unsubscribed | Reason::Complained | Reason::Manual | Reason::Erased => {
                Mark::Unsubscribed
            }
        }
    }
}

/// Ends what writes to them. Runs are locked before contacts, so this comes before any contact is changed.
pub(super) async fn end_runs(
    tx: &mut PgConnection,
    customer_id: Uuid,
    import_id: Uuid,
    people: &[OptOut<'_>],
) -> Result<(), sqlx::Error> {
    exit_all(&mut *tx, customer_id, people).await?;
    let bounced = people.iter().filter(|person| person.mark() == Mark::Bounced);
    let signals = bounced.map(|person| NewSignal {
        customer_id,
        target: Target::Subject(person.contact_id),
        name: inbound::BOUNCED.into(),
        key: format!("import/{import_id}/{}", person.contact_id),
        data: json!({}),
    });
    let signals: Vec<NewSignal> = signals.collect();
    signal::send(tx, &signals).await?;
    Ok(())
}

/// Suppresses their addresses, and says of the contacts why.
pub(super) async fn obey(
    tx: &mut PgConnection,
    customer_id: Uuid,
    people: &[OptOut<'_>],
) -> Result<(), sqlx::Error> {
    let of = |person: &OptOut<'_>| (person.email.to_owned(), person.reason);
    suppress(&mut *tx, customer_id, &people.iter().map(of).collect::<Vec<_>>()).await?;
    for person in people {
        match person.mark() {
            Mark::Unsubscribed => {
                let actor = Some(ACTOR);
                contact::mark_unsubscribed(tx, customer_id, person.contact_id, actor).await?;
            }
            Mark::Bounced => contact::mark_bounced(tx, customer_id, person.contact_id).await?,
        }
    }
    // An enrollment holds the contact's row until it commits: what it began while the row was waited for is seen now.
    exit_all(tx, customer_id, people).await
}

/// Suppresses addresses.
pub(super) async fn suppress(
    tx: &mut PgConnection,
    customer_id: Uuid,
    addresses: &[(String, Reason)],
) -> Result<(), sqlx::Error> {
    for some in addresses.chunks(suppression::MOST) {
        let entry = |(email, reason): &(String, Reason)| NewSuppression {
            what: What::Email(email.clone()),
            reason: *reason,
        };
        let entries: Vec<NewSuppression> = some.iter().map(entry).collect();
        suppression::add_all(&mut *tx, customer_id, &entries, ACTOR).await?;
    }
    Ok(())
}

async fn exit_all(
    tx: &mut PgConnection,
    customer_id: Uuid,
    people: &[OptOut<'_>],
) -> Result<(), sqlx::Error> {
    for person in people.iter().filter(|person| person.mark() == Mark::Unsubscribed) {
        let contact_id = person.contact_id;
        enrollment::exit_all(&mut *tx, customer_id, contact_id, unsubscription::SIGNAL, ACTOR)
            .await?;
    }
    Ok(())
}
