//! Lets go what has had its time: weeks of history and days of the outbox as a whole, signals, fires of schedules
//! and finished runs in bounded batches. All by the real clock.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use super::{Shared, WorkerError, lost};
use crate::fact::{RUN_FORGOTTEN, RunFact};
use crate::{schedule, transaction};

/// How often a worker looks.
const EVERY: Duration = Duration::from_secs(600);
/// The pause between two batches, so that what leaves never stands before what works.
const PAUSE: Duration = Duration::from_millis(50);
/// How many rows leave in one transaction.
const BATCH: i64 = 1_000;

/// How long what is over stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// History, by the week in which its run began; never while that run is open.
    pub history: Duration,
    /// Events, by the day on which they were written; never one that is not told yet.
    pub events: Duration,
    /// Signals, by which a second one of the same key is known.
    pub signals: Duration,
    /// Finished runs, counted from their end; `None` keeps them.
    pub runs: Option<Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 24 * 3_600);
        Self { history: days(365), events: days(7), signals: days(90), runs: None }
    }
}

/// Lets go until told to stop. Of several workers, each looks; they take turns by the rows' locks.
pub(super) async fn run(shared: Arc<Shared>) -> Result<(), WorkerError> {
    loop {
        match turn(&shared).await {
            Ok(()) => {}
            Err(error) if lost(&error) => return Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "what is over could not be let go; it is tried again")
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn turn(shared: &Shared) -> Result<(), sqlx::Error> {
    let retention = shared.worker.settings.retention;
    if let Some(after) = retention.runs {
        let mut behind = Uuid::nil();
        while let Some(last) = forget_runs(shared, after, behind).await? {
            behind = last;
            tokio::time::sleep(PAUSE).await;
        }
    }
    while drop_signals(shared, retention.signals).await? >= BATCH.unsigned_abs() {
        tokio::time::sleep(PAUSE).await;
    }
    while forget_fires(shared).await? {
        tokio::time::sleep(PAUSE).await;
    }
    let db = &shared.worker.db;
    let dropped = sqlx::query_scalar!(
        r#"select engine.drop_history(clock_timestamp() - make_interval(secs => $1)) as "dropped!""#,
        retention.history.as_secs_f64(),
    )
    .fetch_one(db)
    .await?;
    if dropped > 0 {
        tracing::info!(weeks = dropped, "dropped weeks of history");
    }
    let dropped = sqlx::query_scalar!(
        r#"select engine.drop_events(clock_timestamp() - make_interval(secs => $1)) as "dropped!""#,
        retention.events.as_secs_f64(),
    )
    .fetch_one(db)
    .await?;
    if dropped > 0 {
        tracing::info!(days = dropped, "dropped days of the outbox");
    }
    Ok(())
}

async fn drop_signals(shared: &Shared, after: Duration) -> Result<u64, sqlx::Error> {
    let dropped = sqlx::query!(
        "delete from engine.signals where id = any(array(
           select id from engine.signals
           where id < engine.first_uuid(clock_timestamp() - make_interval(secs => $1))
           order by id limit $2 for update skip locked))",
        after.as_secs_f64(),
        BATCH,
    )
    .execute(&shared.worker.db)
    .await?;
    Ok(dropped.rows_affected())
}

async fn forget_fires(shared: &Shared) -> Result<bool, sqlx::Error> {
    let mut tx = transaction::begin(&shared.worker.db).await?;
    let more = schedule::forget_fires(&mut tx).await?;
    tx.commit().await?;
    Ok(more)
}

/// Forgets a batch of finished runs; the domain keeps what it wants of them. Gives where to go on.
async fn forget_runs(
    shared: &Shared,
    after: Duration,
    behind: Uuid,
) -> Result<Option<Uuid>, sqlx::Error> {
    let mut tx = shared.worker.db.begin().await?;
    let rows = sqlx::query!(
        r#"with page as materialized (
             select id from engine.runs
             where id > $1 and id < engine.first_uuid(clock_timestamp() - make_interval(secs => $2))
             order by id limit $3
           ), over as (
             select r.id from page p join engine.runs r on r.id = p.id
             where r.ended_at < engine.now() - make_interval(secs => $2)
               and not exists (select from engine.endings e where e.run_id = r.id)
             order by r.id for update of r skip locked
           ), gone as (
             delete from engine.runs r using over o where r.id = o.id
             returning r.id, r.customer_id, r.root_id, r.subject_id, r.step, r.iteration, r.seq, r.state, r.reason,
               r.ended_at
           )
           select (select max(id::text)::uuid from page) as last, (select count(*) from page) as "page!",
             g.id as "id?", g.customer_id as "customer_id?", g.root_id, g.subject_id as "subject_id?", g.step as "step?",
             g.iteration as "iteration?", g.seq as "seq?", g.state as "state?", g.reason, g.ended_at
           from (select 1) as one left join gone g on true"#,
        behind,
        after.as_secs_f64(),
        BATCH,
    )
    .fetch_all(&mut *tx)
    .await?;
    let next = rows.first().and_then(|row| row.last.filter(|_| row.page == BATCH));
    let facts = rows.into_iter().filter_map(|row| {
        let (run_id, customer_id, at) = (row.id?, row.customer_id?, row.ended_at?);
        let data = json!({ "state": row.state, "reason": row.reason });
        let fact = RunFact {
            run_id,
            root_run_id: row.root_id.unwrap_or(run_id),
            customer_id,
            subject_id: row.subject_id?,
            step: row.step?,
            iteration: row.iteration?,
            seq: row.seq?,
            at,
            data,
        };
        Some((RUN_FORGOTTEN, fact))
    });
    let facts: Vec<_> = facts.collect();
    if !facts.is_empty() && shared.worker.writers.knows(RUN_FORGOTTEN) {
        shared.worker.writers.write(&mut tx, facts).await?;
    }
    tx.commit().await?;
    Ok(next)
}
