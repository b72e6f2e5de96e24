//! Claims ready jobs in batches, no more than the worker may hold, in the order of their passes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::claimed::Claimed;
use super::{Shared, StepJob, WorkerError, found};
use crate::clock;
use crate::run::Priority;

const BATCH: usize = 300;
/// How long ago the floor of a claim was served: beside a pinned snapshot, dead index entries below would
/// have to be read again by every claim.
const FLOOR: Duration = Duration::from_secs(5);
/// How often a claim looks below that floor, at the most.
const FULL_LOOK: Duration = Duration::from_secs(1);
/// A full look that took long is not repeated for so many times as long.
const FULL_LOOK_SHARE: u32 = 20;

/// Claims until told to stop.
pub(super) async fn run(
    shared: Arc<Shared>,
    ready: mpsc::Sender<StepJob>,
) -> Result<(), WorkerError> {
    let mut floor = Floor::default();
    let mut next_full_look = clock::started();
    loop {
        let room = claimable(&shared).await;
        let began = clock::started();
        let looks_at_all = began >= next_full_look;
        let lowest = if looks_at_all { i64::MIN } else { floor.lowest(began) };
        let claimed = found(claim(&shared, lowest, room).await)?;
        let count = claimed.len();
        if looks_at_all && count < room {
            next_full_look = clock::started() + FULL_LOOK.max(began.elapsed() * FULL_LOOK_SHARE);
        }
        if let Some(newest) = claimed.iter().map(|row| row.pass).max() {
            floor.served(began, newest);
        }
        for row in claimed {
            shared.leases.forget_permits(1);
            if ready.send(row.into()).await.is_err() {
                return Ok(());
            }
        }
        if count < room {
            let _woken =
                tokio::time::timeout(shared.worker.settings.poll, shared.wake.notified()).await;
        }
    }
}

/// Which passes were served when.
#[derive(Default)]
struct Floor {
    served: VecDeque<(Instant, i64)>,
    below: Option<i64>,
}

impl Floor {
    fn served(&mut self, at: Instant, newest: i64) {
        // A few entries a second are enough.
        let apart = Duration::from_millis(250);
        if self.served.back().is_none_or(|(last, _)| at.duration_since(*last) >= apart) {
            self.served.push_back((at, newest));
        }
    }

    /// The lowest pass that a ready job may have, but for those that a full look finds.
    fn lowest(&mut self, now: Instant) -> i64 {
        while let Some((at, pass)) = self.served.front().copied()
            && now.duration_since(at) >= FLOOR
        {
            self.below = self.below.max(Some(pass));
            self.served.pop_front();
        }
        let boost = i64::from(Priority::High.boost());
        self.below.map_or(i64::MIN, |pass| pass.saturating_sub(boost))
    }
}

/// How many jobs may be claimed, at least one; waits until a good part of a batch is free.
async fn claimable(shared: &Shared) -> usize {
    let wanted = BATCH.min(shared.worker.settings.leases / 4).max(1);
    let permits = u32::try_from(wanted).unwrap_or(u32::MAX);
    // Taken and put back at once: what the granter takes meanwhile is little beside a batch.
    drop(shared.leases.acquire_many(permits).await);
    shared.leases.available_permits().clamp(1, BATCH)
}

/// Claims, and tells all processes which pass is being served.
async fn claim(shared: &Shared, lowest: i64, limit: usize) -> Result<Vec<Claimed>, WorkerError> {
    let rows = sqlx::query_as!(
        Claimed,
        r#"with taken as (
             update engine.jobs j set worker = $1, attempt = j.attempt + 1, claimed_at = engine.now()
             where j.run_id = any(array(
               select run_id from engine.jobs where worker is null and pass >= $2 and queue = any($4)
                 and exists (select from engine.workers where id = $1)
               order by pass, run_id limit $3 for update skip locked))
             returning j.run_id, j.queue, j.step, j.iteration, j.attempt, j.crashes, j.boost, j.pass, j.claimed_at,
               j.granted is not null as granted
           ), served as materialized (
             select case when t.pass > s.last_value then setval('engine.served', t.pass) end
             from (select max(pass + boost) as pass from taken) t, engine.served s
           )
           select t.run_id, t.queue, t.step, t.iteration, t.attempt, t.crashes, t.boost, t.pass, t.claimed_at as "now!",
             t.granted as "granted!", r.customer_id, r.definition_id, r.subject_id, r.zone,
             r.state = 'live' as "live!", r.parent_id, r.root_id, r.depth, r.limit_keys, r.seq, r.inbox, r.data,
             r.observed, r.intent, r.next_at
           from taken t cross join served join engine.runs r on r.id = t.run_id
           order by t.pass, t.run_id"#,
        shared.id,
        lowest,
        i64::try_from(limit).unwrap_or(i64::MAX),
        &shared.queues,
    )
    .fetch_all(&shared.worker.queue)
    .await?;
    Ok(rows)
}
