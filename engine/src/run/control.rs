//! What a person does to a run: pause, resume, cancel, retry. Each takes the locks in the engine's order
//! (job, then run), changes the run only from the states it names, and appends one row of history.

use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::State;

/// What became of a person's wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is done.
    Changed,
    /// The run stands in a state from which the wish does nothing.
    Unchanged(State),
    /// The customer has no such run.
    NotFound,
}

/// The run as it was locked, and the job that it stands in.
struct Locked {
    state: State,
    has_job: bool,
}

/// Stops a live run where it stands and keeps what is left of its delay. A step that is running finishes
/// and is recorded; nothing follows it.
///
/// # Errors
/// What the statements returned; the caller rolls back.
pub async fn pause(
    tx: &mut PgConnection,
    customer_id: Uuid,
    run_id: Uuid,
    actor: &str,
) -> Result<Change, sqlx::Error> {
    let Some(locked) = lock(tx, customer_id, run_id).await? else { return Ok(Change::NotFound) };
    if locked.state != State::Live {
        return Ok(Change::Unchanged(locked.state));
    }
    sqlx::query!(
        "with queued as (
           delete from engine.jobs where run_id = any(array(
             select run_id from engine.jobs where run_id = $1 and worker is null for update skip locked))
           returning attempt
         ), timed as (
           delete from engine.timers where run_id = $1 returning due_at, attempt
         )
         update engine.runs set state = 'paused', place = 'none', next_at = null, changed_at = engine.now(),
           seq = seq + 1,
           attempt = coalesce((select attempt from queued), (select attempt from timed), attempt),
           remaining = case
             when exists (select from queued) then interval '0'
             else (select greatest(due_at - engine.now(), interval '0') from timed) end
         where id = $1 and state = 'live'",
        run_id,
    )
    .execute(&mut *tx)
    .await?;
    tell(tx, run_id, "run.paused", actor).await?;
    Ok(Change::Changed)
}

/// Lets a paused run go on: after what was left of its delay, or at once.
///
/// # Errors
/// What the statements returned; the caller rolls back.
pub async fn resume(
    tx: &mut PgConnection,
    customer_id: Uuid,
    run_id: Uuid,
    actor: &str,
) -> Result<Change, sqlx::Error> {
    let Some(locked) = lock(tx, customer_id, run_id).await? else { return Ok(Change::NotFound) };
    if locked.state != State::Paused {
        return Ok(Change::Unchanged(locked.state));
    }
    sqlx::query!(
        "with resting as (
           select r.id, coalesce(r.remaining > interval '0', false) and not $2
             and not exists (select from engine.inbox i where i.run_id = r.id and i.name = r.wait_signal) as later
           from engine.runs r where r.id = $1 and r.state = 'paused'
         ), going as (
           update engine.runs r set state = 'live', place = case when s.later then 'timer' else 'job' end,
             next_at = case when s.later then engine.now() + r.remaining end, remaining = null,
             changed_at = engine.now(), seq = r.seq + 1
           from resting s where r.id = s.id
           returning r.id, r.customer_id, r.queue, r.step, r.iteration, r.attempt, r.next_at, s.later
         ), timed as (
           insert into engine.timers (run_id, due_at, customer_id, queue, step, iteration, attempt)
           select id, next_at, customer_id, queue, step, iteration, attempt from going where later
         )
         insert into engine.jobs (run_id, customer_id, queue, step, iteration, attempt, pass)
         select id, customer_id, queue, step, iteration, attempt, engine.pass() from going
         where not later and not $2",
        run_id,
        locked.has_job,
    )
    .execute(&mut *tx)
    .await?;
    tell(tx, run_id, "run.resumed", actor).await?;
    Ok(Change::Changed)
}

/// Ends an open run. A step that is running finishes and is recorded; nothing follows it.
///
/// # Errors
/// What the statements returned; the caller rolls back.
pub async fn cancel(
    tx: &mut PgConnection,
    customer_id: Uuid,
    run_id: Uuid,
    actor: &str,
) -> Result<Change, sqlx::Error> {
    let Some(locked) = lock(tx, customer_id, run_id).await? else { return Ok(Change::NotFound) };
    match locked.state {
        State::Live | State::Paused | State::Held => {}
        State::Completed | State::Exited | State::Cancelled => {
            return Ok(Change::Unchanged(locked.state));
        }
    }
    sqlx::query!(
        "with queued as (
           delete from engine.jobs where run_id = any(array(
             select run_id from engine.jobs where run_id = $1 and worker is null for update skip locked))
         ), timed as (
           delete from engine.timers where run_id = $1
         )
         update engine.runs set state = 'cancelled', place = 'none', next_at = null, wait_signal = null,
           remaining = null, reason = 'cancelled', ended_at = engine.now(), changed_at = engine.now(), seq = seq + 1
         where id = $1 and state in ('live', 'paused', 'held')",
        run_id,
    )
    .execute(&mut *tx)
    .await?;
    tell(tx, run_id, "run.cancelled", actor).await?;
    Ok(Change::Changed)
}

/// Lets a held run try its step again, with all attempts before it.
///
/// # Errors
/// What the statements returned; the caller rolls back.
pub async fn retry(
    tx: &mut PgConnection,
    customer_id: Uuid,
    run_id: Uuid,
    actor: &str,
) -> Result<Change, sqlx::Error> {
    let Some(locked) = lock(tx, customer_id, run_id).await? else { return Ok(Change::NotFound) };
    if locked.state != State::Held {
        return Ok(Change::Unchanged(locked.state));
    }
    sqlx::query!(
        "with going as (
           update engine.runs set state = 'live', place = 'job', reason = null, attempt = 0, next_at = null,
             changed_at = engine.now(), seq = seq + 1
           where id = $1 and state = 'held'
           returning id, customer_id, queue, step, iteration
         )
         insert into engine.jobs (run_id, customer_id, queue, step, iteration, pass)
         select id, customer_id, queue, step, iteration, engine.pass() from going where not $2",
        run_id,
        locked.has_job,
    )
    .execute(&mut *tx)
    .await?;
    tell(tx, run_id, "run.retried", actor).await?;
    Ok(Change::Changed)
}

/// Lets later steps read something that came to be known of an earlier one, such as that its mail was
/// clicked: `steps.<step>.<field>`. Runs that ended keep what they had.
///
/// # Errors
/// What the statement returned.
pub async fn observe(
    tx: &mut PgConnection,
    customer_id: Uuid,
    run_id: Uuid,
    step: &str,
    field: &str,
    value: Value,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update engine.runs set observed = observed
           || jsonb_build_object($3::text, coalesce(observed -> $3::text, '{}') || $4::jsonb)
         where id = $1 and customer_id = $2 and ended_at is null",
        run_id,
        customer_id,
        step,
        json!({ field: value }),
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn lock(
    tx: &mut PgConnection,
    customer_id: Uuid,
    run_id: Uuid,
) -> Result<Option<Locked>, sqlx::Error> {
    let job = sqlx::query!(
        r#"select worker from engine.jobs where run_id = $1 and customer_id = $2 for update"#,
        run_id,
        customer_id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let state = sqlx::query_scalar!(
        "select state from engine.runs where id = $1 and customer_id = $2 for update",
        run_id,
        customer_id,
    )
    .fetch_optional(tx)
    .await?;
    Ok(state.map(|state| Locked { state: State::stored(&state), has_job: job.is_some() }))
}

/// Appends the row of history for a change that has just raised the run's sequence.
async fn tell(
    tx: &mut PgConnection,
    run_id: Uuid,
    kind: &str,
    actor: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into engine.history (run_id, seq, at, kind, step, iteration, actor)
         select id, seq, engine.now(), $2, step, iteration, $3 from engine.runs where id = $1",
        run_id,
        kind,
        actor,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("select from pg_notify('engine', '')").execute(tx).await?;
    Ok(())
}
