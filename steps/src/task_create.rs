//! `task.create`: gives a person something to do, and may wait until it is done.

use std::collections::BTreeMap;

use crm::writers::{CreatedTask, TASK_CREATED};
use engine::context::Context;
use engine::definition::Template;
use engine::fact::Fact;
use engine::step::{FieldType, Outcome, Output, Reference, Step, StepError, Verdict, Wake};
use engine::timing::{DaysOff, Delay};
use futures_util::future::{BoxFuture, FutureExt};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::Manual;
use crate::template::{is_blank, render};

/// The signal for a finished task; its data hold the task's `key` and its outcome.
pub(crate) use crm::task::COMPLETED;

/// Gives a person something to do.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaskCreate {
    /// What kind of task, such as `call` or `linkedin`.
    #[schemars(extend("x-change" = "copy"))]
    #[serde(default = "general")]
    kind: String,
    /// What to do; a template.
    #[schemars(extend("x-change" = "copy"))]
    title: String,
    /// Until when, counted from now, such as `2 business days`.
    #[schemars(extend("x-change" = "timing"))]
    due: Option<Length>,
    /// How long the run waits for it to be done, such as `5 days`; without it the run goes on at once.
    #[schemars(extend("x-change" = "timing"))]
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

impl TaskCreate {
    /// Creates the task, once its title is there, or goes on when it is done or its time is over.
    fn outcome(&self, cx: &Context, title: String) -> Outcome {
        if let Some(wake) = cx.wake() {
            let output = match wake {
                Wake::Signal { data, .. } => json!({ "done": true, "outcome": data["outcome"] }),
                Wake::Timer => json!({ "done": false }),
            };
            return Outcome { output: Some(output), ..Outcome::default() };
        }
        let window = cx.definition().timing.window.as_ref();
        let after = |length: &Length| length.0.due(cx.now(), cx.zone(), window, None);
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
        let local = self
            .wait_until_done
            .as_ref()
            .and_then(|length| length.0.local(&DaysOff::NONE, cx.now(), cx.zone(), window, None));
        let fact = Fact { kind: TASK_CREATED, data: json!(task) };
        Outcome { verdict, output: None, facts: vec![fact], local }
    }
}

/// The fields of a contact that people may change while a task is open.
pub(crate) fn changed_by_people() -> Vec<String> {
    let fields = crm::contact::FIELDS.iter().map(|(name, _)| *name);
    fields.filter(|name| !matches!(*name, "id" | "created_on")).map(str::to_owned).collect()
}

impl Step for TaskCreate {
    fn run<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        async move {
            let title = match cx.wake() {
                Some(_) => String::new(),
                None => render("the title", &self.title, &cx.variables().await?)?,
            };
            Ok(self.outcome(cx, title))
        }
        .boxed()
    }

    fn rehearse(&self, cx: &Context) -> Option<Result<Outcome, StepError>> {
        // Without its title, which later steps don't read.
        Some(Ok(self.outcome(cx, String::new())))
    }

    fn references(&self) -> Vec<Reference> {
        let signal = || Reference::Signal { key: "wait_until_done", name: COMPLETED.into() };
        self.wait_until_done.as_ref().map(|_| signal()).into_iter().collect()
    }

    fn changes(&self) -> Vec<String> {
        // Whoever does the task may have been asked to find a field out.
        if self.wait_until_done.is_some() { changed_by_people() } else { Vec::new() }
    }

    fn check(&self, _: &BTreeMap<String, Template>) -> Result<(), String> {
        if is_blank(&self.title) {
            return Err("title: it is always empty; write what to do, as in \"Call Ada\"".into());
        }
        Ok(())
    }

    fn waits(&self) -> bool {
        self.wait_until_done.is_some()
    }

    fn delay(&self) -> Option<&Delay> {
        self.wait_until_done.as_ref().map(|length| &length.0)
    }
}
