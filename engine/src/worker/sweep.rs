//! Takes back what dead workers held, and finds live runs that stand nowhere. All by the real clock.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::execute::SUSPECT_AFTER;
use super::{Shared, WorkerError};

const EVERY: Duration = Duration::from_secs(1);
/// After how many beats the live runs are looked through, one page at a time.
const LOOK_THROUGH: u64 = 10;
const PAGE: i64 = 1_000;

/// Sweeps until told to stop.
pub(super) async fn run(shared: Arc<Shared>) -> Result<(), WorkerError> {
    let mut beat = tokio::time::interval(EVERY);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut seen = Uuid::nil();
    for turn in 0_u64.. {
        beat.tick().await;
        if take_back(&shared).await? > 0 {
            shared.wake.notify_one();
        }
        if turn % LOOK_THROUGH == 0 {
            seen = look_through(&shared, seen).await?;
        }
        if turn % 3_600 == 0 {
            sqlx::query!("select from engine.make_partitions()").execute(&shared.worker.db).await?;
        }
    }
    Ok(())
}

/// Gives the jobs of dead workers back. Every job that a dead worker held counts the death; from the third
/// on only those that it had begun do, so that what waited beside a deadly job is not held for it. A lost
/// lock alone is not death: a restart of Postgres frees all of them, and the workers come back within the
/// two seconds.
async fn take_back(shared: &Shared) -> Result<i64, WorkerError> {
    let back = sqlx::query_scalar!(
        r#"with dead as (
             delete from engine.workers w
             where w.expires_at < clock_timestamp()
               or (w.seen_at < clock_timestamp() - interval '2 seconds' and not exists (
                 select from pg_locks k
                 where k.locktype = 'advisory' and k.objsubid = 1
                   and k.classid = (w.id >> 32)::int::oid and k.objid = (w.id & 4294967295)::oid
                   and k.database = (select oid from pg_database where datname = current_database())))
             returning id
           ), orphaned as (
             select id from dead
             union
             select j.worker from engine.jobs j
             where j.worker is not null and not exists (select from engine.workers w where w.id = j.worker)
           ), back as (
             update engine.jobs j set worker = null, claimed_at = null, begun = false,
               crashes = j.crashes + (j.crashes < $1 or j.begun)::int,
               attempt = greatest(j.attempt - 1, 0), pass = engine.pass()
             from orphaned o where j.worker = o.id
             returning j.run_id
           )
           select count(*) as "back!" from back"#,
        SUSPECT_AFTER,
    )
    .fetch_one(&shared.worker.queue)
    .await?;
    if back > 0 {
        tracing::info!(jobs = back, "took back what dead workers held");
    }
    Ok(back)
}

/// Gives live runs that should have a job or a timer, and have neither, a job; one that comes too early is
/// put back by its run's `next_at`. Returns where to go on.
async fn look_through(shared: &Shared, after: Uuid) -> Result<Uuid, WorkerError> {
    let page = sqlx::query!(
        r#"with page as (
             select id from engine.runs where ended_at is null and id > $1 order by id limit $2
           ), lost as (
             select r.id, r.customer_id, r.queue, r.step, r.iteration, r.attempt
             from page p join engine.runs r on r.id = p.id
             where r.state = 'live' and r.place in ('job', 'timer')
               and not exists (select from engine.jobs j where j.run_id = r.id)
               and not exists (select from engine.timers t where t.run_id = r.id)
             for update of r skip locked
           ), found as (
             insert into engine.jobs (run_id, customer_id, queue, step, iteration, attempt, pass)
             select id, customer_id, queue, step, iteration, attempt, engine.pass() from lost
             on conflict (run_id) do nothing
             returning run_id
           )
           select (select count(*) from page) as "looked_at!", (select max(id::text)::uuid from page) as "last",
             (select count(*) from found) as "found!""#,
        after,
        PAGE,
    )
    .fetch_one(&shared.worker.queue)
    .await?;
    if page.found > 0 {
        tracing::warn!(runs = page.found, "found live runs without a job or a timer");
        shared.wake.notify_one();
    }
    Ok(page.last.filter(|_| page.looked_at == PAGE).unwrap_or(Uuid::nil()))
}
