//! Which workers are alive, as an observer sees it. Changes nothing; the sweep is what finds the dead.

use sqlx::PgExecutor;

/// The workers that are alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alive {
    /// How many.
    pub workers: i64,
    /// Whether one of them claims from the queue that was asked for.
    pub serve: bool,
}

/// Counts the workers that are alive, by the rule by which the sweep finds the dead ones, and says whether one of them
/// claims from a queue; one of an older version does not say, and is taken to claim from all.
///
/// # Errors
/// Returns what the statement returned.
pub async fn alive(db: impl PgExecutor<'_>, queue: &str) -> Result<Alive, sqlx::Error> {
    sqlx::query_as!(
        Alive,
        r#"select count(*) as "workers!", coalesce(bool_or(queues is null or $1 = any(queues)), false) as "serve!"
           from engine.workers w
           where w.expires_at >= clock_timestamp()
             and (w.seen_at >= clock_timestamp() - interval '2 seconds' or exists (
               select from pg_locks k
               where k.locktype = 'advisory' and k.objsubid = 1
                 and k.classid = (w.id >> 32)::int::oid and k.objid = (w.id & 4294967295)::oid
                 and k.database = (select oid from pg_database where datname = current_database())))"#,
        queue,
    )
    .fetch_one(db)
    .await
}
