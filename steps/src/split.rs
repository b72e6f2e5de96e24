//! `split`: sends runs different ways by weight, the same way each time for the same run.

use engine::context::Context;
use engine::foresight::Sight;
use engine::step::{FieldType, Outcome, Output, Reference, Step, StepError, Verdict};
use futures_util::future::{BoxFuture, FutureExt};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::Manual;

/// The most ways of one split.
const MAX_WAYS: usize = 26;
/// For what a run draws.
const DRAW: &str = "split";

/// Goes one of several ways, by weight.
#[derive(Deserialize, JsonSchema)]
#[serde(try_from = "Keys")]
#[schemars(with = "Keys")]
pub(crate) struct Split {
    ways: Vec<Way>,
}

/// Goes one of several ways, by weight.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// The ways, two to 26 of them.
    ways: Vec<Way>,
}

/// A way to go.
#[derive(Deserialize, JsonSchema, Clone)]
#[serde(deny_unknown_fields)]
struct Way {
    /// The step to go to.
    to: String,
    /// Its share beside the others, from 1 to 1000; 1 where nothing stands.
    #[serde(default = "one")]
    weight: u32,
}

/// What the reference says of it.
pub(crate) const MANUAL: Manual = Manual {
    outputs: &[Output {
        name: "way",
        kind: FieldType::Text,
        description: "The id of the step to which the run went.",
    }],
    example: r#"[[steps]]
id = "angle"
type = "split"
ways = [{ to = "story", weight = 3 }, { to = "help" }]

[[steps]]
id = "story"
type = "activity.log"
title = "Gets the story"
next = "end"

[[steps]]
id = "help"
type = "activity.log"
title = "Gets the offer of help"

[[steps]]
id = "end"
type = "exit"
"#,
};

fn one() -> u32 {
    1
}

impl TryFrom<Keys> for Split {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        if !(2..=MAX_WAYS).contains(&keys.ways.len()) {
            return Err(format!("`ways` has {}; write 2 to {MAX_WAYS} of them", keys.ways.len()));
        }
        match keys.ways.iter().find(|way| !(1..=1_000).contains(&way.weight)) {
            Some(way) => Err(format!("`weight` {} is out of range; write 1 to 1000", way.weight)),
            None => Ok(Self { ways: keys.ways }),
        }
    }
}

impl Split {
    /// The way that a draw falls on.
    fn drawn(&self, draw: u64) -> &str {
        let total: u64 = self.ways.iter().map(|way| u64::from(way.weight)).sum();
        let mut rest = draw % total;
        for way in &self.ways {
            let weight = u64::from(way.weight);
            if rest < weight {
                return &way.to;
            }
            rest -= weight;
        }
        unreachable!("the rest is below the sum of the weights")
    }
}

impl Step for Split {
    fn run<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        let step = self.drawn(cx.draw(DRAW)).to_owned();
        let output = Some(json!({ "way": step }));
        let outcome = Outcome { verdict: Verdict::Goto { step }, output, ..Outcome::default() };
        async move { Ok(outcome) }.boxed()
    }

    fn references(&self) -> Vec<Reference> {
        let target = |way: &Way| Reference::Target { key: "ways", step: way.to.clone() };
        self.ways.iter().map(target).collect()
    }

    fn way(&self, sight: &Sight<'_>) -> Option<Verdict> {
        let draw = sight.draw(DRAW)?;
        Some(Verdict::Goto { step: self.drawn(draw).to_owned() })
    }

    fn diverts(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_fall_by_weight() {
        let way = |to: &str, weight| Way { to: to.into(), weight };
        let split = Split { ways: vec![way("a", 3), way("b", 1)] };
        let ways: Vec<&str> = (0..8).map(|draw| split.drawn(draw)).collect();
        assert_eq!(ways, ["a", "a", "a", "b", "a", "a", "a", "b"]);
    }
}
