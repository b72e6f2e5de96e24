//! Works at one step: finds out why it runs, and runs it under its timeout; `finish` says what came of it.
//! A panic, a timeout, a payload that can't be read: all become something to record, never a dead worker.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::sync::SemaphorePermit;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::finish::{Finished, child_of, decide, given_up, held, later};
use super::{Shared, StepJob};
use crate::clock;
use crate::context::{Context, Parts};
use crate::decision::{self, Delivered, Input, Look, Memory, Position, Situation, heard};
use crate::definition::Definition;
use crate::definition_store::LoadError;
use crate::step::{Effect, Outcome, Reconciled, StepError, Verdict, Wake};
use crate::timing::{Delay, Zone};

/// After how many deaths of its worker a job is under suspicion: it may have killed them, or have been near.
pub(super) const SUSPECT_AFTER: i16 = 3;
/// How many deaths of its worker a job may outlive.
const MAX_CRASHES: i16 = 6;
/// How long a job under suspicion lets others go first, for each death of a worker that had begun it.
const LETS_OTHERS_GO: Duration = Duration::from_millis(200);
/// How many buffered signals of a run are looked at.
const MAX_INBOX: i64 = 100;
/// When a run is looked at again whose definition the database did not give.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// When a run is looked at again that this version of SalesOS can't work at.
const LEFT: Duration = Duration::from_secs(60);
/// How long a run's history may grow.
const MAX_HISTORY: i32 = 100_000;

/// Everything that work at a step needs, read and checked.
pub(super) struct Work {
    pub(super) definition: Arc<Definition>,
    pub(super) memory: Memory,
    pub(super) position: Position,
    pub(super) zone: Zone,
    pub(super) inbox: Vec<Delivered>,
}

/// Works at a job.
pub(super) async fn execute(shared: &Arc<Shared>, job: StepJob) -> Finished {
    // What goes on in this worker was begun by the claim's step.
    if job.in_a_row == 0 {
        shared.unbegun.add_permits(1);
    }
    if !job.live {
        return given_up(job);
    }
    let work = match prepare(shared, &job).await {
        Ok(work) => work,
        Err(Unprepared::Broken(reason)) => return held(job, reason),
        Err(Unprepared::Foreign(reason)) => {
            tracing::debug!(run.id = %job.run_id, reason, "a run is left to another version");
            return later(job, LEFT);
        }
        Err(Unprepared::Database(error)) => {
            tracing::warn!(run.id = %job.run_id, %error, "a step could not be prepared");
            return later(job, LOOK_AGAIN);
        }
    };
    let (input, consumed) = if job.crashes >= SUSPECT_AFTER {
        match begin_alone(shared, &job).await {
            Ok(alone) => {
                let worked = work_at(shared, &job, &work).await;
                drop(alone);
                worked
            }
            Err(error) => {
                tracing::warn!(run.id = %job.run_id, %error, "a suspected step could not be begun");
                return later(job, LOOK_AGAIN);
            }
        }
    } else {
        work_at(shared, &job, &work).await
    };
    match child_of(shared, &job, input).await {
        Ok((input, child)) => {
            let job = StepJob { now: ended(shared, &job, &input).await, ..job };
            decide(job, &work, input, consumed, child)
        }
        Err(error) => {
            tracing::warn!(run.id = %job.run_id, %error, "the run that a step starts could not be looked up");
            later(job, LOOK_AGAIN)
        }
    }
}

/// The instant from which the next step counts. An attempt that failed may have taken long, and the pause behind it is
/// as long as the definition says only if it begins where the attempt ended.
async fn ended(shared: &Shared, job: &StepJob, input: &Input) -> DateTime<Utc> {
    let failed = match input {
        Input::Failed(_) => true,
        Input::Outcome(_)
        | Input::Skipped
        | Input::Closed { .. }
        | Input::Limited
        | Input::StillWaiting { .. }
        | Input::ExitSignal { .. }
        | Input::Broken { .. } => false,
    };
    if !failed {
        return job.now;
    }
    // Without an answer nothing can be recorded either, so the attempt is made again by whoever gets the job next.
    clock::now(&shared.worker.db).await.unwrap_or(job.now)
}

/// Waits for its turn among the jobs under suspicion, and writes that it is begun: should this worker die
/// now, it was with this job. A job that a worker died with comes last, so that whoever kills workers from
/// outside, again and again, does not hit the same job each time and have it held.
async fn begin_alone<'a>(
    shared: &'a Shared,
    job: &StepJob,
) -> Result<SemaphorePermit<'a>, sqlx::Error> {
    let deaths = u32::try_from(job.crashes - SUSPECT_AFTER).unwrap_or_default();
    tokio::time::sleep(LETS_OTHERS_GO * deaths).await;
    let alone = shared.suspects.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
    sqlx::query!(
        "update engine.jobs set begun = true where run_id = $1 and worker = $2 and attempt = $3",
        job.run_id,
        shared.id,
        job.attempt,
    )
    .execute(&shared.worker.queue)
    .await?;
    Ok(alone)
}

/// Why work can't begin.
enum Unprepared {
    Broken(String),
    Foreign(String),
    Database(sqlx::Error),
}

impl From<LoadError> for Unprepared {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Unreadable(reason) => Self::Broken(reason),
            LoadError::Foreign(reason) => Self::Foreign(reason),
            LoadError::Database(error) => Self::Database(error),
        }
    }
}

async fn prepare(shared: &Shared, job: &StepJob) -> Result<Work, Unprepared> {
    if job.crashes >= MAX_CRASHES {
        let reason = format!("its worker died {} times while this step ran", job.crashes);
        return Err(Unprepared::Broken(reason));
    }
    if job.seq >= MAX_HISTORY {
        let reason = format!(
            "its history has {MAX_HISTORY} rows, which is the most; cancel it, and start its subject anew"
        );
        return Err(Unprepared::Broken(reason));
    }
    let worker = &shared.worker;
    let definition = worker.definitions.load(&worker.db, job.definition_id).await?;
    let step = definition.index_of(&job.step).ok_or_else(|| {
        Unprepared::Broken(format!("this version of the workflow has no step `{}`", job.step))
    })?;
    let memory = serde_json::from_value(job.data.clone()).map_err(|error| {
        Unprepared::Broken(format!("what the run remembers can't be read: {error}"))
    })?;
    let zone = Zone::parse(&job.zone).map_err(|error| Unprepared::Broken(error.to_string()))?;
    let inbox = if job.inbox > 0 {
        delivered(shared, job, &definition.exit_on).await.map_err(Unprepared::Database)?
    } else {
        Vec::new()
    };
    let position = Position { step, iteration: job.iteration, attempt: job.attempt };
    Ok(Work { definition, memory, position, zone, inbox })
}

/// What was delivered; signals that end the run come first, so that no flood of others hides them.
async fn delivered(
    shared: &Shared,
    job: &StepJob,
    exits: &[String],
) -> Result<Vec<Delivered>, sqlx::Error> {
    sqlx::query_as!(
        Delivered,
        "select signal_id as id, name, data from engine.inbox where run_id = $1
         order by name <> all($3), signal_id limit $2",
        job.run_id,
        MAX_INBOX,
        exits,
    )
    .fetch_all(&shared.worker.db)
    .await
}

/// Finds out why the step runs, and works at it where there is something to do.
async fn work_at(shared: &Arc<Shared>, job: &StepJob, work: &Work) -> (Input, Vec<Uuid>) {
    match decision::look(situation(job, work), &work.inbox, job.next_at) {
        Look::Heard(signal) => (run(shared, job, work, Some(signal.wake())).await, vec![signal.id]),
        Look::Ending(signal) => exit(shared, job, work, signal).await,
        Look::Due => (run(shared, job, work, Some(Wake::Timer)).await, Vec::new()),
        // Something that does not concern the run's wait, such as a signal for a later step, brought it up.
        Look::Early => (Input::StillWaiting { not_before: job.next_at }, Vec::new()),
        Look::Entering => enter(shared, job, work).await,
    }
}

/// Ends the run for a signal. An intent that a crash left open is settled first: what happened is recorded,
/// and the signal ends the run at its next step.
async fn exit(
    shared: &Shared,
    job: &StepJob,
    work: &Work,
    signal: &Delivered,
) -> (Input, Vec<Uuid>) {
    let acted = match &job.intent {
        Some(intent) => ask(shared, job, work, intent.clone()).await,
        None => Reconciled::DidNotHappen,
    };
    let unknown = match acted {
        Reconciled::Happened(outcome) => return (Input::Outcome(outcome), Vec::new()),
        Reconciled::DidNotHappen => false,
        Reconciled::Unknown(_) => true,
    };
    (Input::ExitSignal { name: signal.name.clone(), unknown }, vec![signal.id])
}

/// Enters a step: its condition, its window, then itself. A signal that came before a step waits for it is
/// taken at once.
async fn enter(shared: &Arc<Shared>, job: &StepJob, work: &Work) -> (Input, Vec<Uuid>) {
    let step = &work.definition.steps[work.position.step];
    let open = job.intent.as_ref().filter(|_| step.effect == Effect::AtMostOnce);
    if let Some(intent) = open {
        match ask(shared, job, work, intent.clone()).await {
            Reconciled::Happened(outcome) => return (Input::Outcome(outcome), Vec::new()),
            Reconciled::DidNotHappen => {}
            Reconciled::Unknown(reason) => {
                return (Input::Failed(StepError::Unknown { reason }), Vec::new());
            }
        }
    }
    if job.intent.is_none() {
        match holds(shared, job, work).await {
            Ok(true) => {}
            Ok(false) => return (Input::Skipped, Vec::new()),
            Err(error) => return (Input::Failed(error), Vec::new()),
        }
        if let Some(until) = decision::opening(situation(job, work), work.position.step) {
            return (Input::Closed { until }, Vec::new());
        }
    }
    if !job.granted && !step.limits.is_empty() {
        return (Input::Limited, Vec::new());
    }
    let input = run(shared, job, work, None).await;
    if let Input::Outcome(Outcome { verdict: Verdict::Wait { signal, key, .. }, .. }) = &input
        && let Some(signal) = heard(&work.inbox, signal, key.as_deref())
    {
        return (run(shared, job, work, Some(signal.wake())).await, vec![signal.id]);
    }
    (input, Vec::new())
}

async fn holds(shared: &Shared, job: &StepJob, work: &Work) -> Result<bool, StepError> {
    let step = &work.definition.steps[work.position.step];
    let Some(when) = &step.when else { return Ok(true) };
    // A wait whose date is read again after a pause is still the one that its condition let in.
    if matches!(step.step.delay(), Some(Delay::Date { .. })) && has_waited(shared, job).await? {
        return Ok(true);
    }
    let variables = context(shared, job, work, None).variables().await?;
    when.evaluate(&variables)
        .map_err(|reason| StepError::Fail { reason: format!("`when`: {reason}") })
}

/// Whether the step has stopped to wait before, in this iteration.
async fn has_waited(shared: &Shared, job: &StepJob) -> Result<bool, StepError> {
    let waited = sqlx::query_scalar!(
        r#"select exists (select from engine.history
             where run_id = $1 and kind = 'step.waiting' and step = $2 and iteration = $3) as "waited!""#,
        job.run_id,
        job.step,
        job.iteration,
    )
    .fetch_one(&shared.worker.db)
    .await;
    waited.map_err(|error| StepError::Retry {
        reason: format!("its history could not be read: {error}"),
        after: None,
    })
}

/// Runs the step in a task of its own, so that neither its panic nor a thread that it blocks stops others.
async fn run(shared: &Shared, job: &StepJob, work: &Work, wake: Option<Wake>) -> Input {
    let cx = Arc::new(context(shared, job, work, wake));
    let definition = &work.definition.steps[work.position.step];
    let (step, running) = (Arc::clone(&definition.step), Arc::clone(&cx));
    let hold = Arc::clone(&shared.hold);
    let work = async move { hold.work(step.run(&running)).await };
    let task = AbortOnDropHandle::new(tokio::spawn(work));
    let failed = match tokio::time::timeout(definition.timeout, task).await {
        Ok(Ok(Ok(outcome))) => return Input::Outcome(outcome),
        Ok(Ok(Err(error))) => return Input::Failed(error),
        Ok(Err(panic)) => panicked(panic),
        Err(_elapsed) => format!("it did not finish within {:?}", definition.timeout),
    };
    Input::Failed(if definition.effect == Effect::AtMostOnce && cx.intended() {
        StepError::Unknown { reason: failed }
    } else {
        StepError::Retry { reason: failed, after: None }
    })
}

/// Asks the outside whether an intent was carried out; whatever goes wrong means that nobody knows.
async fn ask(shared: &Shared, job: &StepJob, work: &Work, intent: Value) -> Reconciled {
    let definition = &work.definition.steps[work.position.step];
    let (step, cx) = (Arc::clone(&definition.step), context(shared, job, work, None));
    let task = tokio::spawn(async move { step.reconcile(&cx, &intent).await });
    match tokio::time::timeout(definition.timeout, AbortOnDropHandle::new(task)).await {
        Ok(Ok(Ok(reconciled))) => reconciled,
        Ok(Ok(Err(error))) => Reconciled::Unknown(error.to_string()),
        Ok(Err(panic)) => Reconciled::Unknown(panicked(panic)),
        Err(_elapsed) => Reconciled::Unknown(format!(
            "the reconciler did not finish within {:?}",
            definition.timeout
        )),
    }
}

fn panicked(error: tokio::task::JoinError) -> String {
    match error.try_into_panic() {
        Ok(payload) => {
            let said = payload
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| payload.downcast_ref::<String>().cloned());
            format!("the step panicked: {}", said.as_deref().unwrap_or("it did not say why"))
        }
        Err(_aborted) => "the step was stopped".into(),
    }
}

fn context(shared: &Shared, job: &StepJob, work: &Work, wake: Option<Wake>) -> Context {
    let registry = shared.worker.definitions.registry();
    let subject = registry
        .subject_kind(&work.definition.subject)
        .expect("a definition is read only with a kind of subject that the registry has");
    Context::new(Parts {
        run_id: job.run_id,
        root_run_id: job.root_id.unwrap_or(job.run_id),
        customer_id: job.customer_id,
        subject_id: job.subject_id,
        definition: Arc::clone(&work.definition),
        step: work.position.step,
        iteration: work.position.iteration,
        attempt: work.position.attempt,
        now: job.now,
        zone: work.zone.clone(),
        outputs: Arc::clone(&work.memory.outputs),
        observed: job.observed.clone(),
        wake,
        load_subject: Arc::clone(&subject.load),
        seen: job.inbox,
        intents: Some(shared.intents.clone()),
    })
}

pub(super) fn situation<'a>(job: &'a StepJob, work: &'a Work) -> Situation<'a> {
    Situation {
        definition: &work.definition,
        position: work.position,
        memory: &work.memory,
        now: job.now,
        zone: &work.zone,
        subject_id: job.subject_id,
    }
}
