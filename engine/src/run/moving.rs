//! Moves runs to another step of their version: behind the one at which they stand, to a named one, or back
//! through what they did. Where to is decided by the functions that the worker decides by.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::control::Locked;
use super::queue;
use crate::decision::{self, Input, Memory, Next, Position, Situation};
use crate::definition::Definition;
use crate::definition_store::{Definitions, LoadError};
use crate::timing::Zone;

/// Where to.
#[derive(Clone, Copy)]
pub(super) enum Where<'a> {
    /// Behind the step at which the run stands.
    Behind,
    /// To the step of this id.
    To(&'a str),
    /// Back through the steps that can be undone, to the end.
    Back,
}

const RUNNING: &str = "its step is running; try again when it has ended, or pause the run first";

/// What a run's row says beyond what was locked.
struct Row {
    zone: String,
    data: Value,
    now: DateTime<Utc>,
}

/// Where a run goes.
struct Target {
    run_id: Uuid,
    step: String,
    queue: String,
    iteration: i32,
    /// The state in which it ends, where it does, and why.
    ends: Option<(&'static str, Option<String>)>,
    data: Value,
}

/// Moves runs that the caller has locked; gives the reasons of those that can't be moved.
pub(super) async fn go(
    tx: &mut PgConnection,
    definitions: &Definitions,
    runs: &[&Locked],
    to: Where<'_>,
) -> Result<HashMap<Uuid, String>, sqlx::Error> {
    let mut refused = HashMap::new();
    let mut targets = Vec::new();
    for run in runs {
        match target(tx, definitions, run, to).await? {
            Ok(target) => targets.push(target),
            Err(reason) => {
                refused.insert(run.run_id, reason);
            }
        }
    }
    let ids: Vec<Uuid> = targets.iter().map(|target| target.run_id).collect();
    let off: HashSet<Uuid> =
        queue::leave(tx, &ids).await?.into_iter().map(|run| run.run_id).collect();
    let resting = resting(tx, &ids).await?;
    targets.retain(|target| {
        let free = off.contains(&target.run_id) || resting.contains(&target.run_id);
        if !free {
            // A worker took it between our look and our hand.
            refused.insert(target.run_id, RUNNING.into());
        }
        free
    });
    write(tx, &targets).await?;
    Ok(refused)
}

async fn target(
    tx: &mut PgConnection,
    definitions: &Definitions,
    run: &Locked,
    to: Where<'_>,
) -> Result<Result<Target, String>, sqlx::Error> {
    if run.leased {
        return Ok(Err(RUNNING.into()));
    }
    let definition = match definitions.load(&mut *tx, run.definition_id).await {
        Ok(definition) => definition,
        Err(LoadError::Database(error)) => return Err(error),
        Err(error @ (LoadError::Foreign(_) | LoadError::Unreadable(_))) => {
            return Ok(Err(error.to_string()));
        }
    };
    let row = sqlx::query_as!(
        Row,
        r#"select zone, data, engine.now() as "now!" from engine.runs where id = $1"#,
        run.run_id,
    )
    .fetch_one(tx)
    .await?;
    Ok(place(&definition, run, &row, to))
}

fn place(
    definition: &Definition,
    run: &Locked,
    row: &Row,
    to: Where<'_>,
) -> Result<Target, String> {
    let mut memory: Memory = serde_json::from_value(row.data.clone())
        .map_err(|error| format!("what the run remembers can't be read: {error}"))?;
    if let Where::To(step) = to {
        memory.waiting = None;
        return jump(definition, run, memory, step);
    }
    let step = definition
        .index_of(&run.step)
        .ok_or_else(|| format!("its version has no step `{}`; jump to one", run.step))?;
    let zone = Zone::parse(&row.zone).map_err(|error| error.to_string())?;
    let situation = Situation {
        definition,
        position: Position { step, iteration: run.iteration, attempt: 1 },
        memory: &memory,
        now: row.now,
        zone: &zone,
        // Nothing fails here, so nothing is drawn.
        subject_id: Uuid::nil(),
    };
    let transition = match to {
        Where::Back => decision::undo(situation, "run.undoing", "a person wanted it".into()),
        Where::Behind | Where::To(_) => decision::advance(situation, Input::Skipped),
    };
    let data = transition.memory.as_ref().map_or_else(|| row.data.clone(), |memory| json!(memory));
    let stays = |ends| Target {
        run_id: run.run_id,
        step: run.step.clone(),
        queue: String::new(),
        iteration: run.iteration,
        ends: Some(ends),
        data: data.clone(),
    };
    match transition.next {
        // A closed window is found by whoever takes the job.
        Next::Enter { step, iteration, at: _ } => Ok(Target {
            run_id: run.run_id,
            step: definition.steps[step].id.clone(),
            queue: definition.steps[step].kind.to_owned(),
            iteration,
            ends: None,
            data,
        }),
        Next::Complete => Ok(stays(("completed", None))),
        Next::Exit { reason, .. } => Ok(stays(("exited", Some(reason)))),
        Next::Hold { reason } => Err(reason),
        Next::Again { .. } | Next::Listen { .. } => Err("it has nowhere to go from here".into()),
    }
}

fn jump(
    definition: &Definition,
    run: &Locked,
    memory: Memory,
    step: &str,
) -> Result<Target, String> {
    let found = definition.index_of(step).map(|index| &definition.steps[index]);
    let found = found.ok_or_else(|| {
        let ids: Vec<&str> = definition.steps.iter().map(|step| step.id.as_str()).collect();
        format!("its version has no step `{step}`; it has: {}", ids.join(", "))
    })?;
    Ok(Target {
        run_id: run.run_id,
        step: found.id.clone(),
        queue: found.kind.to_owned(),
        // No step runs twice under one iteration.
        iteration: run.iteration + 1,
        ends: None,
        data: json!(memory),
    })
}

/// Those that have no job by right: paused and held ones, and those that wait for a signal without end.
async fn resting(tx: &mut PgConnection, ids: &[Uuid]) -> Result<HashSet<Uuid>, sqlx::Error> {
    let rows = sqlx::query_scalar!(
        "select id from engine.runs where id = any($1) and place in ('none', 'signal')",
        ids,
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().collect())
}

async fn write(tx: &mut PgConnection, targets: &[Target]) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = targets.iter().map(|target| target.run_id).collect();
    let steps: Vec<String> = targets.iter().map(|target| target.step.clone()).collect();
    let queues: Vec<String> = targets.iter().map(|target| target.queue.clone()).collect();
    let iterations: Vec<i32> = targets.iter().map(|target| target.iteration).collect();
    let (ends, reasons): (Vec<Option<&str>>, Vec<Option<String>>) = targets
        .iter()
        .map(|target| target.ends.clone().unzip())
        .map(|(end, why)| (end, why.flatten()))
        .unzip();
    let data: Vec<Value> = targets.iter().map(|target| target.data.clone()).collect();
    sqlx::query!(
        "with moved as (
           update engine.runs r set
             state = case when w.ends is not null then w.ends when r.state = 'held' then 'live' else r.state end,
             place = case when w.ends is not null or r.state = 'paused' then 'none' else 'job' end,
             step = w.step, queue = case when w.ends is null then w.queue else r.queue end, iteration = w.iteration,
             attempt = 0, next_at = null, wait_signal = null, intent = null, reason = w.reason,
             remaining = case when r.state = 'paused' and w.ends is null then interval '0' end,
             ended_at = case when w.ends is not null then engine.now() end,
             data = w.data, changed_at = engine.now(), seq = r.seq + 1
           from unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::text[], $6::text[], $7::jsonb[])
             as w(id, step, queue, iteration, ends, reason, data)
           where r.id = w.id
           returning r.id, r.customer_id, r.queue, r.step, r.iteration, r.state, r.boost
         )
         insert into engine.jobs (run_id, customer_id, queue, step, iteration, boost, pass)
         select id, customer_id, queue, step, iteration, boost, engine.pass() - boost from moved where state = 'live'",
        &ids,
        &steps,
        &queues,
        &iterations,
        &ends as &[Option<&str>],
        &reasons as &[Option<String>],
        &data,
    )
    .execute(tx)
    .await?;
    Ok(())
}
