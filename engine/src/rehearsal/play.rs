//! Plays a definition's scenarios: somebody walks through it, and what must come is compared with what came.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{Act, Assumptions, Person, Rehearsal};
use crate::definition::{Definition, Expectation, Expected, Moment, Scenario};
use crate::timing::Zone;

/// For how long a scenario is played; a run that goes on for longer has to be asked about earlier.
const LONGEST: TimeDelta = TimeDelta::days(800);
/// How many acts of one scenario are looked at.
const ACTS: usize = 10_000;

/// What came of a scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Played {
    /// All that the run did.
    pub acts: Vec<Act>,
    /// What did not come as it must, in words.
    pub failures: Vec<String>,
}

/// Plays one scenario of a definition.
pub fn play(definition: &Arc<Definition>, scenario: &Scenario) -> Played {
    let start = scenario.zone.resolve(scenario.start);
    let person = Person {
        run_id: Uuid::nil(),
        subject_id: Uuid::nil(),
        subject: Arc::new(Value::Object(scenario.subject.clone())),
        zone: scenario.zone.clone(),
        starts_at: start,
        limit_keys: Arc::new(Value::Null),
    };
    let people = [person];
    let nothing = Assumptions::default();
    let mut rehearsal = Rehearsal::new(Arc::clone(definition), &people, HashMap::new(), &nothing);
    let instant =
        |moment: &Moment| moment.instant(start, &scenario.zone, definition.timing.window.as_ref());
    for happening in &scenario.when {
        rehearsal.happens(0, instant(&happening.at), happening.what.clone());
    }
    let mut acts = Vec::new();
    rehearsal.go_on(start + LONGEST, |act| {
        if acts.len() < ACTS {
            acts.push(act.clone());
        }
    });
    let judge = Judge { definition, zone: &scenario.zone, acts: &acts };
    let failures = scenario
        .then
        .iter()
        .filter_map(|expected| {
            let by = expected.by.as_ref().map(instant);
            let at = expected.at.as_ref().map(instant);
            judge.fails(expected, by, at)
        })
        .collect();
    Played { acts, failures }
}

struct Judge<'a> {
    definition: &'a Definition,
    zone: &'a Zone,
    acts: &'a [Act],
}

impl Judge<'_> {
    /// What is wrong, if anything is.
    fn fails(
        &self,
        expected: &Expectation,
        by: Option<DateTime<Utc>>,
        at: Option<DateTime<Utc>>,
    ) -> Option<String> {
        match &expected.what {
            Expected::Done { step } => {
                let done = self.done(step);
                let Some(first) = done.first().copied() else {
                    return Some(format!("`{step}` was never done; {}", self.end()));
                };
                let late = by.filter(|by| first > *by).map(|by| self.was("be done by", by, first));
                let other = at
                    .filter(|at| !done.iter().any(|done| same_minute(*done, *at)))
                    .map(|at| self.was("be done at", at, first));
                late.or(other).map(|words| format!("`{step}` {words}"))
            }
            Expected::Never { step } => {
                let within = |done: &DateTime<Utc>| {
                    by.is_none_or(|by| *done <= by) && at.is_none_or(|at| same_minute(*done, at))
                };
                let done = self.done(step).into_iter().find(within)?;
                Some(format!("`{step}` was not to be done, and was at {}", self.zone.local(done)))
            }
            Expected::Ends { state, reason } => {
                let kind = format!("run.{state}");
                let last = self.acts.iter().find(|act| act.kind == kind);
                let Some(last) = last else {
                    return Some(format!("the run was to end as {state}; {}", self.end()));
                };
                if let Some(reason) = reason
                    && why(last) != reason
                {
                    return Some(format!(
                        "the run was to end as {state} for `{reason}`, and did for `{}`",
                        why(last)
                    ));
                }
                let late = by.filter(|by| last.at > *by);
                let other = at.filter(|at| !same_minute(last.at, *at));
                late.map(|by| self.was("end by", by, last.at))
                    .or_else(|| other.map(|at| self.was("end at", at, last.at)))
                    .map(|words| format!("the run {words}"))
            }
        }
    }

    fn done(&self, step: &str) -> Vec<DateTime<Utc>> {
        let index = self.definition.index_of(step);
        let done = |act: &&Act| Some(act.step) == index && act.kind == "step.done";
        self.acts.iter().filter(done).map(|act| act.at).collect()
    }

    fn was(&self, how: &str, wanted: DateTime<Utc>, came: DateTime<Utc>) -> String {
        format!("was to {how} {}, and did at {}", self.zone.local(wanted), self.zone.local(came))
    }

    /// How the run came out.
    fn end(&self) -> String {
        let Some(last) = self.acts.last() else { return "the run did nothing at all".into() };
        let at = self.zone.local(last.at);
        match last.kind {
            "run.completed" => format!("the run completed at {at}"),
            "run.exited" => format!("the run exited at {at} for `{}`", why(last)),
            "run.held" => format!("the run was held at {at}: {}", why(last)),
            _still => {
                let step = &self.definition.steps[last.step].id;
                format!("the run still stands at `{step}`, where it came at {at}")
            }
        }
    }
}

/// The reason that the end of a run gives.
fn why(act: &Act) -> &str {
    act.reason().unwrap_or_default()
}

fn same_minute(a: DateTime<Utc>, b: DateTime<Utc>) -> bool {
    let minute = |at: DateTime<Utc>| at.with_second(0).and_then(|at| at.with_nanosecond(0));
    minute(a) == minute(b)
}
