//! The committer: gathers finished jobs and records hundreds of them in one transaction. A batch that the
//! database refuses is halved until the one that it refuses stands alone; that one is held.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::sync::{Mutex, mpsc};
use uuid::Uuid;

use super::finish::{Finished, held};
use super::plans::Plans;
use super::record::{self, Recorded};
use super::{Shared, StepJob, WorkerError, begins_again, lost, measure};
use crate::clock;
use crate::decision::{Intent, Next, Transition};
use crate::fact::{RUN_CHANGED, RunFact};
use crate::run::{self, StartError};

const BATCH: usize = 500;
/// How often a transaction that lost a deadlock is begun again.
const TRIES: usize = 5;

/// Records until the channel closes or the database is lost. Two at a time: while one waits for its commit,
/// the other gathers and is worked at. Their jobs are never the same, so neither waits for the other's rows.
pub(super) async fn run(
    shared: Arc<Shared>,
    finished: mpsc::Receiver<Finished>,
    ready: mpsc::Sender<StepJob>,
) -> Result<(), WorkerError> {
    let finished = Mutex::new(finished);
    let drive = || drive(&shared, &finished, &ready);
    futures_util::future::try_join(drive(), drive()).await?;
    shared.recorded.notify_one();
    Ok(())
}

async fn drive(
    shared: &Shared,
    finished: &Mutex<mpsc::Receiver<Finished>>,
    ready: &mpsc::Sender<StepJob>,
) -> Result<(), WorkerError> {
    // Detached: what is stopped in the middle of a transaction closes its connection, instead of handing it on.
    let mut connection = shared.worker.queue.acquire().await?.detach();
    let (mut batch, mut plans) = (Vec::with_capacity(BATCH), Plans::new());
    loop {
        if finished.lock().await.recv_many(&mut batch, BATCH).await == 0 {
            return Ok(());
        }
        let (began, rows) = (clock::started(), batch.len());
        record(shared, &mut connection, std::mem::take(&mut batch), ready).await?;
        plans.look(&mut connection, rows, began.elapsed()).await?;
    }
}

/// Records a batch, whatever it takes; only the loss of the database is an error.
fn record<'a>(
    shared: &'a Shared,
    connection: &'a mut PgConnection,
    mut batch: Vec<Finished>,
    ready: &'a mpsc::Sender<StepJob>,
) -> BoxFuture<'a, Result<(), WorkerError>> {
    Box::pin(async move {
        let began = clock::started();
        let mut tries = 0;
        let refused = loop {
            match write(shared, connection, &batch).await {
                Ok(recorded) => {
                    measure::recorded(&batch, began.elapsed());
                    follow(shared, batch, recorded, ready).await;
                    return Ok(());
                }
                Err(error) if tries < TRIES && begins_again(&error) => tries += 1,
                Err(error) if lost(&error) => return Err(error.into()),
                Err(error) => break error,
            }
        };
        if batch.len() > 1 {
            let rest = batch.split_off(batch.len() / 2);
            record(shared, connection, batch, ready).await?;
            return record(shared, connection, rest, ready).await;
        }
        let Some(finished) = batch.pop() else { return Ok(()) };
        if finished.transition.as_ref().is_some_and(|next| matches!(next.next, Next::Hold { .. })) {
            return Err(refused.into());
        }
        tracing::error!(run.id = %finished.job.run_id, step.id = finished.job.step, error = %refused,
            "what a step did could not be recorded; its run is held");
        let reason = format!("what the step did could not be recorded: {refused}");
        let mut holding = held(finished.job, reason);
        if let Some(transition) = &mut holding.transition {
            transition.intent = Intent::Kept;
        }
        record(shared, connection, vec![holding], ready).await
    })
}

pub(super) async fn write(
    shared: &Shared,
    connection: &mut PgConnection,
    batch: &[Finished],
) -> Result<Vec<Recorded>, sqlx::Error> {
    let mut tx = connection.begin().await?;
    let recorded = record::record(&mut tx, shared.id, batch).await?;
    let by_run: HashMap<Uuid, &Finished> =
        batch.iter().map(|done| (done.job.run_id, done)).collect();
    let mut facts = Vec::new();
    let mut consumed = Vec::new();
    let (mut ended, mut family, mut children) = (Vec::new(), Vec::new(), Vec::new());
    for row in &recorded {
        let Some(done) = by_run.get(&row.run_id) else { continue };
        consumed.extend(done.consumed.iter().map(|signal| (row.run_id, *signal)));
        children.extend(done.child.clone());
        if matches!(row.state.as_str(), "completed" | "exited" | "cancelled") {
            ended.extend((row.inbox > 0).then_some(row.run_id));
            family.extend((done.job.parent_id.is_some() || done.starts_runs).then_some(row.run_id));
        }
        told(shared, done, row, &mut facts);
    }
    if !consumed.is_empty() || !ended.is_empty() {
        record::empty_inboxes(&mut tx, &consumed, &ended).await?;
    }
    if !children.is_empty() {
        run::start(&mut tx, &children).await.map_err(|error| match error {
            StartError::Database(error) => error,
            StartError::UnknownDefinition => sqlx::Error::Protocol(error.to_string()),
        })?;
    }
    if !family.is_empty() {
        run::note_ends(&mut tx, &family).await?;
    }
    if !facts.is_empty() {
        shared.worker.writers.write(&mut tx, facts).await?;
    }
    tx.commit().await?;
    Ok(recorded)
}

/// What the domain gets to write about one recorded job.
fn told(
    shared: &Shared,
    done: &Finished,
    row: &Recorded,
    facts: &mut Vec<(&'static str, RunFact)>,
) {
    let fact = |data| RunFact {
        run_id: row.run_id,
        root_run_id: done.job.root_id.unwrap_or(row.run_id),
        customer_id: done.job.customer_id,
        subject_id: done.job.subject_id,
        step: done.job.step.clone(),
        iteration: done.job.iteration,
        seq: row.seq,
        at: row.at,
        data,
    };
    facts.extend(done.facts.iter().map(|given| (given.kind, fact(given.data.clone()))));
    let Some(transition) =
        done.transition.as_ref().filter(|_| shared.worker.writers.knows(RUN_CHANGED))
    else {
        return;
    };
    if transition.kind == Some("step.done") {
        facts.push((RUN_CHANGED, fact(json!({ "change": "step_completed" }))));
    }
    if let Some(failure) = failure(transition) {
        facts.push((RUN_CHANGED, fact(failure)));
    }
    let change = match &transition.next {
        Next::Hold { reason } => json!({ "change": "held", "reason": reason }),
        Next::Complete => json!({ "change": "completed" }),
        Next::Exit { reason, .. } => {
            let unknown = transition.intent == Intent::Kept;
            json!({ "change": "exited", "reason": reason, "unknown": unknown })
        }
        Next::Enter { .. } | Next::Again { .. } | Next::Listen { .. } => return,
    };
    if change["change"] == row.state.as_str() {
        facts.push((RUN_CHANGED, fact(change)));
    }
}

/// What to tell of a step that has failed for good.
fn failure(transition: &Transition) -> Option<Value> {
    let gave_up = match transition.next {
        Next::Again { .. } => false,
        Next::Enter { .. }
        | Next::Listen { .. }
        | Next::Hold { .. }
        | Next::Complete
        | Next::Exit { .. } => true,
    };
    let failed = gave_up && transition.kind == Some("step.failed");
    failed.then(|| {
        let reason = transition.detail.as_ref().and_then(|detail| detail.reason.as_deref());
        let unknown = transition.intent == Intent::Kept;
        json!({ "change": "step_failed", "reason": reason, "unknown": unknown })
    })
}

/// After the commit: runs that go on go back to the handlers, the leases of the others are free.
pub(super) async fn follow(
    shared: &Shared,
    batch: Vec<Finished>,
    recorded: Vec<Recorded>,
    ready: &mpsc::Sender<StepJob>,
) {
    let rows: HashMap<Uuid, Recorded> = recorded.into_iter().map(|row| (row.run_id, row)).collect();
    if rows.len() < batch.len() {
        measure::stale((batch.len() - rows.len()) as u64);
    }
    let (mut queued, mut laned, mut family) = (false, false, false);
    for done in batch {
        let row = rows.get(&done.job.run_id);
        match row {
            Some(row) if done.goes_on => {
                let _closing = ready.send(next_job(done, row)).await;
                continue;
            }
            Some(row) => {
                queued |= row.state == "live";
                laned |= done.lane.is_some() || done.job.granted;
                family |= done.starts_runs || done.job.parent_id.is_some();
            }
            None => tracing::debug!(run.id = %done.job.run_id, "a stale lease recorded nothing"),
        }
        shared.leases.add_permits(1);
    }
    if queued {
        shared.wake.notify_one();
        shared.promote.notify_one();
    }
    if laned {
        shared.grant.notify_one();
    }
    if family {
        shared.family.notify_one();
    }
}

fn next_job(done: Finished, row: &Recorded) -> StepJob {
    let Finished { job, transition, target, .. } = done;
    let (iteration, data) = match transition {
        Some(transition) => {
            let iteration = match transition.next {
                Next::Enter { iteration, .. } => iteration,
                Next::Again { .. }
                | Next::Listen { .. }
                | Next::Hold { .. }
                | Next::Complete
                | Next::Exit { .. } => job.iteration,
            };
            let data = transition
                .memory
                .map(|memory| serde_json::to_value(memory).expect("a memory has text keys only"));
            (iteration, data)
        }
        None => (job.iteration, None),
    };
    StepJob {
        step: target.0,
        queue: target.1,
        iteration,
        attempt: 1,
        crashes: 0,
        live: row.state == "live",
        seq: row.seq,
        granted: false,
        inbox: row.inbox,
        data: data.unwrap_or(job.data),
        intent: None,
        now: row.at,
        next_at: None,
        in_a_row: job.in_a_row + 1,
        ..job
    }
}
