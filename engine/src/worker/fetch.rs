//! Claims ready jobs in batches, no more than the worker may hold.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{Shared, StepJob, WorkerError};
use crate::clock;

const BATCH: usize = 300;
/// How far below the newest claimed job a claim begins to look, in microseconds: beside a pinned snapshot,
/// dead index entries below would have to be read again by every claim.
const FLOOR_MICROSECONDS: i64 = 5_000_000;
/// How often a claim looks below that floor.
const FULL_LOOK: Duration = Duration::from_secs(1);

/// Claims until told to stop.
pub(super) async fn run(
    shared: Arc<Shared>,
    ready: mpsc::Sender<StepJob>,
) -> Result<(), WorkerError> {
    let mut newest = i64::MIN;
    let mut full_look: Option<std::time::Instant> = None;
    loop {
        let room = claimable(&shared).await;
        let look_at_all = full_look.is_none_or(|at| at.elapsed() >= FULL_LOOK);
        let floor = if look_at_all { i64::MIN } else { newest.saturating_sub(FLOOR_MICROSECONDS) };
        let claimed = claim(&shared, floor, room).await?;
        if look_at_all && claimed.len() < room {
            full_look = Some(clock::started());
        }
        let found = claimed.len();
        for (pass, job) in claimed {
            newest = newest.max(pass);
            shared.leases.forget_permits(1);
            if ready.send(job).await.is_err() {
                return Ok(());
            }
        }
        if found < room {
            let _woken =
                tokio::time::timeout(shared.worker.settings.poll, shared.wake.notified()).await;
        }
    }
}

/// How many jobs may be claimed, at least one; waits until a good part of a batch is free.
async fn claimable(shared: &Shared) -> usize {
    let wanted = BATCH.min(shared.worker.settings.leases / 4).max(1);
    let permits = u32::try_from(wanted).unwrap_or(u32::MAX);
    // Taken and put back at once: only the fetcher takes permits, so what was free stays free.
    drop(shared.leases.acquire_many(permits).await);
    shared.leases.available_permits().min(BATCH)
}

async fn claim(
    shared: &Shared,
    floor: i64,
    limit: usize,
) -> Result<Vec<(i64, StepJob)>, WorkerError> {
    let rows = sqlx::query!(
        r#"with taken as (
             update engine.jobs j set worker = $1, attempt = j.attempt + 1, claimed_at = engine.now()
             where j.run_id = any(array(
               select run_id from engine.jobs where worker is null and pass >= $2
               order by pass, run_id limit $3 for update skip locked))
             returning j.run_id, j.step, j.iteration, j.attempt, j.crashes, j.pass, j.claimed_at
           )
           select t.run_id, t.step, t.iteration, t.attempt, t.crashes, t.pass, t.claimed_at as "now!",
             r.customer_id, r.definition_id, r.subject_id, r.zone, r.state = 'live' as "live!", r.inbox,
             r.data, r.observed, r.intent, r.next_at
           from taken t join engine.runs r on r.id = t.run_id
           order by t.pass, t.run_id"#,
        shared.id,
        floor,
        i64::try_from(limit).unwrap_or(i64::MAX),
    )
    .fetch_all(&shared.worker.queue)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let job = StepJob {
                run_id: row.run_id,
                customer_id: row.customer_id,
                definition_id: row.definition_id,
                subject_id: row.subject_id,
                zone: row.zone,
                live: row.live,
                step: row.step,
                iteration: row.iteration,
                attempt: row.attempt,
                crashes: row.crashes,
                inbox: row.inbox,
                data: row.data,
                observed: row.observed,
                intent: row.intent,
                now: row.now,
                next_at: row.next_at,
                in_a_row: 0,
            };
            (row.pass, job)
        })
        .collect())
}
