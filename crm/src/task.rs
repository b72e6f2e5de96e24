//! Tasks: to-dos for people. Owns `tasks`.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use engine::outbox::{self, NewEvent};
use engine::signal::{self, NewSignal, Target};
use engine::{clock, id};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

/// A to-do to write.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTask {
    /// Whose it is.
    pub customer_id: Uuid,
    /// With whom.
    pub contact_id: Uuid,
    /// For which enrollment, where for one.
    pub enrollment_id: Option<Uuid>,
    /// `call`, `linkedin`, or what the workflow calls it.
    pub kind: String,
    /// What to do.
    pub title: String,
    /// Until when.
    pub due_at: Option<DateTime<Utc>>,
    /// What caused it; the same cause writes it once.
    pub source: String,
}

/// Writes a to-do; `None` where its cause wrote one already.
///
/// # Errors
/// What the statement returned.
pub async fn create(tx: &mut PgConnection, new: &NewTask) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "insert into tasks (customer_id, id, contact_id, enrollment_id, kind, title, due_at, source, event_sequence)
         values ($1, $2, $3, (select id from enrollments where customer_id = $1 and id = $4), $5, $6, $7, $8, 1)
         on conflict (customer_id, source) do nothing returning id",
        new.customer_id,
        clock::new_id(),
        new.contact_id,
        new.enrollment_id,
        new.kind,
        new.title,
        new.due_at,
        new.source,
    )
    .fetch_optional(tx)
    .await
}

/// What became of the wish to finish a to-do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// It is done.
    Now,
    /// It was done already; its first outcome stays.
    Before,
    /// The customer has no such to-do.
    NotFound,
}

/// The signal, and the event, that tells of a finished to-do. The signal's `key` is the to-do's source, by
/// which a run waits for its own.
pub const COMPLETED: &str = "task.completed";

/// Finishes a to-do: `task.completed` goes out, and to the contact's runs.
///
/// # Errors
/// What the statements returned; the caller rolls back.
pub async fn complete(
    tx: &mut PgConnection,
    customer_id: Uuid,
    id: Uuid,
    outcome: Option<&str>,
    actor: &str,
) -> Result<Completion, sqlx::Error> {
    let done = sqlx::query!(
        "update tasks set status = 'done', outcome = $3, completed_at = engine.now(),
           event_sequence = event_sequence + 1
         where customer_id = $1 and id = $2 and status = 'open'
         returning contact_id, enrollment_id, title, source, event_sequence",
        customer_id,
        id,
        outcome,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(done) = done else { return missing(tx, customer_id, id).await };
    let task = id::show("tsk", id);
    let event = NewEvent {
        customer_id,
        topic: Cow::Borrowed(COMPLETED),
        key: task.clone(),
        sequence: done.event_sequence,
        data: json!({
            "task_id": task,
            "contact_id": id::show("con", done.contact_id),
            "enrollment_id": done.enrollment_id.map(|enrollment| id::show("enr", enrollment)),
            "title": done.title,
            "outcome": outcome,
            "actor": actor,
        }),
    };
    outbox::publish(tx, &[event]).await?;
    let signal = NewSignal {
        customer_id,
        target: Target::Subject(done.contact_id),
        name: COMPLETED.into(),
        key: task,
        data: json!({ "key": done.source, "outcome": outcome }),
    };
    signal::send(tx, &[signal]).await?;
    Ok(Completion::Now)
}

/// Why nothing was open under this id.
async fn missing(
    tx: &mut PgConnection,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Completion, sqlx::Error> {
    let there = sqlx::query_scalar!(
        r#"select exists (select from tasks where customer_id = $1 and id = $2) as "there!""#,
        customer_id,
        id,
    )
    .fetch_one(tx)
    .await?;
    Ok(if there { Completion::Before } else { Completion::NotFound })
}
