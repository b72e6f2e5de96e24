//! `wait`: lets time pass, as people mean it.

use chrono::NaiveDate;
use engine::context::Context;
use engine::step::{Outcome, Reference, Step, StepError, Verdict};
use engine::timing::{DaysOff, Delay};
use futures_util::future::{BoxFuture, FutureExt};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::Manual;

/// Lets time pass: `for` a length of time, or `until` a local time.
#[derive(Deserialize, JsonSchema)]
#[serde(try_from = "Keys")]
#[schemars(with = "Keys")]
pub(crate) struct Wait {
    delay: Delay,
}

/// Lets time pass: `for` a length of time, or `until` a local time.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// How long, such as `2 hours`, `4 days` (the same local time) or `3 business days`.
    #[schemars(extend("x-change" = "timing"))]
    r#for: Option<String>,
    /// Until when, such as `next tuesday 09:30` or `contact.created_on + 14 days 09:00`.
    #[schemars(extend("x-change" = "timing"))]
    until: Option<String>,
}

/// What the reference says of it.
pub(crate) const MANUAL: Manual = Manual {
    outputs: &[],
    example: r#"[[steps]]
id = "settle"
type = "wait"
for = "3 business days"

[[steps]]
id = "tuesday"
type = "wait"
until = "next tuesday 09:30"

[[steps]]
id = "fortnight"
type = "wait"
until = "contact.created_on + 14 days 09:00"
"#,
};

impl TryFrom<Keys> for Wait {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        let delay = match (keys.r#for, keys.until) {
            (Some(length), None) => Delay::parse_for(&length)?,
            (None, Some(end)) => Delay::parse_until(&end)?,
            (Some(_), Some(_)) => {
                return Err("`for` and `until` exclude each other; keep one".into());
            }
            (None, None) => {
                return Err("missing field `for`; write for = \"3 business days\"".into());
            }
        };
        Ok(Self { delay })
    }
}

impl Wait {
    /// The date that the delay counts from, where it names a field; an empty field has passed.
    async fn date(&self, cx: &Context) -> Result<Option<NaiveDate>, StepError> {
        match &self.delay {
            Delay::Date { path, .. } => {
                let variables = cx.variables().await?;
                let value = path.split('.').try_fold(&variables, |value, field| value.get(field));
                Ok(value.and_then(Value::as_str).and_then(|text| text.get(..10)?.parse().ok()))
            }
            Delay::Elapsed(_) | Delay::Days(_) | Delay::BusinessDays(_) | Delay::Next { .. } => {
                Ok(None)
            }
        }
    }
}

impl Step for Wait {
    fn run<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        async move {
            if cx.wake().is_some() {
                return Ok(Outcome::default());
            }
            let date = self.date(cx).await?;
            let window = cx.definition().timing.window.as_ref();
            let until = self.delay.due(cx.now(), cx.zone(), window, date);
            let local = self.delay.local(&DaysOff::NONE, cx.now(), cx.zone(), window, date);
            let verdict = if until > cx.now() { Verdict::Sleep { until } } else { Verdict::Done };
            Ok(Outcome { verdict, local, ..Outcome::default() })
        }
        .boxed()
    }

    fn references(&self) -> Vec<Reference> {
        match &self.delay {
            Delay::Date { path, .. } => {
                vec![Reference::DateField { key: "until", path: path.clone() }]
            }
            Delay::Elapsed(_) | Delay::Days(_) | Delay::BusinessDays(_) | Delay::Next { .. } => {
                Vec::new()
            }
        }
    }

    fn waits(&self) -> bool {
        true
    }
}
