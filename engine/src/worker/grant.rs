//! Grants turns under limits: claims jobs out of their lanes, into free slots only, by the locked rows of all
//! their limits. Also begins the days of daily caps, and lets go what waited past its send window.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, Executor, PgConnection};
use tokio::sync::mpsc;

use super::claimed::Claimed;
use super::fetch::hand_on;
use super::{Shared, StepJob, WorkerError, found, measure};
use crate::timing::Zone;
use crate::{clock, limit};

const BATCH: usize = 200;
/// How many limits begin their day, and how many jobs are let go, in one statement.
const KEPT: i64 = 200;
/// The shortest and the longest pause between two looks while somebody waits.
const SHORTEST: Duration = Duration::from_millis(2);
const LONGEST: Duration = Duration::from_millis(100);

/// Grants until told to stop.
pub(super) async fn run(
    shared: Arc<Shared>,
    ready: mpsc::Sender<StepJob>,
) -> Result<(), WorkerError> {
    // Its statement joins what it gathered with itself, which the queue's plans forbid.
    let mut connection = shared.worker.queue.acquire().await?.detach();
    connection.execute("set enable_hashjoin = on").await?;
    let mut blocked = SHORTEST;
    loop {
        let room = shared.room().min(BATCH);
        let mut granted = 0;
        if waits(&mut connection).await? {
            found(begin_days(&mut connection).await)?;
            let gone = found(let_go(&mut connection).await)?;
            if gone > 0 {
                shared.wake.notify_one();
            }
            if room > 0 {
                let began = clock::started();
                let claimed = found(claim(&mut connection, &shared, room).await)?;
                measure::claimed(&claimed, began.elapsed());
                granted = claimed.len();
                if !hand_on(&shared, claimed, &ready).await {
                    return Ok(connection.close().await?);
                }
            }
        }
        // What only the end of another step opens is looked at less and less often.
        blocked = if granted > 0 { SHORTEST } else { LONGEST.min(blocked * 2) };
        if granted < room || room == 0 {
            let pause = until_next(&mut connection, &shared).await?;
            let pause = pause.max(blocked).min(shared.worker.settings.poll);
            let _woken = tokio::time::timeout(pause, shared.grant.notified()).await;
        }
    }
}

/// Whether there is anything to do: in a database without limits, all that this task ever asks.
pub(super) async fn waits(db: &mut PgConnection) -> Result<bool, WorkerError> {
    let waits = sqlx::query_scalar!(
        r#"select exists (select from engine.limits where waiting > 0 and wake_at <= engine.now())
             or exists (select from engine.lane_jobs where closes_at <= engine.now()) as "waits!""#,
    )
    .fetch_one(db)
    .await?;
    Ok(waits)
}

/// How long it is, by the real clock, until the next limit opens.
async fn until_next(db: &mut PgConnection, shared: &Shared) -> Result<Duration, WorkerError> {
    let seconds = sqlx::query_scalar!(
        r#"select extract(epoch from
             (select wake_at from engine.limits where waiting > 0 and wake_at < 'infinity' order by wake_at limit 1)
             - engine.now())::double precision
             / greatest(coalesce((select scale from engine.virtual_clock where one), 1), 0.001) as "seconds""#,
    )
    .fetch_one(db)
    .await?;
    Ok(seconds.map_or(shared.worker.settings.poll, |seconds| {
        Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(shared.worker.settings.poll)
    }))
}

/// Gives limits with a daily cap whose day has ended the budget of the day that it is now: those of whoever
/// stands first in a line that is to be looked at.
async fn begin_days(db: &mut PgConnection) -> Result<(), WorkerError> {
    let mut tx = db.begin().await?;
    let rows = sqlx::query!(
        r#"select k.id, k.daily_cap as "daily_cap!", k.daily_ramp, k.ramp_from, k.zone, engine.now() as "now!"
           from engine.limits k
           where k.budget_until <= engine.now() and k.daily_cap is not null and k.id = any(array(
             select unnest(h.limits) from engine.limits l cross join lateral (
               select limits from engine.lane_jobs where lane = l.id order by pass, run_id limit 1) h
             where l.waiting > 0 and l.wake_at <= engine.now() limit $1))
           order by k.id for update skip locked"#,
        KEPT,
    )
    .fetch_all(&mut *tx)
    .await?;
    let (mut ids, mut budgets, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        let zone = Zone::parse(&row.zone).unwrap_or_else(|_| Zone::utc());
        let (until, budget) =
            limit::day(row.now, &zone, row.daily_cap, row.daily_ramp, row.ramp_from);
        ids.push(row.id);
        budgets.push(budget);
        ends.push(until);
    }
    sqlx::query!(
        "update engine.limits l set budget_left = d.budget, budget_until = d.until
         from unnest($1::bigint[], $2::int[], $3::timestamptz[]) as d(id, budget, until)
         where l.id = d.id",
        &ids,
        &budgets,
        &ends,
    )
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// Lets go what waited past its send window: an ordinary job, whose worker finds when the window opens again.
async fn let_go(db: &mut PgConnection) -> Result<i64, WorkerError> {
    let gone = sqlx::query_scalar!(
        r#"with closed as (
             delete from engine.lane_jobs q where q.run_id = any(array(
               select run_id from engine.lane_jobs where closes_at <= engine.now()
               order by closes_at, run_id limit $1 for update skip locked))
             returning q.*
           ), counted as (
             update engine.limits l set waiting = l.waiting - d.n
             from (select lane, count(*)::int as n from closed group by lane order by lane) d where l.id = d.lane
           ), ready as (
             insert into engine.jobs (run_id, customer_id, queue, step, iteration, attempt, boost, pass)
             select run_id, customer_id, queue, step, iteration, attempt, boost, engine.pass() from closed
             returning run_id
           )
           select count(*) as "gone!" from ready"#,
        KEPT,
    )
    .fetch_one(db)
    .await?;
    Ok(gone)
}

/// Claims what its limits let through. A limit's row is locked before anything is decided by it, and all that
/// decides is a column of that row: another table would be read as it was when the statement began. As with
/// every claim, a worker that was found dead gets nothing.
#[expect(clippy::too_many_lines, reason = "one statement, whole and visible in one place")]
pub(super) async fn claim(
    db: &mut PgConnection,
    shared: &Shared,
    room: usize,
) -> Result<Vec<Claimed>, WorkerError> {
    let rows = sqlx::query_as!(
        Claimed,
        r#"with lanes as materialized (
             select l.id, engine.room(l, engine.now()) as room from engine.limits l
             where l.waiting > 0 and l.wake_at <= engine.now()
               and exists (select from engine.workers where id = $1)
             order by l.wake_at limit $2 for update skip locked
           ), heads as materialized (
             select h.* from lanes l cross join lateral (
               select run_id, lane, limits, share, pass from engine.lane_jobs
               where lane = l.id and queue = any($3) and (closes_at is null or closes_at > engine.now())
               order by pass, run_id limit least(l.room, $2) for update skip locked) h
           ), asked as materialized (
             select h.run_id, h.lane, h.share, u.id,
               row_number() over (partition by u.id order by h.pass, h.run_id) as place
             from heads h cross join lateral unnest(h.limits) as u(id)
           ), keys as materialized (
             select l.id, engine.room(l, engine.now()) as room, engine.opens_at(l, engine.now()) as opens_at
             from engine.limits l where l.id = any(array(select id from asked)) for update skip locked
           ), judged as materialized (
             select a.run_id, a.lane, bool_and(k.id is not null and a.place <= k.room) as granted,
               max(k.opens_at) filter (where k.room = 0) as blocked_until
             from asked a left join keys k on k.id = a.id group by a.run_id, a.lane
           ), gone as (
             delete from engine.lane_jobs q using judged g where g.granted and q.run_id = g.run_id
             returning q.*
           ), taken as (
             insert into engine.jobs (run_id, customer_id, queue, step, iteration, attempt, boost, pass, worker,
               claimed_at, granted)
             select run_id, customer_id, queue, step, iteration, attempt + 1, boost, pass, $1, engine.now(), limits
             from gone
             returning run_id, queue, step, iteration, attempt, crashes, boost, pass, claimed_at
           ), delta as (
             select id, sum(n)::int as n, sum(begun)::int as begun, max(share) as share, bool_or(looked) as looked,
               max(blocked_until) as blocked_until
             from (
               select a.id, 1 as n, (a.id = a.lane)::int as begun, a.share, false as looked,
                 null::timestamptz as blocked_until
               from asked a join judged g on g.run_id = a.run_id where g.granted
               union all
               select l.id, 0, 0, 0, true,
                 (select max(g.blocked_until) from judged g where g.lane = l.id and not g.granted)
               from lanes l) as both_ways
             group by id
           ), spent as (
             update engine.limits l set
               running = n.running, waiting = n.waiting, budget_left = n.budget_left, next_at = n.next_at,
               grants = n.grants,
               wake_at = case
                 when not n.looked then l.wake_at
                 when n.waiting = 0 then 'infinity'
                 else greatest(engine.now(), n.blocked_until, n.next_at,
                   case when n.budget_left <= 0 then nullif(l.budget_until, 'infinity') end,
                   case when l.cap is not null and cardinality(n.grants) >= l.cap
                     then n.grants[cardinality(n.grants) - l.cap + 1] + l.per end) end
             from (
               select b.id, d.looked, d.blocked_until, b.running + d.n as running, b.waiting - d.begun as waiting,
                 b.budget_left - d.n as budget_left,
                 case when d.n > 0 and b.gap > '0' then engine.now() + b.gap * (1 + b.gap_jitter * d.share)
                   else b.next_at end as next_at,
                 case when d.n > 0 and b.cap is not null
                   then (b.grants || array_fill(engine.now(), array[d.n]))[
                     greatest(1, cardinality(b.grants) + d.n - b.cap + 1):]
                   else b.grants end as grants
               from delta d cross join lateral (
                 select * from engine.limits x where x.id = d.id for update) b) n
             where l.id = n.id
           )
           select t.run_id, t.queue, t.step, t.iteration, t.attempt, t.crashes, t.boost, t.pass, t.claimed_at as "now!",
             true as "granted!", r.customer_id, r.definition_id, r.subject_id, r.zone,
             r.state = 'live' as "live!", r.parent_id, r.root_id, r.depth, r.limit_keys, r.seq, r.inbox, r.data,
             r.observed, r.intent, r.next_at
           from taken t join engine.runs r on r.id = t.run_id
           order by t.pass, t.run_id"#,
        shared.id,
        i64::try_from(room).unwrap_or(i64::MAX),
        &shared.queues,
    )
    .fetch_all(db)
    .await?;
    Ok(rows)
}
