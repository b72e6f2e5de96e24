//! Takes back what dead workers held, and finds live runs that stand nowhere. All by the real clock.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::execute::SUSPECT_AFTER;
use super::pace::Pace;
use super::{Shared, WorkerError, found};
use crate::{clock, transaction};

const EVERY: Duration = Duration::from_secs(1);
/// How often the live runs are looked through, one page at a time.
const LOOK_THROUGH: Duration = Duration::from_secs(10);
/// How often a page of limits is counted anew.
const RECOUNT: Duration = Duration::from_secs(60);
const PAGE: i64 = 1_000;

/// Which workers' jobs are taken back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dead {
    /// Of those that are found dead now.
    Found,
    /// Also of those that nothing else is known of, such as one that claimed at the instant of its death. Walks
    /// all that is leased.
    Unknown,
}

/// Sweeps until told to stop.
pub(super) async fn run(shared: Arc<Shared>) -> Result<(), WorkerError> {
    let mut beat = tokio::time::interval(EVERY);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut seen = (Uuid::nil(), Uuid::nil());
    let mut limit = 0;
    let (mut all, mut through, mut count) =
        (Pace::new(EVERY / 2), Pace::new(LOOK_THROUGH), Pace::new(RECOUNT));
    for turn in 0_u64.. {
        beat.tick().await;
        let began = clock::started();
        let dead = if all.due() { Dead::Unknown } else { Dead::Found };
        if found(take_back(&shared, dead).await)? > 0 {
            shared.wake.notify_one();
        }
        if dead == Dead::Unknown {
            all.looked(began);
        }
        if through.due() {
            let began = clock::started();
            seen = found(look_through(&shared, seen).await)?;
            through.looked(began);
        }
        if count.due() {
            let began = clock::started();
            limit = found(recount(&shared, limit).await)?;
            count.looked(began);
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
///
/// Jobs are locked before they are read: of two that look at once, one would else give the same job back again, and
/// free its places under limits twice. A count that is off all the same stops at none: it is mended by `recount`,
/// while one below none would stop every sweep.
pub(super) async fn take_back(shared: &Shared, dead: Dead) -> Result<i64, WorkerError> {
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
             where $2 and j.worker is not null and not exists (select from engine.workers w where w.id = j.worker)
           ), held as (
             select j.run_id, j.granted from orphaned o join engine.jobs j on j.worker = o.id
             order by j.run_id for update of j
           ), back as (
             update engine.jobs j set worker = null, claimed_at = null, begun = false, granted = null,
               crashes = j.crashes + (j.crashes < $1 or j.begun)::int,
               attempt = greatest(j.attempt - 1, 0), pass = engine.pass()
             from held h where j.run_id = h.run_id
             returning j.run_id, h.granted as held
           ), counted as (
             update engine.limits l set running = greatest(l.running - d.n, 0),
               wake_at = least(l.wake_at, engine.now())
             from (select unnest(held) as id, count(*)::int as n from back where held is not null
                   group by 1 order by 1) d
             where l.id = d.id
           )
           select count(*) as "back!" from back"#,
        SUSPECT_AFTER,
        dead == Dead::Unknown,
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
pub(super) async fn look_through(
    shared: &Shared,
    after: (Uuid, Uuid),
) -> Result<(Uuid, Uuid), WorkerError> {
    let page = sqlx::query!(
        r#"with page as (
             select id, customer_id from engine.runs where ended_at is null and (customer_id, id) > ($1, $2)
             order by customer_id, id limit $3
           ), lost as (
             select r.id, r.customer_id, r.queue, r.step, r.iteration, r.attempt, r.boost
             from page p join engine.runs r on r.id = p.id
             where r.state = 'live' and r.place in ('job', 'timer', 'lane')
               and not exists (select from engine.jobs j where j.run_id = r.id)
               and not exists (select from engine.timers t where t.run_id = r.id)
               and not exists (select from engine.lane_jobs q where q.run_id = r.id)
             for update of r skip locked
           ), found as (
             insert into engine.jobs (run_id, customer_id, queue, step, iteration, attempt, boost, pass)
             select id, customer_id, queue, step, iteration, attempt, boost, engine.pass() - boost from lost
             on conflict (run_id) do nothing
             returning run_id
           )
           select (select count(*) from page) as "looked_at!", (select count(*) from found) as "found!",
             (select customer_id from page order by customer_id desc, id desc limit 1) as customer_id,
             (select id from page order by customer_id desc, id desc limit 1) as run_id"#,
        after.0,
        after.1,
        PAGE,
    )
    .fetch_one(&shared.worker.queue)
    .await?;
    if page.found > 0 {
        tracing::warn!(runs = page.found, "found live runs without a job or a timer");
        shared.wake.notify_one();
    }
    let last = page.customer_id.zip(page.run_id).filter(|_| page.looked_at == PAGE);
    Ok(last.unwrap_or_default())
}

/// Counts anew who waits under limits and who runs, a page of limits at a time, and mends what does not add
/// up, as after a binary that knows no limits. Returns where to go on.
async fn recount(shared: &Shared, after: i64) -> Result<i64, WorkerError> {
    let mut tx = transaction::begin(&shared.worker.queue).await?;
    let page = sqlx::query_scalar!(
        "select id from engine.limits where id > $1 order by id limit $2 for update",
        after,
        PAGE,
    )
    .fetch_all(&mut *tx)
    .await?;
    if page.is_empty() {
        return Ok(0);
    }
    // A statement of its own: it sees what committed before the locks were had.
    let mended = sqlx::query!(
        "with counted as (
           select l.id, (select count(*)::int from engine.lane_jobs q where q.lane = l.id) as waiting,
             coalesce(h.n, 0) as running
           from engine.limits l left join (
             select u.id, count(*)::int as n from engine.jobs j cross join lateral unnest(j.granted) as u(id)
             where j.worker is not null group by u.id) h on h.id = l.id
           where l.id = any($1)
         )
         update engine.limits l set waiting = c.waiting, running = c.running,
           wake_at = case when c.waiting > 0 then least(l.wake_at, engine.now()) else l.wake_at end
         from counted c
         where l.id = c.id and (l.waiting <> c.waiting or l.running <> c.running)",
        &page,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    if mended.rows_affected() > 0 {
        tracing::warn!(limits = mended.rows_affected(), "limits did not add up and were mended");
    }
    let whole = i64::try_from(page.len()).is_ok_and(|count| count == PAGE);
    Ok(page.last().copied().filter(|_| whole).unwrap_or(0))
}
