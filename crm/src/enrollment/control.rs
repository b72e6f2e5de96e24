//! What a person does to an enrollment, with the event that tells of it.

use engine::definition_store::Definitions;
use engine::outbox::{self, NewEvent};
use engine::run::{self, Action, Change, State};
use engine::topic::Topic;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::event::enrollment::{self as event, Changed, Enrollment, Publishing};
use crate::own_run;

/// How many runs are acted on by one statement.
const AT_ONCE: usize = 500;

/// Does the same to some runs, at most a few hundred at once, and publishes what changed; one answer for each, in their
/// order. Runs that are no enrollments change alike, and the record of one that ends ends with it.
///
/// # Errors
/// What the statements returned; the caller rolls back.
pub async fn act(
    tx: &mut PgConnection,
    definitions: &Definitions,
    customer_id: Uuid,
    ids: &[Uuid],
    action: &Action,
    actor: &str,
) -> Result<Vec<Change>, sqlx::Error> {
    let changes = run::act(&mut *tx, definitions, customer_id, ids, action, actor).await?;
    let states = ids.iter().zip(&changes).filter_map(|(id, change)| match change {
        Change::Changed { to, .. } => Some((*id, *to)),
        Change::Unchanged(_) | Change::Refused(_) | Change::NotFound => None,
    });
    let states: Vec<(Uuid, State)> = states.collect();
    own_run::end_records(&mut *tx, customer_id, &states).await?;
    let told = ids.iter().zip(&changes).filter_map(|(id, change)| told(*id, change, action, actor));
    let told = told.collect();
    tell(tx, customer_id, told).await?;
    Ok(changes)
}

/// Ends all open enrollments of a contact.
///
/// # Errors
/// What the statements returned; the caller rolls back.
pub async fn end_all(
    tx: &mut PgConnection,
    definitions: &Definitions,
    customer_id: Uuid,
    contact_id: Uuid,
    actor: &str,
) -> Result<(), sqlx::Error> {
    let open = sqlx::query_scalar!(
        "select e.id from enrollments e join engine.runs r on r.id = e.id
         where e.customer_id = $1 and e.contact_id = $2 and r.ended_at is null order by e.id",
        customer_id,
        contact_id,
    )
    .fetch_all(&mut *tx)
    .await?;
    for ids in open.chunks(AT_ONCE) {
        act(tx, definitions, customer_id, ids, &Action::Cancel, actor).await?;
    }
    Ok(())
}

/// Ends all open runs about a contact, in whatever state they are and of whatever workflow; gives how many. A step that
/// is running finishes, but can no longer act.
///
/// # Errors
/// What the statements returned; the caller rolls back.
pub(crate) async fn exit_all(
    tx: &mut PgConnection,
    customer_id: Uuid,
    contact_id: Uuid,
    reason: &str,
    actor: &str,
) -> Result<usize, sqlx::Error> {
    let ended = run::exit_all(&mut *tx, customer_id, contact_id, reason, actor).await?;
    let change = || event::Change {
        step: None,
        reason: Some(reason.to_owned()),
        actor: Some(actor.to_owned()),
    };
    let told = |id: &Uuid| Told { id: *id, what: What::Changed(&event::EXITED, change()) };
    for ids in ended.chunks(AT_ONCE) {
        tell(&mut *tx, customer_id, ids.iter().map(told).collect()).await?;
    }
    Ok(ended.len())
}

/// All enrollments of contacts, which are runs; why those ended that did not exit is forgotten.
pub(crate) async fn erase(
    tx: &mut PgConnection,
    customer_id: Uuid,
    contacts: &[Uuid],
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "update enrollments set ended_reason = case when ended_state = 'exited' then ended_reason end
         where customer_id = $1 and contact_id = any($2) returning id",
        customer_id,
        contacts,
    )
    .fetch_all(tx)
    .await
}

/// What to tell of a change; of one that leaves the enrollment live, nothing.
fn told(id: Uuid, change: &Change, action: &Action, actor: &str) -> Option<Told> {
    let Change::Changed { from, to } = change else { return None };
    let topic = match to {
        State::Live if *from == State::Live => return None,
        State::Live => &event::RESUMED,
        State::Paused if *from == State::Paused => return None,
        State::Paused => &event::PAUSED,
        State::Held => &event::HELD,
        State::Completed => &event::COMPLETED,
        State::Exited | State::Cancelled => &event::EXITED,
    };
    let reason = reason(action).map(str::to_owned);
    let change = event::Change { step: None, reason, actor: Some(actor.to_owned()) };
    Some(Told { id, what: What::Changed(topic, change) })
}

fn reason(action: &Action) -> Option<&'static str> {
    match action {
        Action::Pause | Action::Resume => None,
        Action::Cancel => Some("cancelled"),
        Action::Retry => Some("retried"),
        Action::Skip => Some("skipped"),
        Action::Jump { .. } => Some("jumped"),
        Action::Undo => Some("undone"),
    }
}

/// Something to tell of an enrollment.
pub(crate) struct Told {
    pub(crate) id: Uuid,
    pub(crate) what: What,
}

/// What is to tell.
pub(crate) enum What {
    /// It is another than before.
    Changed(&'static Topic<Changed>, event::Change),
    /// Its workflow says something.
    Published(Publishing),
}

impl What {
    /// The event of it, of an enrollment of which it is the one of this sequence.
    fn event(&self, customer_id: Uuid, enrollment: Enrollment, sequence: i64) -> NewEvent {
        match self {
            Self::Changed(topic, change) => {
                let (key, change) = (enrollment.key(), change.clone());
                topic.event(customer_id, key, sequence, &Changed { enrollment, change })
            }
            Self::Published(publishing) => {
                event::publish(customer_id, sequence, enrollment, publishing)
            }
        }
    }
}

/// Publishes events of enrollments of one customer, in order, each under the lock of its row.
pub(crate) async fn tell(
    tx: &mut PgConnection,
    customer_id: Uuid,
    told: Vec<Told>,
) -> Result<(), sqlx::Error> {
    if told.is_empty() {
        return Ok(());
    }
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
            let enrollment = Enrollment::of(row.id, row.contact_id, row.sequence_id);
            events.push(told.what.event(customer_id, enrollment, sequence));
        }
    }
    outbox::publish(tx, &events).await
}
