//! Tasks: to-dos for people. Owns `tasks`.

use chrono::{DateTime, Utc};
use engine::clock;
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
