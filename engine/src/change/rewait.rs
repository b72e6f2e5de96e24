//! For what a run waits in its new version: the step is asked again, as of the instant at which it began to
//! wait. What people meant by the delay decides, not what was left of the old one; pauses are made up for as a
//! resume makes up for them.

use std::sync::Arc;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use super::read::Row;
use crate::context::{Context, Parts};
use crate::decision::Waiting;
use crate::definition::{Definition, StepDefinition};
use crate::step::{CHILD_ENDED, Effect, Registry, Verdict};
use crate::timing::{Delay, Due, Zone};

/// For what a run waits from now on.
pub(super) struct Anew {
    pub(super) waiting: Waiting,
    /// The local time that is meant by its end.
    pub(super) local: Option<NaiveDateTime>,
}

/// What a run waits for in the new version, where that differs; `None` where it waits on as it did. A step
/// whose repetition would do something is never asked.
pub(super) async fn rewait(
    registry: &Registry,
    definition: &Arc<Definition>,
    step: usize,
    run: &Row,
    waiting: &Waiting,
) -> Option<Anew> {
    let is_child = matches!(waiting, Waiting::Signal { signal, .. } if signal == CHILD_ENDED);
    let asked = &definition.steps[step];
    if is_child || asked.effect != Effect::Pure {
        return None;
    }
    let since = run.waited.since?;
    let zone = Zone::parse(&run.zone).ok()?;
    let subject = registry.subject_kind(&definition.subject)?;
    let context = Context::new(Parts {
        run_id: run.id,
        root_run_id: run.root_id.unwrap_or(run.id),
        customer_id: run.customer_id,
        subject_id: run.subject_id,
        definition: Arc::clone(definition),
        step,
        iteration: run.iteration,
        attempt: 1,
        now: since,
        zone: zone.clone(),
        outputs: outputs(run).into(),
        observed: None,
        wake: None,
        load_subject: Arc::clone(&subject.load),
        seen: run.inbox,
        intents: None,
    });
    let outcome = asked.step.run(&context).await.ok()?;
    let due = |at| paused(definition, asked, run, (since, Due { at, local: outcome.local }), &zone);
    let (anew, local) = match outcome.verdict {
        Verdict::Sleep { until } => {
            let due = due(until);
            (Waiting::Timer { until: due.at }, due.local)
        }
        Verdict::Wait { signal, key, until } => {
            // A step that was given another id still hears what was told to the old one.
            let old_key = match waiting {
                Waiting::Signal { signal: old, key, .. } if *old == signal => key.clone(),
                Waiting::Signal { .. } | Waiting::Timer { .. } => key,
            };
            let due = until.map(due);
            let until = due.map(|due| due.at);
            (Waiting::Signal { signal, key: old_key, until }, due.and_then(|due| due.local))
        }
        // It would not have waited at all: it is over since it began.
        Verdict::Done | Verdict::Goto { .. } => (over(waiting, since), None),
        Verdict::Exit { .. } | Verdict::Start { .. } => return None,
    };
    (anew != *waiting).then_some(Anew { waiting: anew, local })
}

/// When a wait is over that would be over as `due` says if nobody had paused the run.
fn paused(
    definition: &Definition,
    asked: &StepDefinition,
    run: &Row,
    (since, due): (DateTime<Utc>, Due),
    zone: &Zone,
) -> Due {
    let window = definition.timing.window.as_ref();
    match asked.step.delay() {
        None | Some(Delay::Next { .. } | Delay::Date { .. }) => due,
        Some(delay @ (Delay::Elapsed(_) | Delay::Days(_) | Delay::BusinessDays(_))) => {
            delay.due_after(&run.waited.pauses, since, zone, window, None)
        }
    }
}

fn outputs(run: &Row) -> Map<String, Value> {
    run.data["outputs"].as_object().cloned().unwrap_or_default()
}

fn over(waiting: &Waiting, since: DateTime<Utc>) -> Waiting {
    match waiting {
        Waiting::Timer { .. } => Waiting::Timer { until: since },
        Waiting::Signal { signal, key, .. } => {
            Waiting::Signal { signal: signal.clone(), key: key.clone(), until: Some(since) }
        }
    }
}

/// When a wait is over by itself.
pub(super) fn until(waiting: &Waiting) -> Option<DateTime<Utc>> {
    match waiting {
        Waiting::Timer { until } => Some(*until),
        Waiting::Signal { until, .. } => *until,
    }
}

/// By how much the end of a wait moves; `None` where one of both has no end.
pub(super) fn shift(was: &Waiting, is: &Waiting) -> Option<TimeDelta> {
    Some(until(is)? - until(was)?)
}
