//! `wait.signal`: waits for something from outside, for a while or for ever.

use chrono::{DateTime, NaiveDateTime, Utc};
use engine::context::Context;
use engine::step::{FieldType, Outcome, Output, Reference, Step, StepError, Verdict, Wake};
use engine::timing::{DaysOff, Delay};
use futures_util::future::{BoxFuture, FutureExt};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::Manual;
use crate::task_create::{COMPLETED, changed_by_people};

/// Waits for a signal, then goes on; after `timeout` it goes to `on_timeout`, or on.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WaitSignal {
    /// The signal, such as `email.replied`.
    signal: String,
    /// How long at most, such as `6 days`; without it the run waits until the signal comes.
    #[schemars(extend("x-change" = "timing"))]
    #[serde(rename = "timeout", default)]
    timeout: Option<Length>,
    /// The step to go to when the signal comes; the next one where nothing stands.
    then: Option<String>,
    /// The step to go to when it does not come in time; the next one where nothing stands.
    on_timeout: Option<String>,
}

/// What the reference says of it.
pub(crate) const MANUAL: Manual = Manual {
    outputs: &[Output {
        name: "came",
        kind: FieldType::Bool,
        description: "Whether the signal came in time.",
    }],
    example: r#"[[steps]]
id = "interest"
type = "wait.signal"
signal = "email.clicked"
timeout = "5 days"
on_timeout = "end"

[[steps]]
id = "call"
type = "task.create"
title = "Call {{ contact.first_name | default('them') }}"

[[steps]]
id = "end"
type = "exit"
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

impl WaitSignal {
    fn until(&self, cx: &Context) -> Option<DateTime<Utc>> {
        let window = cx.definition().timing.window.as_ref();
        self.timeout.as_ref().map(|length| length.0.due(cx.now(), cx.zone(), window, None))
    }

    /// The local time at which it waits no more.
    fn local(&self, cx: &Context) -> Option<NaiveDateTime> {
        let window = cx.definition().timing.window.as_ref();
        self.timeout.as_ref()?.0.local(&DaysOff::NONE, cx.now(), cx.zone(), window, None)
    }
}

impl Step for WaitSignal {
    fn run<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        let onward = |target: &Option<String>| match target {
            Some(step) => Verdict::Goto { step: step.clone() },
            None => Verdict::Done,
        };
        let (verdict, came) = match cx.wake() {
            Some(Wake::Signal { .. }) => (onward(&self.then), Some(true)),
            Some(Wake::Timer) => (onward(&self.on_timeout), Some(false)),
            None => {
                let until = self.until(cx);
                (Verdict::Wait { signal: self.signal.clone(), key: None, until }, None)
            }
        };
        let output = came.map(|came| json!({ "came": came }));
        let local = if came.is_none() { self.local(cx) } else { None };
        async move { Ok(Outcome { verdict, output, local, ..Outcome::default() }) }.boxed()
    }

    fn references(&self) -> Vec<Reference> {
        let signal = Reference::Signal { key: "signal", name: self.signal.clone() };
        let then = self.then.clone().map(|step| Reference::Target { key: "then", step });
        let late =
            self.on_timeout.clone().map(|step| Reference::Target { key: "on_timeout", step });
        [Some(signal), then, late].into_iter().flatten().collect()
    }

    fn changes(&self) -> Vec<String> {
        if self.signal == COMPLETED { changed_by_people() } else { Vec::new() }
    }

    fn waits(&self) -> bool {
        true
    }

    fn delay(&self) -> Option<&Delay> {
        self.timeout.as_ref().map(|length| &length.0)
    }

    fn diverts(&self) -> bool {
        self.then.is_some() && (self.on_timeout.is_some() || self.timeout.is_none())
    }
}
