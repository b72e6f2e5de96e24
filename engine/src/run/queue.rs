//! Takes runs off the queue: out of their jobs, timers and lanes, wherever they stand.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// What a run stood in.
pub(crate) struct Unqueued {
    pub(crate) run_id: Uuid,
    /// The attempts that its step has used.
    pub(crate) attempt: i16,
    /// When its timer was due; `None` for a job that was.
    pub(crate) due_at: Option<DateTime<Utc>>,
}

/// Takes runs off the queue. A job that a worker holds stays with it and does not come back from here, nor
/// does a run that waits for a signal without end. The caller holds the locks of the runs.
pub(crate) async fn leave(
    tx: &mut PgConnection,
    run_ids: &[Uuid],
) -> Result<Vec<Unqueued>, sqlx::Error> {
    sqlx::query_as!(
        Unqueued,
        r#"with queued as (
             delete from engine.jobs where run_id = any($1) and worker is null returning run_id, attempt
           ), timed as (
             delete from engine.timers where run_id = any($1) returning run_id, attempt, due_at
           ), laned as (
             delete from engine.lane_jobs where run_id = any($1) returning run_id, attempt, lane
           ), counted as (
             update engine.limits l set waiting = l.waiting - d.n
             from (select lane, count(*)::int as n from laned group by lane order by lane) d where l.id = d.lane
           )
           select run_id as "run_id!", attempt as "attempt!", null::timestamptz as due_at from queued
           union all select run_id, attempt, due_at from timed
           union all select run_id, attempt, null from laned"#,
        run_ids,
    )
    .fetch_all(tx)
    .await
}
