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
    /// Until when, such as `next tuesday 09:30` or `contact.created_on + 14 days 09:00`. If that has passed, the run
    /// continues at once; if the contact lacks the date, the run is held.
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
    /// The date that the delay counts from, where it names a field. A date that is not there can't be waited for.
    async fn date(&self, cx: &Context) -> Result<Option<NaiveDate>, StepError> {
        match &self.delay {
            Delay::Date { path, .. } => read_date(cx, path).await.map(Some),
            Delay::Elapsed(_) | Delay::Days(_) | Delay::BusinessDays(_) | Delay::Next { .. } => {
                Ok(None)
            }
        }
    }
}

async fn read_date(cx: &Context, path: &str) -> Result<NaiveDate, StepError> {
    let fail = |lacks: &str| {
        let step = cx.step();
        let reason = format!(
            "{lacks}, so step `{step}` does not know until when to wait; write a date such as `2027-09-30` into \
             `{path}`, then retry"
        );
        StepError::Fail { reason }
    };
    let variables = cx.variables().await.map_err(|error| match error {
        StepError::Fail { reason } => StepError::Fail {
            reason: format!("{reason}, so step `{}` can't read `{path}`", cx.step()),
        },
        error @ (StepError::Retry { .. } | StepError::Unknown { .. } | StepError::Superseded) => {
            error
        }
    })?;
    match path.split('.').try_fold(&variables, |value, field| value.get(field)) {
        None | Some(Value::Null) => Err(fail(&format!("`{path}` is empty"))),
        Some(Value::String(text)) if text.trim().is_empty() => {
            Err(fail(&format!("`{path}` is empty")))
        }
        Some(Value::String(text)) => {
            date_of(text).ok_or_else(|| fail(&format!("`{path}` is not a date")))
        }
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(fail(&format!("`{path}` is not a date")))
        }
    }
}

/// A date such as `2027-09-30`, also where a time of day follows.
fn date_of(text: &str) -> Option<NaiveDate> {
    let date = text.trim().split(['T', ' ']).next()?;
    let year = date.split_once('-')?.0;
    let four_digits = year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit());
    four_digits.then(|| date.parse().ok()).flatten()
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

    fn delay(&self) -> Option<&Delay> {
        Some(&self.delay)
    }
}
