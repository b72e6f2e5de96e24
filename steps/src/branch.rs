//! `branch`: goes one way or another by a condition.

use engine::context::Context;
use engine::definition::Expression;
use engine::foresight::Sight;
use engine::step::{FieldType, Outcome, Output, Reference, Step, StepError, Verdict};
use futures_util::future::{BoxFuture, FutureExt};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::Manual;

/// Goes to `then` when the condition holds, else to `else`, or on.
///
/// The common key `when` is this step's own here: it decides the way, it skips nothing.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Branch {
    /// The condition in CEL, such as `steps.intro.clicked && contact.title.contains('VP')`.
    when: Expression,
    /// The step to go to when it holds.
    then: String,
    /// The step to go to when it does not; the next one where nothing stands.
    r#else: Option<String>,
}

/// What the reference says of it.
pub(crate) const MANUAL: Manual = Manual {
    outputs: &[Output {
        name: "held",
        kind: FieldType::Bool,
        description: "Whether the condition held.",
    }],
    example: r#"[[steps]]
id = "interested"
type = "branch"
when = "contact.score >= 10 && contact.title.contains('VP')"
then = "call"
else = "later"

[[steps]]
id = "call"
type = "task.create"
kind = "call"
title = "Call {{ contact.first_name | default('them') }}"

[[steps]]
id = "later"
type = "wait"
for = "5 business days"
"#,
};

impl Branch {
    fn verdict(&self, holds: bool) -> Verdict {
        let target = if holds { Some(&self.then) } else { self.r#else.as_ref() };
        match target {
            Some(step) => Verdict::Goto { step: step.clone() },
            None => Verdict::Done,
        }
    }
}

impl Step for Branch {
    fn run<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        async move {
            let failed = |reason: String| StepError::Fail { reason: format!("`when`: {reason}") };
            let holds = self.when.evaluate(&cx.variables().await?).map_err(failed)?;
            let (verdict, output) = (self.verdict(holds), json!({ "held": holds }));
            Ok(Outcome { verdict, output: Some(output), ..Outcome::default() })
        }
        .boxed()
    }

    fn references(&self) -> Vec<Reference> {
        let when = Reference::Condition { key: "when", source: self.when.source().to_owned() };
        let then = Reference::Target { key: "then", step: self.then.clone() };
        let other = self.r#else.clone().map(|step| Reference::Target { key: "else", step });
        [Some(when), Some(then), other].into_iter().flatten().collect()
    }

    fn way(&self, sight: &Sight<'_>) -> Option<Verdict> {
        sight.decide(&self.when).map(|holds| self.verdict(holds))
    }

    fn diverts(&self) -> bool {
        self.r#else.is_some()
    }
}
