//! What a person does to an enrollment, with the event that tells of it.

use std::borrow::Cow;

use engine::id;
use engine::outbox::{self, NewEvent};
use engine::run::{self, Change};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

/// What a person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Stop where it stands; the remaining delay is kept.
    Pause,
    /// Go on after a pause.
    Resume,
    /// End.
    Cancel,
    /// Try a held step again.
    Retry,
}

/// Does it, and tells of it where something changed. Runs that are no enrollment change alike.
///
/// # Errors
/// What the statements returned; the caller rolls back.
pub async fn act(
    tx: &mut PgConnection,
    customer_id: Uuid,
    id: Uuid,
    action: Action,
    actor: &str,
) -> Result<Change, sqlx::Error> {
    let (change, topic, reason) = match action {
        Action::Pause => (run::pause(tx, customer_id, id, actor).await?, "enrollment.paused", None),
        Action::Resume => {
            (run::resume(tx, customer_id, id, actor).await?, "enrollment.resumed", None)
        }
        Action::Retry => {
            (run::retry(tx, customer_id, id, actor).await?, "enrollment.resumed", Some("retried"))
        }
        Action::Cancel => {
            (run::cancel(tx, customer_id, id, actor).await?, "enrollment.exited", Some("cancelled"))
        }
    };
    if change == Change::Changed {
        let told = Told {
            id,
            topic: Cow::Borrowed(topic),
            data: json!({ "reason": reason, "actor": actor }),
        };
        tell(tx, customer_id, vec![told]).await?;
    }
    Ok(change)
}

/// Something to tell of an enrollment.
pub(crate) struct Told {
    pub(crate) id: Uuid,
    pub(crate) topic: Cow<'static, str>,
    pub(crate) data: Value,
}

/// Publishes events of enrollments of one customer, in order, each under the lock of its row.
pub(crate) async fn tell(
    tx: &mut PgConnection,
    customer_id: Uuid,
    told: Vec<Told>,
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = told.iter().map(|told| told.id).collect();
    let rows = sqlx::query!(
        "with counted as (select id, count(*) as n from unnest($2::uuid[]) as t(id) group by id order by id)
         update enrollments e set event_sequence = e.event_sequence + c.n
         from counted c where e.customer_id = $1 and e.id = c.id
         returning e.id, e.contact_id, e.sequence_id, e.event_sequence, c.n",
        customer_id,
        &ids,
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut events = Vec::with_capacity(told.len());
    for row in rows {
        let first = row.event_sequence - row.n.unwrap_or_default() + 1;
        let of_row = told.iter().filter(|told| told.id == row.id);
        for (sequence, told) in (first..).zip(of_row) {
            let mut data = json!({
                "enrollment_id": id::show("enr", row.id),
                "contact_id": id::show("con", row.contact_id),
                "sequence_id": id::show("seq", row.sequence_id),
            });
            if let (Value::Object(data), Value::Object(more)) = (&mut data, &told.data) {
                data.extend(more.clone());
            }
            events.push(NewEvent {
                customer_id,
                topic: told.topic.clone(),
                key: id::show("enr", row.id),
                sequence,
                data,
            });
        }
    }
    outbox::publish(tx, &events).await
}
