//! What the outside is taken to answer: by shares of what is done, drawn for each person, the same in every
//! rehearsal.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::{Act, Event, Outlook, Person};
use crate::context::draw_for;
use crate::definition::Definition;

/// That a share of what is done is answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Assumption {
    /// The step type that it follows, such as `email.send`.
    pub after: &'static str,
    /// Names it among the others, such as `opened`.
    pub name: &'static str,
    /// What share of the steps done are answered so, 0 to 1.
    pub share: f64,
    /// Within what time the answer comes; evenly spread.
    pub within: Duration,
    /// The signal that comes.
    pub signal: Option<&'static str>,
    /// The field of the step that comes to be true.
    pub observes: Option<&'static str>,
}

/// All that is assumed, with a seed: another seed draws other people.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Assumptions {
    /// What is assumed.
    pub all: Vec<Assumption>,
    /// By default 0.
    pub seed: u64,
}

impl Outlook for Assumptions {
    fn follows(
        &self,
        definition: &Definition,
        person: &Person,
        act: &Act,
    ) -> Vec<(DateTime<Utc>, Event)> {
        if act.kind != "step.done" || self.all.is_empty() {
            return Vec::new();
        }
        let step = &definition.steps[act.step];
        let of_type = |assumed: &&Assumption| assumed.after == step.kind;
        let mut answers = Vec::new();
        for assumed in self.all.iter().filter(of_type) {
            let draw = |purpose: &str| {
                let purpose = format!("{purpose} {} {}", assumed.name, self.seed);
                draw_for(&definition.name, person.subject_id, &step.id, act.iteration, &purpose)
            };
            if !falls(draw("whether"), assumed.share) {
                continue;
            }
            let at = act.at + part(assumed.within, draw("when"));
            if let Some(field) = assumed.observes {
                let fields = Map::from_iter([(field.to_owned(), Value::Bool(true))]);
                answers.push((at, Event::Observed { step: step.id.clone(), fields }));
            }
            if let Some(name) = assumed.signal {
                answers.push((at, Event::Signal { name: name.into(), data: json!({}) }));
            }
        }
        answers
    }
}

/// Whether a draw falls into a share.
fn falls(draw: u64, share: f64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "a share needs no exact draw")]
    let drawn = draw as f64 / u64::MAX as f64;
    drawn < share
}

/// The part of a length on which a draw falls, in whole microseconds.
fn part(length: Duration, draw: u64) -> TimeDelta {
    let microseconds = length.as_micros().saturating_mul(u128::from(draw)) >> 64;
    TimeDelta::microseconds(i64::try_from(microseconds).unwrap_or(i64::MAX))
}
