//! The reply fence: writes the intents of steps that act at most once, in groups. The transaction locks
//! each run and looks whether a signal came, a person stopped it, or the domain refuses; only then may the
//! step act. What commits before the intent prevents the act, always.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Shared, WorkerError, lost};
use crate::context::IntentRequest;
use crate::fact::RunFact;
use crate::step::StepError;

const BATCH: usize = 200;

/// An intent whose run may act, as far as the engine is concerned.
struct Admitted {
    run_id: Uuid,
    root_run_id: Uuid,
    customer_id: Uuid,
    subject_id: Uuid,
    seq: i32,
    at: DateTime<Utc>,
}

/// Writes intents until the channel closes or the database is lost.
pub(super) async fn run(
    shared: Arc<Shared>,
    mut wishes: mpsc::Receiver<IntentRequest>,
) -> Result<(), WorkerError> {
    // Detached: what is stopped in the middle of a transaction closes its connection, instead of handing it on.
    let mut connection = shared.worker.queue.acquire().await?.detach();
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        if wishes.recv_many(&mut batch, BATCH).await == 0 {
            return Ok(());
        }
        let answers = match write(&shared, &mut connection, &batch).await {
            Ok(answers) => answers,
            Err(error) => one_by_one(&shared, &mut connection, &batch, error).await?,
        };
        for (wish, answer) in batch.drain(..).zip(answers) {
            // A step that was stopped meanwhile no longer listens; its intent is settled by a reconciler.
            let _listening = wish.answer.send(answer);
        }
    }
}

/// A batch failed: each intent alone, so that one that the domain can't write stops no other.
async fn one_by_one(
    shared: &Shared,
    connection: &mut PgConnection,
    batch: &[IntentRequest],
    error: sqlx::Error,
) -> Result<Vec<Result<(), StepError>>, WorkerError> {
    if lost(&error) {
        return Err(error.into());
    }
    let mut answers = Vec::with_capacity(batch.len());
    for wish in batch {
        match write(shared, connection, std::slice::from_ref(wish)).await {
            Ok(mut answer) => answers.extend(answer.pop()),
            Err(error) if lost(&error) => return Err(error.into()),
            Err(error) => {
                let reason = format!("its intent could not be written: {error}");
                answers.push(Err(StepError::Retry { reason, after: None }));
            }
        }
    }
    Ok(answers)
}

pub(super) async fn write(
    shared: &Shared,
    connection: &mut PgConnection,
    batch: &[IntentRequest],
) -> Result<Vec<Result<(), StepError>>, sqlx::Error> {
    let mut tx = connection.begin().await?;
    let ending = below_ending(&mut tx, batch).await?;
    let admitted = admit(&mut tx, shared.id, batch).await?.into_iter();
    let open: HashMap<Uuid, Admitted> =
        admitted.filter(|row| !ending.contains(&row.run_id)).map(|row| (row.run_id, row)).collect();
    let asked: Vec<RunFact> =
        batch.iter().filter_map(|wish| Some(fact(wish, open.get(&wish.run_id)?))).collect();
    let verdicts = shared.worker.writers.admit(&mut tx, &asked).await?;
    let refused: HashMap<Uuid, String> = asked
        .iter()
        .zip(verdicts)
        .filter_map(|(fact, verdict)| Some((fact.run_id, verdict?)))
        .collect();
    let written: Vec<&RunFact> =
        asked.iter().filter(|fact| !refused.contains_key(&fact.run_id)).collect();
    note(&mut tx, shared.id, &written).await?;
    tx.commit().await?;
    Ok(batch
        .iter()
        .map(|wish| match (open.get(&wish.run_id), refused.get(&wish.run_id)) {
            (None, _) => Err(StepError::Superseded),
            (Some(_), Some(reason)) => Err(StepError::Fail { reason: reason.clone() }),
            (Some(_), None) => Ok(()),
        })
        .collect())
}

fn fact(wish: &IntentRequest, row: &Admitted) -> RunFact {
    RunFact {
        run_id: wish.run_id,
        root_run_id: row.root_run_id,
        customer_id: row.customer_id,
        subject_id: row.subject_id,
        step: wish.step.clone(),
        iteration: wish.iteration,
        seq: row.seq,
        at: row.at,
        data: wish.data.clone(),
    }
}

/// Those of the runs that others wait for, and that end with them: a run above has ended, or has heard what ends
/// it. A reply to it came before these acts, though the run itself may have been started too late to hear it.
async fn below_ending(
    tx: &mut PgConnection,
    batch: &[IntentRequest],
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let runs: Vec<Uuid> = batch
        .iter()
        .filter(|wish| wish.root_run_id != wish.run_id)
        .map(|wish| wish.run_id)
        .collect();
    if runs.is_empty() {
        return Ok(HashSet::new());
    }
    // Jobs, then runs from the top down: the order in which everybody locks.
    sqlx::query!(
        "select from engine.jobs where run_id = any($1) order by run_id for update",
        &runs
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "with recursive line as (
           select id, parent_id as above from engine.runs where id = any($1) and joined
           union
           select l.id, p.parent_id from line l join engine.runs p on p.id = l.above and p.joined
         )
         select from engine.runs where id = any(array(select above from line)) order by id for share",
        &runs,
    )
    .execute(&mut *tx)
    .await?;
    // A statement of its own: it sees what committed before the locks were had.
    let ending = sqlx::query_scalar!(
        r#"with recursive line as (
             select id, parent_id as above from engine.runs where id = any($1) and joined
             union
             select l.id, p.parent_id from line l join engine.runs p on p.id = l.above and p.joined
           )
           select distinct l.id as "id!" from line l
           join engine.runs a on a.id = l.above join engine.definitions d on d.id = a.definition_id
           where a.ended_at is not null or (not a.data ? 'undoing' and exists (
             select from engine.inbox i where i.run_id = a.id and i.name = any(d.exits)))"#,
        &runs,
    )
    .fetch_all(tx)
    .await?;
    Ok(ending.into_iter().collect())
}

/// Locks jobs, then runs, and gives those that still may act: leased by this attempt, live, and with no
/// signal that the attempt has not seen.
async fn admit(
    tx: &mut PgConnection,
    worker: i64,
    batch: &[IntentRequest],
) -> Result<Vec<Admitted>, sqlx::Error> {
    let runs: Vec<Uuid> = batch.iter().map(|wish| wish.run_id).collect();
    let steps: Vec<String> = batch.iter().map(|wish| wish.step.clone()).collect();
    let iterations: Vec<i32> = batch.iter().map(|wish| wish.iteration).collect();
    let attempts: Vec<i16> = batch.iter().map(|wish| wish.attempt).collect();
    let seen: Vec<i32> = batch.iter().map(|wish| wish.seen).collect();
    sqlx::query_as!(
        Admitted,
        r#"with wished as (
             select * from unnest($2::uuid[], $3::text[], $4::int[], $5::smallint[], $6::int[])
               as w(run_id, step, iteration, attempt, seen)
           ), leased as materialized (
             select j.run_id, w.seen from wished w join engine.jobs j on j.run_id = w.run_id
             where j.worker is not distinct from $1 and j.step = w.step and j.iteration = w.iteration
               and j.attempt = w.attempt
             order by j.run_id for update of j
           )
           select r.id as run_id, coalesce(r.root_id, r.id) as "root_run_id!", r.customer_id, r.subject_id, r.seq + 1 as "seq!", engine.now() as "at!"
           from leased l join engine.runs r on r.id = l.run_id
           where r.state = 'live' and r.inbox <= l.seen
           order by r.id for update of r"#,
        worker,
        &runs,
        &steps,
        &iterations,
        &attempts,
        &seen,
    )
    .fetch_all(tx)
    .await
}

/// Writes the intents to their runs, each with its row of history.
async fn note(tx: &mut PgConnection, worker: i64, intents: &[&RunFact]) -> Result<(), sqlx::Error> {
    if intents.is_empty() {
        return Ok(());
    }
    let runs: Vec<Uuid> = intents.iter().map(|fact| fact.run_id).collect();
    let data: Vec<Value> = intents.iter().map(|fact| fact.data.clone()).collect();
    sqlx::query!(
        "with i as (
           select * from unnest($2::uuid[], $3::jsonb[]) as i(run_id, data)
         ), noted as (
           update engine.runs r set intent = i.data, seq = r.seq + 1, changed_at = engine.now()
           from i where r.id = i.run_id
           returning r.id, r.seq, r.step, r.iteration
         )
         insert into engine.history (run_id, seq, at, kind, step, iteration, actor)
         select id, seq, engine.now(), 'step.intended', step, iteration, 'worker:' || $1::bigint from noted",
        worker,
        &runs,
        &data,
    )
    .execute(tx)
    .await?;
    Ok(())
}
