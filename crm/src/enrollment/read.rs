//! What people read of enrollments; the state comes from the run, and from its last words once that is forgotten.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

/// An enrollment with its run's state.
#[derive(Debug, Clone, PartialEq)]
pub struct Enrollment {
    /// Whose it is.
    pub customer_id: Uuid,
    /// Its id (`enr_…`), which is the run's (`run_…`).
    pub id: Uuid,
    /// The sequence.
    pub sequence_id: Uuid,
    /// The version that it follows.
    pub version: i32,
    /// Who.
    pub contact_id: Uuid,
    /// Through which mailbox.
    pub mailbox_id: Uuid,
    /// `ready running sleeping waiting paused held completed exited cancelled`.
    pub state: String,
    /// The step at which it stands or ended.
    pub step: String,
    /// When it goes on, where that is known.
    pub next_at: Option<DateTime<Utc>>,
    /// How it ended.
    pub exit_reason: Option<String>,
    /// Why it is held.
    pub hold_reason: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When its run last changed.
    pub updated_at: DateTime<Utc>,
}

/// Which enrollments to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this sequence.
    pub sequence_id: Option<Uuid>,
    /// Of this contact.
    pub contact_id: Option<Uuid>,
    /// In this state.
    pub state: Option<String>,
    /// Older than this one.
    pub before: Option<Uuid>,
}

/// An enrollment by id.
///
/// # Errors
/// What the statement returned.
pub async fn find(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Enrollment>, sqlx::Error> {
    sqlx::query_as!(
        Enrollment,
        r#"select e.customer_id, e.id, e.sequence_id, e.version, e.contact_id, e.mailbox_id,
             coalesce(s.state, e.ended_state) as "state!", coalesce(s.step, e.ended_step) as "step!", s.next_at,
             coalesce(s.exit_reason, e.ended_reason) as exit_reason, s.hold_reason, e.created_at,
             coalesce(s.changed_at, e.ended_at) as "updated_at!"
           from enrollments e left join engine.run_states s on s.run_id = e.id
           where e.customer_id = $1 and e.id = $2"#,
        customer_id,
        id,
    )
    .fetch_optional(db)
    .await
}

/// Enrollments, newest first, at most `limit` (bounded to 200).
///
/// # Errors
/// What the statement returned.
pub async fn list(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    filter: &Filter,
    limit: u32,
) -> Result<Vec<Enrollment>, sqlx::Error> {
    sqlx::query_as!(
        Enrollment,
        r#"select e.customer_id, e.id, e.sequence_id, e.version, e.contact_id, e.mailbox_id,
             coalesce(s.state, e.ended_state) as "state!", coalesce(s.step, e.ended_step) as "step!", s.next_at,
             coalesce(s.exit_reason, e.ended_reason) as exit_reason, s.hold_reason, e.created_at,
             coalesce(s.changed_at, e.ended_at) as "updated_at!"
           from enrollments e left join engine.run_states s on s.run_id = e.id
           where e.customer_id = $1 and ($2::uuid is null or e.sequence_id = $2)
             and ($3::uuid is null or e.contact_id = $3) and ($4::text is null or coalesce(s.state, e.ended_state) = $4)
             and ($5::uuid is null or e.id < $5)
           order by e.id desc limit $6"#,
        customer_id,
        filter.sequence_id,
        filter.contact_id,
        filter.state,
        filter.before,
        i64::from(limit.min(200)),
    )
    .fetch_all(db)
    .await
}
