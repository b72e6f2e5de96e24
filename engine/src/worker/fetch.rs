//! Claims ready jobs in batches, no more than the worker may hold, in the order of their passes.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Executor, PgConnection};
use tokio::sync::mpsc;

use super::claimed::Claimed;
use super::pace::Pace;
use super::plans::Plans;
use super::{Shared, StepJob, WorkerError, found, measure};
use crate::clock;

const BATCH: usize = 300;
/// What part of the leases is kept for what is woken for.
const RESERVED: usize = 32;
/// How far below the last claimed job a claim begins to look: as far as it goes fast. Beside a pinned
/// snapshot, dead index entries below have to be read again by every claim.
const WIDEST: i64 = 50_000;
const NARROWEST: i64 = 2_000;
/// What a claim may take before the next one looks less far back.
const SLOW: Duration = Duration::from_millis(8);
/// How often somebody looks at everything.
const LOOK_BACK: Duration = Duration::from_millis(500);
/// How many jobs a look at everything takes.
const LOOKED_BACK: usize = 50;

/// Claims until told to stop.
pub(super) async fn run(
    shared: Arc<Shared>,
    ready: mpsc::Sender<StepJob>,
) -> Result<(), WorkerError> {
    let mut connection = claiming(&shared).await?;
    let served = sqlx::query_scalar!("select last_value from engine.served");
    let mut floor = Floor::at(served.fetch_one(&mut connection).await?);
    let mut plans = Plans::new();
    loop {
        let room = claimable(&shared).await;
        let began = clock::started();
        let claimed = found(claim(&mut connection, &shared, floor.lowest(), room).await)?;
        measure::claimed(&claimed, began.elapsed());
        floor.claimed(claimed.first().map(|row| row.pass), began.elapsed());
        plans.look(&mut connection, claimed.len(), began.elapsed()).await?;
        let count = claimed.len();
        if !hand_on(&shared, claimed, &ready).await {
            return Ok(());
        }
        if count < room {
            let _woken =
                tokio::time::timeout(shared.worker.settings.poll, shared.wake.notified()).await;
        }
    }
}

/// Claims what stands below the floor, such as what a long transaction queued; on a connection of its own,
/// because beside a pinned snapshot it takes seconds.
pub(super) async fn look_back(
    shared: Arc<Shared>,
    ready: mpsc::Sender<StepJob>,
) -> Result<(), WorkerError> {
    let mut connection = claiming(&shared).await?;
    let mut pace = Pace::new(LOOK_BACK);
    loop {
        let room = shared.room().min(LOOKED_BACK);
        let began = clock::started();
        if room > 0 {
            let claimed = found(claim(&mut connection, &shared, i64::MIN, room).await)?;
            measure::claimed(&claimed, began.elapsed());
            if !hand_on(&shared, claimed, &ready).await {
                return Ok(());
            }
        }
        pace.looked(began);
        tokio::time::sleep(pace.left()).await;
    }
}

/// A connection to claim on, whose commits don't wait for the disk: a claim that a crash of Postgres undoes has
/// led to nothing, because whatever a step does and is recorded after it waits for the disk, and the log
/// is written in order. The connection goes with the crash, and the incarnation with it, so that no claim of the
/// same lease follows.
async fn claiming(shared: &Shared) -> Result<PgConnection, WorkerError> {
    let mut connection = shared.worker.queue.acquire().await?.detach();
    connection.execute("set synchronous_commit = off").await?;
    Ok(connection)
}

/// Hands claimed jobs to the handlers; says whether those still take any.
pub(super) async fn hand_on(
    shared: &Shared,
    claimed: Vec<Claimed>,
    ready: &mpsc::Sender<StepJob>,
) -> bool {
    for row in claimed {
        shared.leases.forget_permits(1);
        shared.unbegun.forget_permits(1);
        if ready.send(row.into()).await.is_err() {
            return false;
        }
    }
    true
}

/// From which pass on a claim looks: what stands far below is left to the look back.
struct Floor {
    served: i64,
    margin: i64,
}

impl Floor {
    fn at(served: i64) -> Self {
        Self { served, margin: WIDEST }
    }

    fn lowest(&self) -> i64 {
        self.served.saturating_sub(self.margin)
    }

    /// A claim that began with this pass has taken so long.
    fn claimed(&mut self, first: Option<i64>, took: Duration) {
        self.served = first.map_or(self.served, |first| first.max(self.served));
        self.margin = if took > SLOW {
            NARROWEST.max(self.margin / 2)
        } else {
            WIDEST.min(self.margin + NARROWEST / 2)
        };
    }
}

/// How many jobs may be claimed, at least one; waits until a good part of a batch is free. What is woken for may
/// be due before all that waits here, such as the next step of a customer who has few: a few leases are kept for a
/// small claim at once.
async fn claimable(shared: &Shared) -> usize {
    let settings = &shared.worker.settings;
    let reserved = settings.leases / RESERVED;
    let wanted = BATCH.min(settings.unbegun());
    let permits = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    loop {
        // Taken and put back at once: what others take meanwhile is little beside a batch.
        let enough = async {
            drop(shared.leases.acquire_many(permits(wanted + reserved)).await);
            drop(shared.unbegun.acquire_many(permits(wanted)).await);
        };
        let most = tokio::select! {
            () = enough => shared.room().saturating_sub(reserved).min(BATCH),
            () = shared.wake.notified() => shared.room().min(reserved.max(1)),
        };
        if most > 0 {
            return most;
        }
    }
}

/// Claims, and tells all processes which pass is being served. A worker that was found dead and does not know
/// it yet claims nothing: of a job that it held before, it could not tell the old lease from the new one.
pub(super) async fn claim(
    connection: &mut PgConnection,
    shared: &Shared,
    lowest: i64,
    limit: usize,
) -> Result<Vec<Claimed>, WorkerError> {
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
    .fetch_all(connection)
    .await?;
    Ok(rows)
}
