//! Lets paused runs continue. Where each goes is decided by `decision::resume`, of what its row, its version and
//! its history say; a run that has a job keeps it.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::control::Locked;
use super::meant::Meant;
use super::waited::{Waited, waited};
use crate::decision::{self, Memory, Position, Rest, Resumed, Rule, Situation, Waiting};
use crate::definition::Definition;
use crate::definition_store::{Definitions, LoadError};
use crate::timing::{Pause, Zone};

/// What the row of a paused run says of its wait.
struct Row {
    id: Uuid,
    definition_id: i64,
    subject_id: Uuid,
    zone: String,
    step: String,
    iteration: i32,
    attempt: i16,
    data: Value,
    /// In microseconds.
    remaining: Option<i64>,
    heard: bool,
    now: DateTime<Utc>,
}

/// Where a run goes, and what of its row changes with it.
struct Going {
    run_id: Uuid,
    /// When its timer is due; `None` for one that gets a job.
    due_at: Option<DateTime<Utc>>,
    data: Option<Value>,
    meant: Option<Value>,
    told: Option<Value>,
}

/// Resumes runs that the caller has locked; gives what their histories say of it.
pub(super) async fn resume(
    tx: &mut PgConnection,
    definitions: &Definitions,
    runs: &[&Locked],
) -> Result<HashMap<Uuid, Value>, sqlx::Error> {
    let ids: Vec<Uuid> = runs.iter().map(|run| run.run_id).collect();
    let decided = decide(&mut *tx, definitions, &ids).await?;
    let queued: HashMap<Uuid, bool> = runs.iter().map(|run| (run.run_id, run.queued)).collect();
    let mut goings = Vec::with_capacity(decided.len());
    for (row, resumed) in decided {
        // A worker holds its job, or one that died while the run was paused has left it.
        let resumed = if queued.get(&row.id) == Some(&true) { Resumed::Now } else { resumed };
        goings.push(going(&row, &resumed));
    }
    write(tx, &goings, &queued).await?;
    Ok(goings.into_iter().filter_map(|going| Some((going.run_id, going.told?))).collect())
}

/// What a paused run would do if it were resumed now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Prospect {
    /// It goes there.
    Goes(Resumed),
    /// It enters its step, which has not begun.
    Enters,
    /// It waits for this signal again, without an end.
    Listens(String),
}

/// What a paused run would do if it were resumed now; `None` where there is no such run.
///
/// # Errors
/// What the statements returned.
pub(crate) async fn would_resume(
    db: &mut PgConnection,
    definitions: &Definitions,
    run_id: Uuid,
) -> Result<Option<Prospect>, sqlx::Error> {
    let decided = decide(db, definitions, &[run_id]).await?;
    Ok(decided.into_iter().next().map(|(row, resumed)| prospect(&row, resumed)))
}

fn prospect(row: &Row, resumed: Resumed) -> Prospect {
    let memory = serde_json::from_value::<Memory>(row.data.clone());
    match (resumed, memory.map(|memory| memory.waiting)) {
        (Resumed::Now, Ok(None)) => Prospect::Enters,
        (Resumed::Now, Ok(Some(Waiting::Signal { signal, until: None, .. }))) if !row.heard => {
            Prospect::Listens(signal)
        }
        (resumed, _) => Prospect::Goes(resumed),
    }
}

async fn decide(
    db: &mut PgConnection,
    definitions: &Definitions,
    ids: &[Uuid],
) -> Result<Vec<(Row, Resumed)>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select r.id, r.definition_id, r.subject_id, r.zone, r.step, r.iteration, r.attempt, r.data,
             (extract(epoch from r.remaining) * 1000000)::bigint as remaining,
             exists (select from engine.inbox i where i.run_id = r.id and i.name = r.wait_signal) as "heard!",
             engine.now() as "now!"
           from engine.runs r where r.id = any($1) order by r.id"#,
        ids,
    )
    .fetch_all(&mut *db)
    .await?;
    let mut waited = waited(&mut *db, ids).await?;
    let mut decided = Vec::with_capacity(rows.len());
    for row in rows {
        let definition = match definitions.load(&mut *db, row.definition_id).await {
            Ok(definition) => Some(definition),
            Err(LoadError::Database(error)) => return Err(error),
            // Left to a binary that can read it; what was left of its delay continues.
            Err(LoadError::Foreign(_) | LoadError::Unreadable(_)) => None,
        };
        let waited = waited.remove(&row.id).unwrap_or_default();
        let resumed = resumed(&row, waited, definition.as_ref());
        decided.push((row, resumed));
    }
    Ok(decided)
}

fn resumed(row: &Row, waited: Waited, definition: Option<&Arc<Definition>>) -> Resumed {
    let left = row.remaining.map(TimeDelta::microseconds);
    let rest = Rest {
        left,
        paused_at: waited.paused_at,
        since: waited.since,
        pauses: with_open(waited.pauses, waited.paused_at, row.now),
        deferred: waited.deferred,
        heard: row.heard,
    };
    understood(row, &rest, definition).unwrap_or_else(|| match left {
        Some(left) if left > TimeDelta::zero() && !row.heard => {
            Resumed::Waits { until: row.now + left, local: None, rule: Rule::Rest }
        }
        Some(_) | None => Resumed::Now,
    })
}

fn with_open(
    mut pauses: Vec<Pause>,
    paused_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Vec<Pause> {
    pauses.extend(paused_at.map(|from| Pause { from, until: now }));
    pauses
}

/// Where it goes by its version; `None` where this binary can't read what that takes.
fn understood(row: &Row, rest: &Rest, definition: Option<&Arc<Definition>>) -> Option<Resumed> {
    let definition = definition?;
    let memory: Memory = serde_json::from_value(row.data.clone()).ok()?;
    let zone = Zone::parse(&row.zone).ok()?;
    let position = Position {
        step: definition.index_of(&row.step)?,
        iteration: row.iteration,
        attempt: row.attempt + 1,
    };
    let situation = Situation {
        definition,
        position,
        memory: &memory,
        now: row.now,
        zone: &zone,
        subject_id: row.subject_id,
    };
    Some(decision::resume(situation, rest))
}

fn going(row: &Row, resumed: &Resumed) -> Going {
    let still = Going { run_id: row.id, due_at: None, data: None, meant: None, told: None };
    match resumed {
        Resumed::Now => still,
        Resumed::Passed { until } => Going {
            data: remember(row, Some(*until)),
            told: Some(json!({ "until": until, "passed": true })),
            ..still
        },
        Resumed::Waits { until, local, rule } => Going {
            due_at: Some(*until),
            data: if *rule == Rule::Wait { remember(row, Some(*until)) } else { None },
            meant: local.map(|local| json!(Meant::now(local, *until))),
            told: Some(match rule {
                Rule::Wait | Rule::Rest => json!({ "until": until }),
                Rule::Window => json!({ "until": until, "rule": "window" }),
            }),
            ..still
        },
        Resumed::Anew { path } => {
            Going { data: remember(row, None), told: Some(json!({ "field": path })), ..still }
        }
    }
}

/// What the run remembers, with another instant for which it waits, or without its wait; `None` where that
/// changes nothing.
fn remember(row: &Row, until: Option<DateTime<Utc>>) -> Option<Value> {
    let mut memory: Memory = serde_json::from_value(row.data.clone()).ok()?;
    memory.waiting = match (memory.waiting?, until) {
        (_, None) => None,
        (Waiting::Timer { .. }, Some(until)) => Some(Waiting::Timer { until }),
        (Waiting::Signal { signal, key, .. }, until) => {
            Some(Waiting::Signal { signal, key, until })
        }
    };
    Some(json!(memory))
}

async fn write(
    tx: &mut PgConnection,
    goings: &[Going],
    queued: &HashMap<Uuid, bool>,
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = goings.iter().map(|going| going.run_id).collect();
    let queued: Vec<bool> = ids.iter().map(|id| queued.get(id) == Some(&true)).collect();
    let dues: Vec<Option<DateTime<Utc>>> = goings.iter().map(|going| going.due_at).collect();
    let data: Vec<Option<Value>> = goings.iter().map(|going| going.data.clone()).collect();
    let meant: Vec<Option<Value>> = goings.iter().map(|going| going.meant.clone()).collect();
    sqlx::query!(
        "with going as (
           update engine.runs r set state = 'live', place = case when w.due_at is null then 'job' else 'timer' end,
             next_at = w.due_at, remaining = null, data = coalesce(w.data, r.data), meant = coalesce(w.meant, r.meant),
             changed_at = engine.now(), seq = r.seq + 1
           from unnest($1::uuid[], $2::bool[], $3::timestamptz[], $4::jsonb[], $5::jsonb[])
             as w(id, queued, due_at, data, meant)
           where r.id = w.id and r.state = 'paused'
           returning r.id, r.customer_id, r.queue, r.step, r.iteration, r.attempt, r.boost, r.next_at, w.queued
         ), timed as (
           insert into engine.timers (run_id, due_at, customer_id, queue, step, iteration, attempt, boost)
           select id, next_at, customer_id, queue, step, iteration, attempt, boost from going where next_at is not null
         )
         insert into engine.jobs (run_id, customer_id, queue, step, iteration, attempt, boost, pass)
         select id, customer_id, queue, step, iteration, attempt, boost, engine.pass() - boost from going
         where next_at is null and not queued",
        &ids,
        &queued,
        &dues as &[Option<DateTime<Utc>>],
        &data as &[Option<Value>],
        &meant as &[Option<Value>],
    )
    .execute(tx)
    .await?;
    Ok(())
}
