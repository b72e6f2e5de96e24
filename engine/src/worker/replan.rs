//! Plans waits anew after an update of the tz database: the local time that was meant, by the zone's rules as
//! they are known now.
//!
//! Owns `engine.tz_versions`, how far each version has looked, and `engine.replanned`, what it moved. The
//! timers are looked through once when a version first works here and once more a day later, for what an
//! older version beside it has planned meanwhile; all by the real clock. A wait that was meant as a length
//! of time never moves.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::{Shared, WorkerError, begins_again, lost};
use crate::run::Meant;
use crate::timing::{Zone, tzdb_version};
use crate::transaction;

/// How often a worker looks whether there is something to do.
const EVERY: Duration = Duration::from_secs(600);
/// The pause between two pages, so that what is planned anew never stands before what works.
const PAUSE: Duration = Duration::from_millis(20);
/// How many timers are looked at in one transaction.
const PAGE: i64 = 500;

/// A timer on a page.
struct Timer {
    run_id: Uuid,
    due_at: DateTime<Utc>,
    zone: String,
    meant: Option<Value>,
    now: DateTime<Utc>,
}

/// A timer that is to move.
struct Move {
    run_id: Uuid,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    meant: Meant,
    tz_from: String,
}

/// Plans anew until told to stop. Of several workers, each looks; they take turns by the version's row.
pub(super) async fn run(shared: Arc<Shared>) -> Result<(), WorkerError> {
    loop {
        match walk(&shared).await {
            Ok(()) => {}
            Err(error) if lost(&error) => return Err(error.into()),
            Err(error) if begins_again(&error) => tracing::debug!(%error, "a look is repeated"),
            Err(error) => {
                tracing::warn!(%error, "waits could not be planned anew; it is tried again");
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn walk(shared: &Shared) -> Result<(), sqlx::Error> {
    let db = &shared.worker.db;
    let version = tzdb_version();
    sqlx::query!(
        "insert into engine.tz_versions (version) values ($1) on conflict do nothing",
        version
    )
    .execute(db)
    .await?;
    let mut moved = 0;
    loop {
        let mut tx = transaction::begin(db).await?;
        let Some(page) = page(&mut tx, shared.id, version).await? else { break };
        tx.commit().await?;
        moved += page;
        tokio::time::sleep(PAUSE).await;
    }
    if moved > 0 {
        tracing::info!(runs = moved, tz = version, "planned waits anew by another tz database");
    }
    Ok(())
}

/// Looks through one page of timers and moves those whose local time means another instant now. `None` where
/// nothing is left for this version, or another worker is at it.
async fn page(
    tx: &mut PgConnection,
    worker: i64,
    version: &str,
) -> Result<Option<usize>, sqlx::Error> {
    let stands = sqlx::query!(
        "select after_due_at, after_run_id from engine.tz_versions
         where version = $1 and walks < 2 and next_at <= clock_timestamp() for update skip locked",
        version,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(stands) = stands else { return Ok(None) };
    let timers = sqlx::query_as!(
        Timer,
        r#"select t.run_id, t.due_at, r.zone, r.meant, engine.now() as "now!"
           from (select run_id, due_at from engine.timers where (due_at, run_id) > ($1, $2)
                 order by due_at, run_id limit $3) t
           join engine.runs r on r.id = t.run_id
           order by t.due_at, t.run_id"#,
        stands.after_due_at,
        stands.after_run_id,
        PAGE,
    )
    .fetch_all(&mut *tx)
    .await?;
    let last = timers.last().map(|timer| (timer.due_at, timer.run_id));
    let full = i64::try_from(timers.len()).is_ok_and(|read| read == PAGE);
    let moves: Vec<Move> = timers.into_iter().filter_map(moved).collect();
    write(&mut *tx, worker, &moves).await?;
    go_on(tx, version, last.filter(|_| full)).await?;
    Ok(Some(moves.len()))
}

/// Where a timer is to move; `None` where it stays, as one that is due already.
fn moved(timer: Timer) -> Option<Move> {
    let meant: Meant = serde_json::from_value(timer.meant?).ok()?;
    if meant.until != timer.due_at || timer.due_at <= timer.now {
        return None;
    }
    let to = Zone::parse(&timer.zone).ok()?.resolve(meant.local).max(timer.now);
    (to != timer.due_at).then(|| Move {
        run_id: timer.run_id,
        from: timer.due_at,
        to,
        meant: Meant::now(meant.local, to),
        tz_from: meant.tz,
    })
}

/// Moves timer and run together; one that a worker or a person was faster with stays as it is.
async fn write(tx: &mut PgConnection, worker: i64, moves: &[Move]) -> Result<(), sqlx::Error> {
    if moves.is_empty() {
        return Ok(());
    }
    let run_ids: Vec<Uuid> = moves.iter().map(|each| each.run_id).collect();
    let from: Vec<DateTime<Utc>> = moves.iter().map(|each| each.from).collect();
    let to: Vec<DateTime<Utc>> = moves.iter().map(|each| each.to).collect();
    let until: Vec<Value> = moves.iter().map(|each| json!(each.to)).collect();
    let meant: Vec<Value> = moves.iter().map(|each| json!(each.meant)).collect();
    let tz_from: Vec<String> = moves.iter().map(|each| each.tz_from.clone()).collect();
    sqlx::query!(
        "with wanted as (
           select * from unnest($2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::jsonb[], $6::jsonb[], $7::text[])
             as w(run_id, due_from, due_to, until, meant, tz_from)
         ), locked as (
           select t.run_id from engine.timers t join wanted w on w.run_id = t.run_id and w.due_from = t.due_at
           order by t.run_id for update of t skip locked
         ), ran as (
           update engine.runs r set next_at = w.due_to, meant = w.meant,
             data = case when r.data #> '{waiting,until}' is null then r.data
               else jsonb_set(r.data, '{waiting,until}', w.until) end,
             changed_at = engine.now(), seq = r.seq + 1
           from wanted w join locked l on l.run_id = w.run_id
           where r.id = w.run_id and r.state = 'live' and r.place = 'timer' and r.next_at = w.due_from
           returning r.id, r.customer_id, r.seq, r.step, r.iteration, r.zone, w.due_from, w.due_to, w.tz_from
         ), moved as (
           update engine.timers t set due_at = ran.due_to from ran where t.run_id = ran.id
         ), told as (
           insert into engine.history (run_id, seq, at, kind, step, iteration, attempt, actor, data)
           select id, seq, engine.now(), 'run.replanned', step, iteration, null, 'worker:' || $1::bigint,
             jsonb_build_object('from', due_from, 'to', due_to, 'tz_from', tz_from, 'tz_to', $8::text)
           from ran
         )
         insert into engine.replanned (run_id, at, customer_id, step, zone, due_from, due_to, tz_from, tz_to)
         select id, engine.now(), customer_id, step, zone, due_from, due_to, tz_from, $8 from ran",
        worker,
        &run_ids,
        &from,
        &to,
        &until,
        &meant,
        &tz_from,
        tzdb_version(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Notes where the version's next page begins, or that it has looked through all.
async fn go_on(
    tx: &mut PgConnection,
    version: &str,
    last: Option<(DateTime<Utc>, Uuid)>,
) -> Result<(), sqlx::Error> {
    if let Some((due_at, run_id)) = last {
        sqlx::query!(
            "update engine.tz_versions set after_due_at = $2, after_run_id = $3 where version = $1",
            version,
            due_at,
            run_id,
        )
        .execute(tx)
        .await?;
        return Ok(());
    }
    sqlx::query!(
        "with over as (delete from engine.replanned where at < engine.now() - interval '1 year')
         update engine.tz_versions set walks = walks + 1, after_due_at = default, after_run_id = default,
           next_at = clock_timestamp() + interval '1 day'
         where version = $1",
        version,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A wait that an update of the tz database moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replanned {
    /// The run.
    pub run_id: Uuid,
    /// Whose it is.
    pub customer_id: Uuid,
    /// When it was moved.
    pub at: DateTime<Utc>,
    /// The step at which it waits.
    pub step: String,
    /// The zone whose rules have changed.
    pub zone: String,
    /// When it was due.
    pub due_from: DateTime<Utc>,
    /// When it is due instead.
    pub due_to: DateTime<Utc>,
    /// The version of the tz database that resolved it first.
    pub tz_from: String,
    /// The version that resolved it anew.
    pub tz_to: String,
}

/// What updates of the tz database moved within a year, newest first, at most `limit` (bounded to 1,000).
///
/// # Errors
/// What the statement returned.
pub async fn replanned(db: impl PgExecutor<'_>, limit: u32) -> Result<Vec<Replanned>, sqlx::Error> {
    sqlx::query_as!(
        Replanned,
        "select run_id, customer_id, at, step, zone, due_from, due_to, tz_from, tz_to
         from engine.replanned order by at desc, run_id desc limit $1",
        i64::from(limit.min(1_000)),
    )
    .fetch_all(db)
    .await
}
