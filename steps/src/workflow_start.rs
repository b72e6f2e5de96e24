//! `workflow.start`: starts a run of another workflow about the same contact, and may wait for its end.

use engine::context::Context;
use engine::id;
use engine::step::{
    CHILD_ENDED, FieldType, NewChild, Outcome, Output, Step, StepError, Verdict, Wake,
};
use futures_util::future::{BoxFuture, FutureExt};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Manual;

/// Starts a run of another workflow about the same contact.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkflowStart {
    /// The workflow's `name`; the newest version of it is started.
    workflow: String,
    /// Whether this run waits until that one has ended. One that is waited for ends with this run; one that
    /// is not lives on by itself, unless a person cancels this one.
    #[serde(default)]
    wait: bool,
}

/// What the reference says of it.
pub(crate) const MANUAL: Manual = Manual {
    outputs: &[
        Output {
            name: "run",
            kind: FieldType::Text,
            description: "The id of the run that it started.",
        },
        Output {
            name: "state",
            kind: FieldType::Text,
            description: "How that run ended, where this one waited: `completed` or `exited`.",
        },
        Output {
            name: "reason",
            kind: FieldType::Text,
            description: "Why it ended, where that was said.",
        },
    ],
    example: r#"[[steps]]
id = "nurture"
type = "workflow.start"
workflow = "newsletter-intro"
wait = true
"#,
};

impl WorkflowStart {
    fn start(&self, cx: &Context) -> Result<Outcome, StepError> {
        match cx.wake() {
            Some(Wake::Signal { name, data }) if name == CHILD_ENDED => ended(data),
            Some(Wake::Signal { .. } | Wake::Timer) | None => {
                let child = NewChild { run_id: cx.new_run_id(), workflow: self.workflow.clone() };
                let output = json!({ "run": id::show("run", child.run_id) });
                Ok(Outcome {
                    verdict: Verdict::Start { child, wait: self.wait },
                    output: Some(output),
                    ..Outcome::default()
                })
            }
        }
    }
}

/// What the run that it waited for came to. A cancelled one did not do what this run waited for.
fn ended(data: &Value) -> Result<Outcome, StepError> {
    if data["state"] == "cancelled" {
        let reason = "the run that it started was cancelled".into();
        return Err(StepError::Fail { reason });
    }
    let output = json!({ "run": data["key"], "state": data["state"], "reason": data["reason"] });
    Ok(Outcome { output: Some(output), ..Outcome::default() })
}

impl Step for WorkflowStart {
    fn run<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        std::future::ready(self.start(cx)).boxed()
    }

    fn starts_runs(&self) -> bool {
        true
    }
}
