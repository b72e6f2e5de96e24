//! `task.create`: gives a person something to do, and may wait until it is done.

use crm::writers::{CreatedTask, TASK_CREATED};
use engine::context::Context;
use engine::fact::Fact;
use engine::step::{FieldType, Outcome, Output, Reference, Step, StepError, Verdict, Wake};
use engine::timing::Delay;
use futures_util::future::{BoxFuture, FutureExt};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::Manual;
use crate::template::render;

/// The signal that tells of a finished task; its data carry the task's `key` and its outcome.
pub(crate) use crm::task::COMPLETED;

/// Gives a person something to do.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaskCreate {
    /// What kind of task, such as `call` or `linkedin`.
    #[serde(default = "general")]
    kind: String,
    /// What to do; a template.
    title: String,
    /// Until when, counted from now, such as `2 business days`.
    due: Option<Length>,
    /// How long the run waits for it to be done, such as `5 days`; without it the run goes on at once.
    wait_until_done: Option<Length>,
}

/// What the reference says of it.
pub(crate) const MANUAL: Manual = Manual {
    outputs: &[
        Output {
            name: "done",
            kind: FieldType::Bool,
            description: "Whether the task was done in time, where the run waited for it.",
        },
        Output {
            name: "outcome",
            kind: FieldType::Text,
            description: "What whoever did it wrote down.",
        },
    ],
    example: r#"[[steps]]
id = "call"
type = "task.create"
kind = "call"
title = "Call {{ contact.first_name | default('them') }}"
due = "1 business days"
wait_until_done = "3 business days"
"#,
};

/// How long, as in `wait`.
#[derive(Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
struct Length(Delay);

impl TryFrom<String> for Length {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Delay::parse_for(&text).map(Self)
    }
}

fn general() -> String {
    "general".into()
}

impl TaskCreate {
    /// What is a template.
    pub(crate) fn texts(&self) -> Vec<(&'static str, &str)> {
        vec![("title", &self.title)]
    }
}

impl Step for TaskCreate {
    fn run<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        async move {
            if let Some(wake) = cx.wake() {
                let output = match wake {
                    Wake::Signal { data, .. } => {
                        json!({ "done": true, "outcome": data["outcome"] })
                    }
                    Wake::Timer => json!({ "done": false }),
                };
                return Ok(Outcome { output: Some(output), ..Outcome::default() });
            }
            let window = cx.definition().timing.window.as_ref();
            let after = |length: &Length| length.0.due(cx.now(), cx.zone(), window, None);
            let title = render("title", &self.title, &cx.variables().await?)?;
            let task = CreatedTask {
                kind: self.kind.clone(),
                title,
                due_at: self.due.as_ref().map(after),
                key: cx.key(),
            };
            let verdict = match &self.wait_until_done {
                None => Verdict::Done,
                Some(length) => Verdict::Wait {
                    signal: COMPLETED.into(),
                    key: Some(cx.key()),
                    until: Some(after(length)),
                },
            };
            let fact = Fact { kind: TASK_CREATED, data: json!(task) };
            Ok(Outcome { verdict, output: None, facts: vec![fact] })
        }
        .boxed()
    }

    fn references(&self) -> Vec<Reference> {
        let signal = || Reference::Signal { key: "wait_until_done", name: COMPLETED.into() };
        self.wait_until_done.as_ref().map(|_| signal()).into_iter().collect()
    }

    fn waits(&self) -> bool {
        self.wait_until_done.is_some()
    }
}
