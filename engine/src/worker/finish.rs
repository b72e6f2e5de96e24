//! What came of the work at a step, on its way to the committer: where the run goes, under which limits, which
//! run it starts, and what does not fit.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::execute::{Work, situation};
use super::{Shared, StepJob};
use crate::decision::{self, Detail, Input, Intent, Memory, Next, Transition};
use crate::definition_store;
use crate::fact::Fact;
use crate::run::{Meant, NewRun, Parent, Priority};
use crate::step::{Outcome, StepError, Verdict};
use crate::timing::Zone;
use crate::{id, limit};

/// How many steps of one run may go on in this worker before others have their turn.
const MAX_IN_A_ROW: u8 = 16;
/// The most that a run may remember, in bytes of JSON.
const MAX_MEMORY: usize = 256 * 1024;
/// How many runs may stand above a run.
const MAX_DEPTH: i16 = 8;

/// A job that was worked at, on its way to the committer.
pub(super) struct Finished {
    /// The job as it was claimed; its lease fences the record.
    pub(super) job: StepJob,
    /// What is to be recorded; `None` for a run that lives no more, whose job is merely given up.
    pub(super) transition: Option<Transition>,
    /// The step and the queue where the run will stand.
    pub(super) target: (String, String),
    /// Whether the run may go on in this worker without a look at the queue.
    pub(super) goes_on: bool,
    /// The limits under which it takes its turn first.
    pub(super) lane: Option<Lane>,
    /// A run that it starts.
    pub(super) child: Option<NewRun>,
    /// Whether the run's version starts runs, which are to hear of its end.
    pub(super) starts_runs: bool,
    /// For the domain to write.
    pub(super) facts: Vec<Fact>,
    /// Signals that this work used up.
    pub(super) consumed: Vec<Uuid>,
    /// The local time for which it waits, where it waits for one.
    pub(super) meant: Option<Meant>,
}

/// Under which limits a step takes its turn.
pub(super) struct Lane {
    /// Pairs of kind and name, as JSON; the first that has a rule is its line.
    pub(super) limits: Value,
    /// When its send window closes; after that it is looked at anew.
    pub(super) closes_at: Option<DateTime<Utc>>,
    /// How much of each gap's jitter it adds, 0 to 1.
    pub(super) share: f32,
}

/// Finds the workflow of a run that the step starts. One that can't be started fails the step.
pub(super) async fn child_of(
    shared: &Shared,
    job: &StepJob,
    input: Input,
) -> Result<(Input, Option<NewRun>), sqlx::Error> {
    let Input::Outcome(Outcome { verdict: Verdict::Start { child, .. }, .. }) = &input else {
        return Ok((input, None));
    };
    if job.depth >= MAX_DEPTH {
        let reason =
            format!("{MAX_DEPTH} workflows already stand above it; start it from elsewhere");
        return Ok((Input::Failed(StepError::Fail { reason }), None));
    }
    let db = &shared.worker.db;
    let found = definition_store::newest(db, job.customer_id, &child.workflow).await?;
    let Some(definition_id) = found else {
        let reason = format!("there is no workflow `{}`; apply it first", child.workflow);
        return Ok((Input::Failed(StepError::Fail { reason }), None));
    };
    let run = NewRun {
        id: child.run_id,
        customer_id: job.customer_id,
        definition_id,
        subject_id: job.subject_id,
        zone: job.zone.clone(),
        actor: format!("run:{}", id::show("run", job.run_id)),
        start_at: None,
        limit_keys: job.limit_keys.clone(),
        priority: Priority::of_boost(job.boost),
        parent: Some(Parent {
            run_id: job.run_id,
            root_id: job.root_id.unwrap_or(job.run_id),
            depth: job.depth + 1,
            joined: matches!(
                &input,
                Input::Outcome(Outcome { verdict: Verdict::Start { wait: true, .. }, .. })
            ),
        }),
    };
    Ok((input, Some(run)))
}

pub(super) fn decide(
    job: StepJob,
    work: &Work,
    input: Input,
    consumed: Vec<Uuid>,
    child: Option<NewRun>,
) -> Finished {
    let facts = match &input {
        Input::Outcome(outcome) => outcome.facts.clone(),
        Input::Failed(_)
        | Input::Skipped
        | Input::Closed { .. }
        | Input::Limited
        | Input::StillWaiting { .. }
        | Input::ExitSignal { .. }
        | Input::Broken { .. } => Vec::new(),
    };
    let limited = input == Input::Limited;
    let local = match &input {
        Input::Outcome(outcome) => outcome.local,
        Input::Failed(_)
        | Input::Skipped
        | Input::Closed { .. }
        | Input::Limited
        | Input::StillWaiting { .. }
        | Input::ExitSignal { .. }
        | Input::Broken { .. } => None,
    };
    let mut transition = decision::advance(situation(&job, work), input);
    if let Some(reason) = transition.memory.as_ref().and_then(too_large) {
        // What the step did stands; only what it wanted to remember does not fit.
        transition.detail = Some(Detail::reason(&reason));
        transition.next = Next::Hold { reason };
        transition.memory = None;
        transition.child = None;
    }
    let (index, goes_on) = match &transition.next {
        Next::Enter { step, at, .. } => {
            let limits = &work.definition.steps[*step].limits;
            let free = limits.is_empty() && !job.granted;
            (*step, at.is_none() && free && job.in_a_row < MAX_IN_A_ROW)
        }
        Next::Again { .. }
        | Next::Listen { .. }
        | Next::Hold { .. }
        | Next::Complete
        | Next::Exit { .. } => (work.position.step, false),
    };
    let lane = match &transition.next {
        Next::Enter { at: None, .. } => lane(&job, work, index),
        Next::Again { .. } if limited => lane(&job, work, index),
        Next::Enter { .. }
        | Next::Again { .. }
        | Next::Listen { .. }
        | Next::Hold { .. }
        | Next::Complete
        | Next::Exit { .. } => None,
    };
    let consumed = if transition.needs_its_signals() { Vec::new() } else { consumed };
    let step = &work.definition.steps[index];
    let target = (step.id.clone(), step.kind.to_owned());
    let child = child.filter(|_| transition.child.is_some());
    let meant = meant(&transition, local, situation(&job, work).zone);
    Finished {
        job,
        transition: Some(transition),
        target,
        goes_on,
        lane,
        child,
        starts_runs: work.definition.steps.iter().any(|step| step.step.starts_runs()),
        facts,
        consumed,
        meant,
    }
}

/// The local time for which a run waits: that of its step, or the one at which a window opens.
fn meant(transition: &Transition, local: Option<NaiveDateTime>, zone: &Zone) -> Option<Meant> {
    let (at, local) = match (&transition.next, transition.kind) {
        (Next::Enter { at: Some(at), .. }, _)
        | (Next::Again { at: Some(at), .. }, Some("step.deferred")) => (*at, zone.wall(*at)),
        (
            Next::Again { at: Some(at), .. } | Next::Listen { until: Some(at), .. },
            Some("step.waiting"),
        ) => (*at, local?),
        (
            Next::Enter { .. }
            | Next::Again { .. }
            | Next::Listen { .. }
            | Next::Hold { .. }
            | Next::Complete
            | Next::Exit { .. },
            _,
        ) => return None,
    };
    Some(Meant::now(local, at))
}

/// Why a memory can't be kept; `None` where it can.
fn too_large(memory: &Memory) -> Option<String> {
    let bytes = serde_json::to_vec(memory).map_or(usize::MAX, |json| json.len());
    (bytes > MAX_MEMORY).then(|| {
        format!(
            "what its steps gave has {} KiB together, and 256 KiB is the most; keep large values elsewhere and \
             their keys here, then skip or jump",
            bytes.div_ceil(1024)
        )
    })
}

/// The line in which the run waits for a step; `None` where the step has no limits.
fn lane(job: &StepJob, work: &Work, step: usize) -> Option<Lane> {
    let definition = &work.definition.steps[step];
    let pairs = limit::keys(definition, &job.limit_keys);
    let share = limit::share(&work.definition.name, job.subject_id, &definition.id, job.iteration);
    let closes_at = decision::closing(situation(job, work), step);
    (!pairs.is_empty()).then(|| Lane { limits: json!(pairs), closes_at, share })
}

pub(super) fn given_up(job: StepJob) -> Finished {
    let target = (job.step.clone(), job.queue.clone());
    Finished {
        job,
        transition: None,
        target,
        goes_on: false,
        lane: None,
        child: None,
        starts_runs: false,
        facts: Vec::new(),
        consumed: Vec::new(),
        meant: None,
    }
}

/// Holds a run that can't be worked at.
pub(super) fn held(job: StepJob, reason: String) -> Finished {
    let transition = Transition {
        kind: None,
        detail: None,
        next: Next::Hold { reason },
        memory: None,
        intent: Intent::Kept,
        child: None,
    };
    Finished { transition: Some(transition), ..given_up(job) }
}

pub(super) fn later(job: StepJob, pause: Duration) -> Finished {
    let transition = Transition {
        kind: None,
        detail: None,
        next: Next::Again { at: Some(job.now + pause), attempt: job.attempt - 1 },
        memory: None,
        intent: Intent::Kept,
        child: None,
    };
    Finished { transition: Some(transition), ..given_up(job) }
}
