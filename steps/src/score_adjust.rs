//! `score.adjust`: moves the contact's engagement score. The domain adds the points when the step is
//! recorded.

use crm::writers::{AdjustedScore, SCORE_ADJUSTED};
use engine::context::Context;
use engine::fact::Fact;
use engine::step::{Outcome, Step, StepError};
use futures_util::future::{BoxFuture, FutureExt};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::Manual;
use crate::template::render;

/// Adds points to the contact's engagement score, or takes some away.
#[derive(Deserialize, JsonSchema)]
#[serde(try_from = "Keys")]
#[schemars(with = "Keys")]
pub(crate) struct ScoreAdjust {
    keys: Keys,
}

/// Adds points to the contact's engagement score, or takes some away.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// How many points, from -1000 to 1000; fewer than none takes away.
    #[schemars(range(min = -1000, max = 1000))]
    points: i32,
    /// Why, in words that people read beside the points; a template.
    reason: String,
}

/// What the reference says of it.
pub(crate) const MANUAL: Manual = Manual {
    outputs: &[],
    example: r#"[[steps]]
id = "warmer"
type = "score.adjust"
points = 15
reason = "asked for prices at {{ contact.company | default('a trade fair') }}"
"#,
};

impl TryFrom<Keys> for ScoreAdjust {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        match keys.points {
            0 => Err("points: 0 points change nothing; write 10, or -10".into()),
            -1_000..=1_000 if keys.reason.trim().is_empty() => {
                Err("reason: it is empty; write why, as in \"asked for prices\"".into())
            }
            -1_000..=1_000 => Ok(Self { keys }),
            points => Err(format!("points: {points} is out of range; write -1000 to 1000")),
        }
    }
}

impl ScoreAdjust {
    /// What is a template.
    pub(crate) fn texts(&self) -> Vec<(&'static str, &str)> {
        vec![("reason", &self.keys.reason)]
    }
}

impl Step for ScoreAdjust {
    fn run<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        async move {
            let reason = render("the reason", &self.keys.reason, &cx.variables().await?)?;
            let data = json!(AdjustedScore { points: self.keys.points, reason });
            Ok(Outcome { facts: vec![Fact { kind: SCORE_ADJUSTED, data }], ..Outcome::default() })
        }
        .boxed()
    }

    fn changes(&self) -> Vec<String> {
        vec!["score".into(), "level".into()]
    }
}
