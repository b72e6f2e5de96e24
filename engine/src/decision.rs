//! Where a run goes: the pure heart of the engine. Worker, tests and whoever explains a run call the same
//! function. No clock, no I/O, no chance: the instant comes in, and what is drawn is hashed from what the run is about.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::context::draw_for;
use crate::definition::{Definition, OnFailure, Retry};
use crate::id;
use crate::step::{CHILD_ENDED, NewChild, Outcome, StepError, Verdict};
use crate::timing::{Opening, Zone};

mod look;
mod resume;

pub use look::{Delivered, Look, heard, look};
pub use resume::{Rest, Resumed, Rule, resume};

/// How often a run may turn back before it is held: a loop that never ends shows itself.
pub const MAX_ITERATIONS: i32 = 1_000;

/// The longest pause that another side may ask for before a retry; what it names beyond is not believed.
pub const LONGEST_AFTER: Duration = Duration::from_secs(30 * 24 * 3_600);

/// What a run remembers between its steps; the `data` of its row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// What steps gave, by step id.
    #[serde(default, skip_serializing_if = "no_outputs")]
    pub outputs: Arc<Map<String, Value>>,
    /// For what the present step has stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// The steps that were done and can be undone, in the order in which they were done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub done: Vec<String>,
    /// Why the run undoes what it did; the last of `done` is being undone then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoing: Option<String>,
}

fn no_outputs(outputs: &Arc<Map<String, Value>>) -> bool {
    outputs.is_empty()
}

/// For what a step has stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "snake_case", deny_unknown_fields)]
pub enum Waiting {
    /// An instant; its timer moves the run on.
    Timer { until: DateTime<Utc> },
    /// A signal, which moves the run on, or the instant does.
    Signal { signal: String, key: Option<String>, until: Option<DateTime<Utc>> },
}

/// Where a run stands while one of its steps is worked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The step's index.
    pub step: usize,
    /// How often the run has turned back.
    pub iteration: i32,
    /// The attempt, from 1.
    pub attempt: i16,
}

/// What came of working at a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// It returned.
    Outcome(Outcome),
    /// It gave no outcome.
    Failed(StepError),
    /// Its condition did not hold.
    Skipped,
    /// Its window is closed until then.
    Closed { until: DateTime<Utc> },
    /// It takes its turn under limits first.
    Limited,
    /// It was looked at before what it waits for had come, or before it may go on at all.
    StillWaiting { not_before: Option<DateTime<Utc>> },
    /// A signal of `[exit]` has come; `unknown` where nobody knows whether the step acted before.
    ExitSignal { name: String, unknown: bool },
    /// It can't be worked at: the reason says what is wrong.
    Broken { reason: String },
}

/// What is to be recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// The kind of the step's row of history; none where the step did not come to run.
    pub kind: Option<&'static str>,
    /// That row's data.
    pub detail: Option<Detail>,
    /// Where the run goes.
    pub next: Next,
    /// The new memory, where it changes.
    pub memory: Option<Memory>,
    /// What becomes of an intent that stands.
    pub intent: Intent,
    /// A run to start with it.
    pub child: Option<NewChild>,
}

/// What a row of history tells besides its kind; what it does not know is left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Detail {
    /// The step to which the run goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// When it is entered, where that is not at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
    /// The step that is being undone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undoes: Option<String>,
    /// For which signal it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// Until when it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// Whether that had passed already, so that it did not wait.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub passed: bool,
    /// From when that counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<DateTime<Utc>>,
    /// The rule for which it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'static str>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<DateTime<Utc>>,
}

impl Detail {
    /// One that tells why.
    pub fn reason(reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..Self::default() }
    }
}

impl Transition {
    /// Whether an attempt has failed and will need the signals again that it had.
    pub fn needs_its_signals(&self) -> bool {
        let stays = match self.next {
            Next::Again { .. } | Next::Hold { .. } => true,
            Next::Enter { .. } | Next::Listen { .. } | Next::Complete | Next::Exit { .. } => false,
        };
        stays && self.kind == Some("step.failed")
    }
}

/// What becomes of an intent that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// Nobody knows yet whether it was carried out; the next attempt asks.
    Kept,
    /// It was carried out, or it was not: that much is known.
    Settled,
}

/// Where a run goes.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// To a step that is entered anew, at once or at an instant.
    Enter { step: usize, iteration: i32, at: Option<DateTime<Utc>> },
    /// To the same step again; `attempt` is how many it has used.
    Again { at: Option<DateTime<Utc>>, attempt: i16 },
    /// Nowhere until the signal comes, or the instant.
    Listen { signal: String, until: Option<DateTime<Utc>> },
    /// To a person.
    Hold { reason: String },
    /// To its end by itself.
    Complete,
    /// To its end by a step or a signal.
    Exit { reason: String, by_signal: bool },
}

/// What a decision is made of, apart from its input.
#[derive(Clone, Copy)]
pub struct Situation<'a> {
    /// The version that the run follows.
    pub definition: &'a Definition,
    /// Where it stands.
    pub position: Position,
    /// What it remembers.
    pub memory: &'a Memory,
    /// The instant.
    pub now: DateTime<Utc>,
    /// The run's zone.
    pub zone: &'a Zone,
    /// What the run is about; by it retries are spread, in a rehearsal as in the run.
    pub subject_id: Uuid,
}

/// Decides where a run goes.
pub fn advance(situation: Situation<'_>, input: Input) -> Transition {
    match input {
        Input::Outcome(outcome) => settled(situation, outcome),
        Input::Failed(error) => failed(situation, &error),
        Input::Skipped => {
            let memory = entered(situation.memory, None, situation);
            onward(situation, "step.skipped", memory)
        }
        Input::Closed { until } => Transition {
            kind: Some("step.deferred"),
            detail: Some(Detail { until: Some(until), rule: Some("window"), ..Detail::default() }),
            next: Next::Again { at: Some(until), attempt: situation.position.attempt - 1 },
            memory: None,
            intent: Intent::Kept,
            child: None,
        },
        Input::Limited => Transition {
            kind: None,
            detail: None,
            next: Next::Again { at: None, attempt: situation.position.attempt - 1 },
            memory: None,
            intent: Intent::Settled,
            child: None,
        },
        Input::StillWaiting { not_before } => Transition {
            kind: None,
            detail: None,
            next: still_waiting(situation, not_before),
            memory: None,
            intent: Intent::Kept,
            child: None,
        },
        Input::ExitSignal { name, unknown } => {
            let next = Next::Exit { reason: name, by_signal: true };
            let intent = if unknown { Intent::Kept } else { Intent::Settled };
            Transition { intent, ..ending(None, next) }
        }
        Input::Broken { reason } => Transition {
            kind: None,
            detail: None,
            next: Next::Hold { reason },
            memory: None,
            intent: Intent::Kept,
            child: None,
        },
    }
}

fn settled(situation: Situation<'_>, outcome: Outcome) -> Transition {
    let Outcome { verdict, output, facts: _, local } = outcome;
    match verdict {
        Verdict::Done => passed(done(situation, output), local, situation.zone),
        Verdict::Start { child, wait: false } => {
            Transition { child: Some(child), ..done(situation, output) }
        }
        Verdict::Start { child, wait: true } => {
            let key = Some(id::show("run", child.run_id));
            let waiting = Waiting::Signal { signal: CHILD_ENDED.into(), key, until: None };
            Transition { child: Some(child), ..stopped(situation, output, waiting) }
        }
        Verdict::Goto { step } => match situation.definition.index_of(&step) {
            Some(index) => {
                let memory = completed(situation, output);
                toward(situation, "step.done", Some(index), memory)
            }
            None => hold(
                format!("the step went to `{step}`, which this version does not have"),
                Intent::Settled,
            ),
        },
        Verdict::Exit { reason } => {
            ending(Some("step.done"), Next::Exit { reason, by_signal: false })
        }
        Verdict::Sleep { until } => stopped(situation, output, Waiting::Timer { until }),
        Verdict::Wait { signal, key, until } => {
            stopped(situation, output, Waiting::Signal { signal, key, until })
        }
    }
}

fn done(situation: Situation<'_>, output: Option<Value>) -> Transition {
    let memory = completed(situation, output);
    onward(situation, "step.done", memory)
}

/// A step that had nothing to wait for tells which local time has passed.
fn passed(mut transition: Transition, local: Option<NaiveDateTime>, zone: &Zone) -> Transition {
    if let (Some(local), Some(detail)) = (local, &mut transition.detail) {
        (detail.until, detail.passed) = (Some(zone.resolve(local)), true);
    }
    transition
}

/// The memory of a step that was done: what can be undone is noted.
fn completed(situation: Situation<'_>, output: Option<Value>) -> Option<Memory> {
    let memory = entered(situation.memory, output, situation);
    let step = &situation.definition.steps[situation.position.step];
    if step.compensate.is_none() || situation.memory.undoing.is_some() {
        return memory;
    }
    let mut memory = memory.unwrap_or_else(|| situation.memory.clone());
    memory.done.push(step.id.clone());
    Some(memory)
}

/// The memory with a step's output and without what it waited for; `None` where nothing changes.
fn entered(memory: &Memory, output: Option<Value>, situation: Situation<'_>) -> Option<Memory> {
    if output.is_none() && memory.waiting.is_none() {
        return None;
    }
    let mut memory = memory.clone();
    memory.waiting = None;
    if let Some(output) = output {
        Arc::make_mut(&mut memory.outputs).insert(step_id(situation).into(), output);
    }
    Some(memory)
}

fn stopped(situation: Situation<'_>, output: Option<Value>, waiting: Waiting) -> Transition {
    let mut memory = situation.memory.clone();
    if let Some(output) = output {
        Arc::make_mut(&mut memory.outputs).insert(step_id(situation).into(), output);
    }
    memory.waiting = Some(waiting);
    let next = still_waiting(Situation { memory: &memory, ..situation }, None);
    // From when it counts, so that the delay can be worked out anew once the definition says another.
    let from = Some(situation.now);
    let detail = match &next {
        Next::Again { at, .. } => Some(Detail { until: *at, from, ..Detail::default() }),
        Next::Listen { signal, until } => {
            Some(Detail { signal: Some(signal.clone()), until: *until, from, ..Detail::default() })
        }
        Next::Enter { .. } | Next::Hold { .. } | Next::Complete | Next::Exit { .. } => None,
    };
    Transition {
        kind: Some("step.waiting"),
        detail,
        next,
        memory: Some(memory),
        intent: Intent::Settled,
        child: None,
    }
}

/// Back to what the step waits for, as its memory says; not before an instant that a pause or a retry set.
fn still_waiting(situation: Situation<'_>, not_before: Option<DateTime<Utc>>) -> Next {
    let used = situation.position.attempt - 1;
    if used > 0 && not_before > Some(situation.now) {
        return Next::Again { at: not_before, attempt: used };
    }
    match &situation.memory.waiting {
        Some(Waiting::Timer { until }) => {
            Next::Again { at: Some(*until).max(not_before), attempt: 0 }
        }
        Some(Waiting::Signal { signal, until, .. }) => {
            let until = until.map(|until| not_before.map_or(until, |at| until.max(at)));
            Next::Listen { signal: signal.clone(), until }
        }
        None => Next::Again { at: not_before, attempt: used },
    }
}

fn failed(situation: Situation<'_>, error: &StepError) -> Transition {
    let Position { attempt, .. } = situation.position;
    let step = &situation.definition.steps[situation.position.step];
    let reason = error.to_string();
    let used_up = u16::try_from(attempt).is_ok_and(|attempt| attempt >= step.retry.attempts);
    match error {
        StepError::Superseded => Transition {
            kind: None,
            detail: None,
            next: Next::Again { at: None, attempt: attempt - 1 },
            memory: None,
            intent: Intent::Settled,
            child: None,
        },
        StepError::Unknown { .. } if used_up => {
            hold(format!("nobody knows whether it happened: {reason}"), Intent::Kept)
        }
        StepError::Unknown { .. } => again(situation, &reason, None, Intent::Kept),
        StepError::Retry { .. } if used_up => {
            given_up(situation, format!("{reason} ({attempt} attempts)"))
        }
        StepError::Retry { after, .. } => again(situation, &reason, *after, Intent::Settled),
        StepError::Fail { .. } => given_up(situation, reason),
    }
}

fn again(
    situation: Situation<'_>,
    reason: &str,
    after: Option<Duration>,
    intent: Intent,
) -> Transition {
    let Position { attempt, step, .. } = situation.position;
    let delay = backoff(&situation.definition.steps[step].retry, attempt, draw(situation));
    let at = situation.now + delay.max(after.unwrap_or_default().min(LONGEST_AFTER));
    Transition {
        kind: Some("step.failed"),
        detail: Some(Detail { retry_at: Some(at), ..Detail::reason(reason) }),
        next: Next::Again { at: Some(at), attempt },
        memory: None,
        intent,
        child: None,
    }
}

/// What spreads the retries of a step: another number for each attempt.
fn draw(situation: Situation<'_>) -> u64 {
    let Position { attempt, iteration, .. } = situation.position;
    let purpose = format!("attempt {attempt}");
    let (name, subject_id) = (&situation.definition.name, situation.subject_id);
    draw_for(name, subject_id, step_id(situation), iteration, &purpose)
}

/// How long the attempt after the n-th waits: `first · factorⁿ⁻¹`, at most `max`, moved by up to `jitter`
/// of it to either side, and never below zero.
pub fn backoff(retry: &Retry, attempt: i16, draw: u64) -> Duration {
    let grown = retry.first.as_secs_f64() * retry.factor.powi(i32::from(attempt) - 1);
    let delay = grown.min(retry.max.as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "a spread needs no exact draw")]
    let spread = (draw as f64 / u64::MAX as f64) * 2.0 - 1.0;
    Duration::try_from_secs_f64(delay * (1.0 + retry.jitter * spread)).unwrap_or(retry.max)
}

fn given_up(situation: Situation<'_>, reason: String) -> Transition {
    let step = &situation.definition.steps[situation.position.step];
    let memory = || entered(situation.memory, None, situation);
    let mut transition = match &step.on_failure {
        OnFailure::Hold => return hold(reason, Intent::Settled),
        OnFailure::Continue => onward(situation, "step.failed", memory()),
        OnFailure::Goto(index) => toward(situation, "step.failed", Some(*index), memory()),
        OnFailure::Compensate => undo(situation, "step.failed", reason.clone()),
    };
    if let Some(detail) = &mut transition.detail {
        detail.reason = Some(reason);
    }
    transition
}

/// On behind a step: to what follows it, or while the run undoes what it did, to what is undone next.
fn onward(situation: Situation<'_>, kind: &'static str, memory: Option<Memory>) -> Transition {
    let Some(reason) = situation.memory.undoing.clone() else {
        return toward(situation, kind, following(situation), memory);
    };
    let mut undone = memory.unwrap_or_else(|| situation.memory.clone());
    undone.done.pop();
    undo_last(situation, kind, reason, undone)
}

/// Begins to undo what the run did, last step first; then the run ends, for this reason.
pub fn undo(situation: Situation<'_>, kind: &'static str, reason: String) -> Transition {
    let mut memory = situation.memory.clone();
    memory.waiting = None;
    memory.undoing = Some(reason.clone());
    undo_last(situation, kind, reason, memory)
}

/// To the step that undoes the last of those that were done, under an iteration of its own.
fn undo_last(
    situation: Situation<'_>,
    kind: &'static str,
    reason: String,
    memory: Memory,
) -> Transition {
    let steps = &situation.definition.steps;
    let last = memory.done.last().and_then(|done| situation.definition.index_of(done));
    match last.and_then(|done| steps[done].compensate) {
        Some(target) => Transition {
            kind: Some(kind),
            detail: Some(Detail {
                to: Some(steps[target].id.clone()),
                undoes: memory.done.last().cloned(),
                ..Detail::default()
            }),
            next: Next::Enter {
                step: target,
                iteration: situation.position.iteration + 1,
                at: opening(situation, target),
            },
            memory: Some(memory),
            intent: Intent::Settled,
            child: None,
        },
        None => Transition {
            detail: Some(Detail::default()),
            memory: Some(memory),
            ..ending(
                Some(kind),
                Next::Exit { reason: format!("undone: {reason}"), by_signal: false },
            )
        },
    }
}

/// On to a step, or to the end where there is none.
fn toward(
    situation: Situation<'_>,
    kind: &'static str,
    target: Option<usize>,
    memory: Option<Memory>,
) -> Transition {
    let Some(target) = target else {
        return Transition {
            kind: Some(kind),
            detail: Some(Detail::default()),
            next: Next::Complete,
            memory,
            intent: Intent::Settled,
            child: None,
        };
    };
    let turned_back = target <= situation.position.step;
    let iteration = situation.position.iteration + i32::from(turned_back);
    if iteration > MAX_ITERATIONS {
        let reason = format!("the run turned back {MAX_ITERATIONS} times; its loop does not end");
        return hold(reason, Intent::Settled);
    }
    let at = opening(situation, target);
    let detail = Detail {
        to: Some(situation.definition.steps[target].id.clone()),
        at,
        rule: at.map(|_| "window"),
        ..Detail::default()
    };
    Transition {
        kind: Some(kind),
        detail: Some(detail),
        next: Next::Enter { step: target, iteration, at },
        memory,
        intent: Intent::Settled,
        child: None,
    }
}

/// When the window of a step opens; `None` where it may act now.
pub fn opening(situation: Situation<'_>, step: usize) -> Option<DateTime<Utc>> {
    if !situation.definition.steps[step].windowed {
        return None;
    }
    let window = situation.definition.timing.window.as_ref()?;
    match window.opens_at(situation.now, situation.zone) {
        Opening::Open { .. } => None,
        Opening::Opens { at, .. } => Some(at),
    }
}

/// When the window in which a step may act closes; `None` where nothing closes.
pub fn closing(situation: Situation<'_>, step: usize) -> Option<DateTime<Utc>> {
    if !situation.definition.steps[step].windowed {
        return None;
    }
    let window = situation.definition.timing.window.as_ref()?;
    match window.opens_at(situation.now, situation.zone) {
        Opening::Open { closes_at } => Some(closes_at),
        Opening::Opens { .. } => Some(situation.now),
    }
}

fn following(situation: Situation<'_>) -> Option<usize> {
    situation.definition.steps[situation.position.step].next
}

fn ending(kind: Option<&'static str>, next: Next) -> Transition {
    Transition { kind, detail: None, next, memory: None, intent: Intent::Settled, child: None }
}

fn hold(reason: String, intent: Intent) -> Transition {
    Transition {
        kind: Some("step.failed"),
        detail: Some(Detail::reason(&reason)),
        next: Next::Hold { reason },
        memory: None,
        intent,
        child: None,
    }
}

fn step_id<'a>(situation: Situation<'a>) -> &'a str {
    &situation.definition.steps[situation.position.step].id
}

#[cfg(test)]
mod tests;
