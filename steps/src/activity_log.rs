//! `activity.log`: writes a line into the contact's timeline.

use std::collections::BTreeMap;

use crm::activity::Kind;
use crm::writers::{ACTIVITY_LOGGED, LoggedActivity};
use engine::context::Context;
use engine::definition::Template;
use engine::fact::Fact;
use engine::step::{Outcome, Step, StepError};
use futures_util::future::{BoxFuture, FutureExt};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::Manual;
use crate::template::{is_blank, render};

/// Writes a line into the contact's timeline.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActivityLog {
    /// The line; a template.
    #[schemars(extend("x-change" = "copy"))]
    title: String,
    /// More; a template.
    #[schemars(extend("x-change" = "copy"))]
    body: Option<String>,
}

/// What the reference says of it.
pub(crate) const MANUAL: Manual = Manual {
    outputs: &[],
    example: r#"[[steps]]
id = "noted"
type = "activity.log"
title = "Three mails without an answer"
body = "Intro, bump and the second angle went out to {{ contact.email }}."
"#,
};

impl ActivityLog {
    /// What is a template.
    pub(crate) fn texts(&self) -> Vec<(&'static str, &str)> {
        let body = self.body.as_deref().map(|body| ("body", body));
        std::iter::once(("title", self.title.as_str())).chain(body).collect()
    }
}

impl Step for ActivityLog {
    fn run<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        async move {
            let variables = cx.variables().await?;
            let title = render("the title", &self.title, &variables)?;
            let body =
                self.body.as_ref().map(|body| render("the body", body, &variables)).transpose()?;
            let data = json!(LoggedActivity { kind: Kind::Note, title, body });
            Ok(Outcome { facts: vec![Fact { kind: ACTIVITY_LOGGED, data }], ..Outcome::default() })
        }
        .boxed()
    }

    fn check(&self, _: &BTreeMap<String, Template>) -> Result<(), String> {
        if is_blank(&self.title) {
            return Err(
                "title: it is always empty; write a line, as in \"Asked for prices\"".into()
            );
        }
        Ok(())
    }

    fn rehearse(&self, _: &Context) -> Option<Result<Outcome, StepError>> {
        // Without its texts, which later steps don't read.
        Some(Ok(Outcome::default()))
    }
}
