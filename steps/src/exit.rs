//! `exit`: ends the run, with a reason that people read.

use engine::context::Context;
use engine::step::{Outcome, Step, StepError, Verdict};
use futures_util::future::{BoxFuture, FutureExt};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::Manual;

/// Ends the run.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exit {
    /// Why, in words that people read; `finished` where nothing stands.
    #[serde(default = "finished")]
    #[schemars(extend("x-change" = "copy"))]
    reason: String,
}

/// What the reference says of it.
pub(crate) const MANUAL: Manual = Manual {
    outputs: &[],
    example: r#"[[steps]]
id = "end"
type = "exit"
reason = "no answer after four mails"
"#,
};

fn finished() -> String {
    "finished".into()
}

impl Step for Exit {
    fn run<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        let verdict = Verdict::Exit { reason: self.reason.clone() };
        async move { Ok(Outcome { verdict, ..Outcome::default() }) }.boxed()
    }

    fn diverts(&self) -> bool {
        true
    }
}
