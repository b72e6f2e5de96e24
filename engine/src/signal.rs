//! Signals: what comes from outside and wakes a run, or ends it.
//!
//! Owns `engine.signals` and `engine.inbox`. A signal is written in the transaction of the fact that
//! caused it, once per key, and delivered to every open run of the subject that could ever hear it: also
//! before the run has come to the step that waits for it. Consuming is the worker's part.

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{clock, run};

/// To whom a signal goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Every open run about this subject.
    Subject(Uuid),
    /// This run alone.
    Run(Uuid),
}

impl Target {
    fn id(self) -> Uuid {
        match self {
            Self::Subject(id) | Self::Run(id) => id,
        }
    }
}

/// A signal for a run, or for the runs of a subject.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSignal {
    /// Whose it is.
    pub customer_id: Uuid,
    /// To whom it goes.
    pub target: Target,
    /// Such as `email.replied`.
    pub name: String,
    /// Names the cause: a second signal of the same key is the same signal.
    pub key: String,
    /// What a waiting step reads of it.
    pub data: Value,
}

/// Delivers signals in the caller's transaction; returns how many were new.
///
/// # Errors
/// What the statements returned; the caller rolls back.
pub async fn send(tx: &mut PgConnection, signals: &[NewSignal]) -> Result<u64, sqlx::Error> {
    if signals.is_empty() {
        return Ok(0);
    }
    let (fresh, open) = deliver(tx, signals).await?;
    if !open.is_empty() {
        wake(tx, &open).await?;
        end_resting(tx, &open).await?;
    }
    Ok(fresh)
}

/// Puts one signal into the inbox of one run, whatever its definition hears, and wakes it. `id` names it: a
/// second one of the same id is the same.
pub(crate) async fn tell(
    tx: &mut PgConnection,
    run_id: Uuid,
    id: Uuid,
    name: &str,
    data: &Value,
) -> Result<(), sqlx::Error> {
    let told = sqlx::query!(
        "with open as (
           select id from engine.runs where id = $1 and ended_at is null for update
         ), put as (
           insert into engine.inbox (run_id, signal_id, name, data)
           select id, $2, $3, $4 from open on conflict do nothing returning run_id
         )
         update engine.runs r set inbox = r.inbox + 1 from put p where r.id = p.run_id",
        run_id,
        id,
        name,
        data,
    )
    .execute(&mut *tx)
    .await?;
    if told.rows_affected() > 0 {
        wake(tx, &[run_id]).await?;
    }
    Ok(())
}

/// Empties the inboxes of those of these runs that have ended: nothing of theirs hears any more.
pub(crate) async fn forget(tx: &mut PgConnection, run_ids: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from engine.inbox i using engine.runs r
         where i.run_id = any($1) and r.id = i.run_id and r.ended_at is not null",
        run_ids,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes the signals and puts them into the inboxes; gives the runs that heard one. The rows of those
/// runs are locked first, so that a record or an intent of theirs sees the inbox or comes first; a run that
/// it ended meanwhile gets nothing.
async fn deliver(
    tx: &mut PgConnection,
    signals: &[NewSignal],
) -> Result<(u64, Vec<Uuid>), sqlx::Error> {
    let ids: Vec<Uuid> = signals.iter().map(|_| clock::new_id()).collect();
    let customers: Vec<Uuid> = signals.iter().map(|signal| signal.customer_id).collect();
    // A run's id is no subject's, so that one column names both.
    let targets: Vec<Uuid> = signals.iter().map(|signal| signal.target.id()).collect();
    let names: Vec<String> = signals.iter().map(|signal| signal.name.clone()).collect();
    let keys: Vec<String> = signals.iter().map(|signal| signal.key.clone()).collect();
    let data: Vec<Value> = signals.iter().map(|signal| signal.data.clone()).collect();
    // A statement of its own: the next one sees also the runs that these started before their locks were had.
    sqlx::query!(
        "select from engine.runs where id = any(array(
           select r.id from unnest($1::uuid[], $2::uuid[]) as t(customer_id, id) cross join lateral (
             select id from engine.runs where customer_id = t.customer_id and subject_id = t.id and ended_at is null
             union
             select id from engine.runs where id = t.id and customer_id = t.customer_id and ended_at is null) r))
         order by id for no key update",
        &customers,
        &targets,
    )
    .execute(&mut *tx)
    .await?;
    let heard = sqlx::query!(
        r#"with fresh as (
             insert into engine.signals (id, customer_id, subject_id, name, key, data)
             select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::jsonb[])
             on conflict (customer_id, subject_id, name, key) do nothing
             returning id, customer_id, subject_id, name, data
           ), heard as (
             select r.id as run_id, f.id as signal_id, f.name, f.data
             from fresh f
             cross join lateral (
               select id, definition_id from engine.runs
               where customer_id = f.customer_id and subject_id = f.subject_id and ended_at is null
               union
               select id, definition_id from engine.runs
               where id = f.subject_id and customer_id = f.customer_id and ended_at is null) r
             join engine.definitions d on d.id = r.definition_id and f.name = any(d.hears)
           ), counted as (
             update engine.runs r set inbox = r.inbox + h.n
             from (select run_id, count(*)::int as n from heard group by run_id order by run_id) h
             where r.id = h.run_id and r.ended_at is null
             returning r.id
           ), put as (
             -- Not to those that ended while their row was waited for.
             insert into engine.inbox (run_id, signal_id, name, data)
             select h.run_id, h.signal_id, h.name, h.data from heard h join counted c on c.id = h.run_id
           )
           select (select count(*) from fresh) as "fresh!",
             coalesce((select array_agg(id) from counted), '{}') as "open!: Vec<Uuid>""#,
        &ids,
        &customers,
        &targets,
        &names,
        &keys,
        &data,
    )
    .fetch_one(tx)
    .await?;
    Ok((u64::try_from(heard.fresh).unwrap_or_default(), heard.open))
}

/// Turns the timer, or the endless wait, of live runs that listen to a delivered signal into a job. A run
/// that has a job sees its inbox when the job is claimed or recorded.
async fn wake(tx: &mut PgConnection, runs: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"with listening as (
             select r.id, r.place from engine.runs r
             join engine.definitions d on d.id = r.definition_id
             where r.id = any($1) and r.state = 'live' and r.place in ('timer', 'signal', 'lane')
               and exists (select from engine.inbox i where i.run_id = r.id
                           and (i.name = r.wait_signal or i.name = any(d.exits)))
           ), timed as (
             delete from engine.timers t using listening l where t.run_id = l.id and l.place = 'timer'
             returning t.run_id, t.attempt
           ), laned as (
             delete from engine.lane_jobs q using listening l where q.run_id = l.id and l.place = 'lane'
             returning q.run_id, q.attempt, q.lane
           ), counted as (
             update engine.limits l set waiting = l.waiting - d.n
             from (select lane, count(*)::int as n from laned group by lane order by lane) d where l.id = d.lane
           ), woken as (
             select run_id, attempt from timed union all select run_id, attempt from laned
           ), moved as (
             update engine.runs r set place = 'job'
             from listening l left join woken w on w.run_id = l.id
             where r.id = l.id and (l.place = 'signal' or w.run_id is not null)
             returning r.id, r.customer_id, r.queue, r.step, r.iteration, coalesce(w.attempt, 0::smallint) as attempt, r.boost
           ), ready as (
             insert into engine.jobs (run_id, customer_id, queue, step, iteration, attempt, boost, pass)
             select id, customer_id, queue, step, iteration, attempt, boost, engine.pass() - boost from moved
           )
           select count(*) as "woken!" from pg_notify('engine', '')"#,
        runs,
    )
    .fetch_one(tx)
    .await?;
    Ok(())
}

/// Ends paused and held runs that a delivered signal ends: nothing of theirs runs that could.
async fn end_resting(tx: &mut PgConnection, runs: &[Uuid]) -> Result<(), sqlx::Error> {
    let ended = sqlx::query_scalar!(
        r#"with ending as (
             select distinct on (r.id) r.id, i.name
             from engine.runs r
             join engine.definitions d on d.id = r.definition_id
             join engine.inbox i on i.run_id = r.id and i.name = any(d.exits)
             where r.id = any($1) and r.state in ('paused', 'held') and not r.data ? 'undoing'
             order by r.id, i.signal_id
           ), ended as (
             update engine.runs r set state = 'exited', reason = e.name, ended_at = engine.now(), next_at = null,
               wait_signal = null, remaining = null, changed_at = engine.now(), seq = r.seq + 1
             from ending e where r.id = e.id and r.state in ('paused', 'held')
             returning r.id, r.seq, r.step, e.name
           )
           insert into engine.history (run_id, seq, at, kind, step, actor, data)
           select id, seq, engine.now(), 'run.exited', step, 'signal:' || name, jsonb_build_object('reason', name)
           from ended returning run_id"#,
        runs,
    )
    .fetch_all(&mut *tx)
    .await?;
    run::note_ends(tx, &ended).await
}
