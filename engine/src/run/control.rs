//! What people do to runs: pause, resume, cancel, retry, skip, jump. Takes the locks in the engine's order
//! (jobs, then runs), changes a run only from the states that the action names, and appends one row of
//! history for each. What a step that runs meanwhile did is recorded all the same.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::queue::{self, Unqueued};
use super::{State, family, moving, resuming};
use crate::definition_store::Definitions;

/// What a person wants of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Stop it at its step.
    Pause,
    /// Let it continue after a pause: a length of time keeps its rest, a date is not moved.
    Resume,
    /// End.
    Cancel,
    /// Try the step of a held run again, with all its attempts before it.
    Retry,
    /// Go on behind the step at which it stands, as if that were done.
    Skip,
    /// Enter this step of its version anew, and go on from there.
    Jump {
        /// The step's id.
        step: String,
    },
    /// Undo what it did, last step first, and end.
    Undo,
}

impl Action {
    /// The word by which it is asked for and stored.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Retry => "retry",
            Self::Skip => "skip",
            Self::Jump { .. } => "jump",
            Self::Undo => "undo",
        }
    }

    /// The stored states of open runs that it moves.
    pub fn states(&self) -> Vec<String> {
        let open = [State::Live, State::Paused, State::Held];
        let moved = open.into_iter().filter(|state| self.moves(*state));
        moved.map(|state| state.word().to_owned()).collect()
    }

    /// Whether it moves a run that stands in this state.
    fn moves(&self, state: State) -> bool {
        match (self, state) {
            (_, State::Completed | State::Exited | State::Cancelled) => false,
            (Self::Cancel | Self::Skip | Self::Jump { .. } | Self::Undo, _) => true,
            (Self::Pause, state) => state == State::Live,
            (Self::Resume, state) => state == State::Paused,
            (Self::Retry, state) => state == State::Held,
        }
    }
}

/// What became of a person's wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is done.
    Changed {
        /// Where the run stood.
        from: State,
        /// Where it stands.
        to: State,
    },
    /// The run stands in a state from which the wish does nothing.
    Unchanged(State),
    /// It can't be done as things stand; the text says why, and what to do.
    Refused(String),
    /// The customer has no such run.
    NotFound,
}

/// A run as it was locked.
pub(super) struct Locked {
    pub(super) run_id: Uuid,
    pub(super) definition_id: i64,
    pub(super) step: String,
    pub(super) iteration: i32,
    pub(super) state: State,
    /// Whether it has a job: one in its turn, or one that came back from a worker that died.
    pub(super) queued: bool,
    /// Whether a worker holds that job.
    pub(super) leased: bool,
}

/// Does the same to some runs, at most a few hundred at once; one answer for each, in their order.
///
/// # Errors
/// What the statements returned; the caller rolls back.
pub async fn act(
    tx: &mut PgConnection,
    definitions: &Definitions,
    customer_id: Uuid,
    run_ids: &[Uuid],
    action: &Action,
    actor: &str,
) -> Result<Vec<Change>, sqlx::Error> {
    let locked = lock(tx, customer_id, run_ids).await?;
    let movable: Vec<&Locked> = locked.iter().filter(|run| action.moves(run.state)).collect();
    let (mut refused, mut waits) = (HashMap::new(), HashMap::new());
    match action {
        Action::Pause => pause(tx, &movable).await?,
        Action::Resume => waits = resuming::resume(tx, definitions, &movable).await?,
        Action::Cancel => cancel(tx, &movable).await?,
        Action::Retry => retry(tx, &movable).await?,
        Action::Skip => {
            refused = moving::go(tx, definitions, &movable, moving::Where::Behind).await?;
        }
        Action::Jump { step } => {
            refused = moving::go(tx, definitions, &movable, moving::Where::To(step)).await?;
        }
        Action::Undo => {
            refused = moving::go(tx, definitions, &movable, moving::Where::Back).await?;
        }
    }
    let moved: Vec<&Locked> =
        movable.into_iter().filter(|run| !refused.contains_key(&run.run_id)).collect();
    let states = tell(tx, &moved, action, actor, &waits).await?;
    family::note_ends(tx, &ids(&moved)).await?;
    let locked: HashMap<Uuid, State> = locked.iter().map(|run| (run.run_id, run.state)).collect();
    let answer = |run_id: &Uuid| match (locked.get(run_id), states.get(run_id)) {
        (None, _) => Change::NotFound,
        (Some(from), Some(to)) => Change::Changed { from: *from, to: *to },
        (Some(state), None) => match refused.get(run_id) {
            Some(reason) => Change::Refused(reason.clone()),
            None => Change::Unchanged(*state),
        },
    };
    Ok(run_ids.iter().map(answer).collect())
}

/// Those of some runs that an action would move as they are now, in the order of their ids; one whose step is running, or
/// that has nowhere to go, may still be refused.
///
/// # Errors
/// Returns what the statement returned.
pub async fn movable(
    db: impl PgExecutor<'_>,
    customer_id: Option<Uuid>,
    run_ids: &[Uuid],
    action: &Action,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select id from engine.runs
         where id = any($1) and ($2::uuid is null or customer_id = $2) and state = any($3) order by id",
        run_ids,
        customer_id,
        &action.states(),
    )
    .fetch_all(db)
    .await
}

async fn lock(
    tx: &mut PgConnection,
    customer_id: Uuid,
    run_ids: &[Uuid],
) -> Result<Vec<Locked>, sqlx::Error> {
    let jobs = sqlx::query!(
        r#"select run_id, worker is not null as "leased!" from engine.jobs
           where run_id = any($1) and customer_id = $2 order by run_id for update"#,
        run_ids,
        customer_id,
    )
    .fetch_all(&mut *tx)
    .await?;
    let leases: HashMap<Uuid, bool> =
        jobs.into_iter().map(|job| (job.run_id, job.leased)).collect();
    let runs = sqlx::query!(
        "select id, definition_id, step, iteration, state from engine.runs
         where id = any($1) and customer_id = $2 order by id for update",
        run_ids,
        customer_id,
    )
    .fetch_all(tx)
    .await?;
    Ok(runs
        .into_iter()
        .map(|run| Locked {
            run_id: run.id,
            definition_id: run.definition_id,
            step: run.step,
            iteration: run.iteration,
            state: State::stored(&run.state),
            queued: leases.contains_key(&run.id),
            leased: leases.get(&run.id).copied().unwrap_or(false),
        })
        .collect())
}

fn ids(runs: &[&Locked]) -> Vec<Uuid> {
    runs.iter().map(|run| run.run_id).collect()
}

/// A step that is running finishes and is recorded; nothing follows it.
async fn pause(tx: &mut PgConnection, runs: &[&Locked]) -> Result<(), sqlx::Error> {
    let off = queue::leave(tx, &ids(runs)).await?;
    let (off_ids, attempts, dues) = columns(&off);
    sqlx::query!(
        "with off as (
           select * from unnest($2::uuid[], $3::smallint[], $4::timestamptz[]) as o(run_id, attempt, due_at)
         )
         update engine.runs r set state = 'paused', place = 'none', next_at = null, changed_at = engine.now(),
           seq = r.seq + 1, attempt = coalesce(o.attempt, r.attempt),
           remaining = case when o.run_id is not null
             then greatest(coalesce(o.due_at - engine.now(), interval '0'), interval '0') end
         from unnest($1::uuid[]) as w(id) left join off o on o.run_id = w.id
         where r.id = w.id",
        &ids(runs),
        &off_ids,
        &attempts,
        &dues as &[Option<chrono::DateTime<chrono::Utc>>],
    )
    .execute(tx)
    .await?;
    Ok(())
}

type Columns = (Vec<Uuid>, Vec<i16>, Vec<Option<chrono::DateTime<chrono::Utc>>>);

fn columns(off: &[Unqueued]) -> Columns {
    let ids = off.iter().map(|run| run.run_id).collect();
    let attempts = off.iter().map(|run| run.attempt).collect();
    (ids, attempts, off.iter().map(|run| run.due_at).collect())
}

/// A step that is running finishes and is recorded; nothing follows it.
async fn cancel(tx: &mut PgConnection, runs: &[&Locked]) -> Result<(), sqlx::Error> {
    queue::leave(tx, &ids(runs)).await?;
    sqlx::query!(
        "update engine.runs set state = 'cancelled', place = 'none', next_at = null, wait_signal = null,
           remaining = null, reason = 'cancelled', ended_at = engine.now(), changed_at = engine.now(), seq = seq + 1
         where id = any($1)",
        &ids(runs),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// How many runs are ended by one round.
const ROUND: i64 = 500;

/// Ends every open run about a subject as exited for this reason, in whatever state it is: sleeping, in a lane, paused,
/// held. A step that is running finishes and is recorded; nothing follows it, and an intent of it is refused. Gives the
/// runs that ended.
///
/// # Errors
/// What the statements returned; the caller rolls back.
pub async fn exit_all(
    tx: &mut PgConnection,
    customer_id: Uuid,
    subject_id: Uuid,
    reason: &str,
    actor: &str,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let mut ended = Vec::new();
    loop {
        let open = sqlx::query_scalar!(
            "select id from engine.runs where customer_id = $1 and subject_id = $2 and ended_at is null
             order by id limit $3",
            customer_id,
            subject_id,
            ROUND,
        )
        .fetch_all(&mut *tx)
        .await?;
        if open.is_empty() {
            return Ok(ended);
        }
        let locked = lock(tx, customer_id, &open).await?;
        // One that ended while its row was waited for is not among those of the next round.
        let living: Vec<&Locked> =
            locked.iter().filter(|run| Action::Cancel.moves(run.state)).collect();
        exit(tx, &living, reason, actor).await?;
        family::note_ends(tx, &ids(&living)).await?;
        ended.extend(ids(&living));
    }
}

async fn exit(
    tx: &mut PgConnection,
    runs: &[&Locked],
    reason: &str,
    actor: &str,
) -> Result<(), sqlx::Error> {
    queue::leave(tx, &ids(runs)).await?;
    sqlx::query!(
        "with ended as (
           update engine.runs set state = 'exited', place = 'none', next_at = null, wait_signal = null,
             remaining = null, reason = $2, ended_at = engine.now(), changed_at = engine.now(), seq = seq + 1
           where id = any($1)
           returning id, seq, step, iteration
         )
         insert into engine.history (run_id, seq, at, kind, step, iteration, actor, data)
         select id, seq, engine.now(), 'run.exited', step, iteration, $3, jsonb_build_object('reason', $2::text)
         from ended",
        &ids(runs),
        reason,
        actor,
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn retry(tx: &mut PgConnection, runs: &[&Locked]) -> Result<(), sqlx::Error> {
    let free: Vec<Uuid> = runs.iter().filter(|run| !run.queued).map(|run| run.run_id).collect();
    sqlx::query!(
        "with going as (
           update engine.runs set state = 'live', place = 'job', reason = null, attempt = 0, next_at = null,
             changed_at = engine.now(), seq = seq + 1
           where id = any($1)
           returning id, customer_id, queue, step, iteration, boost
         )
         insert into engine.jobs (run_id, customer_id, queue, step, iteration, boost, pass)
         select id, customer_id, queue, step, iteration, boost, engine.pass() - boost from going where id = any($2)",
        &ids(runs),
        &free,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Appends the rows of history for changes that have just raised their runs' sequences, with what is to be said of
/// how resumed runs wait; gives the states.
async fn tell(
    tx: &mut PgConnection,
    moved: &[&Locked],
    action: &Action,
    actor: &str,
    waits: &HashMap<Uuid, Value>,
) -> Result<HashMap<Uuid, State>, sqlx::Error> {
    if moved.is_empty() {
        return Ok(HashMap::new());
    }
    let kind = match action {
        Action::Pause => "run.paused",
        Action::Resume => "run.resumed",
        Action::Cancel => "run.cancelled",
        Action::Retry => "run.retried",
        Action::Skip => "run.skipped",
        Action::Jump { .. } => "run.jumped",
        Action::Undo => "run.undoing",
    };
    let data = |run: &&Locked| match action {
        Action::Skip | Action::Jump { .. } | Action::Undo => Some(json!({ "from": run.step })),
        Action::Resume => waits.get(&run.run_id).cloned(),
        Action::Pause | Action::Cancel | Action::Retry => None,
    };
    let data: Vec<Option<Value>> = moved.iter().map(data).collect();
    let rows = sqlx::query!(
        r#"with told as (
             insert into engine.history (run_id, seq, at, kind, step, iteration, actor, data)
             select r.id, r.seq, engine.now(),
               case when r.state in ('completed', 'exited') then 'run.' || r.state else $3 end, r.step, r.iteration,
               $4, case when r.ended_at is not null then coalesce(w.data, '{}') || jsonb_build_object('reason', r.reason)
                 when w.data ? 'from' then w.data || jsonb_build_object('to', r.step)
                 else w.data end
             from unnest($1::uuid[], $2::jsonb[]) as w(id, data) join engine.runs r on r.id = w.id
           )
           select r.id, r.state from engine.runs r, pg_notify('engine', '') where r.id = any($1)"#,
        &ids(moved),
        &data as &[Option<Value>],
        kind,
        actor,
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, State::stored(&row.state))).collect())
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
