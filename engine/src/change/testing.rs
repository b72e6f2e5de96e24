//! Definitions for the tests of changes: steps that act, send, wait and branch, and do nothing else.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;

use super::route::Version;
use crate::context::Context;
use crate::definition::{self, Definition, Format};
use crate::step::{Effect, Outcome, Reference, Registry, Step, StepError, StepType, Subject};

#[derive(Deserialize, JsonSchema, Clone)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[schemars(extend("x-change" = "copy"))]
    #[expect(dead_code, reason = "read for its shape only")]
    words: Option<String>,
    #[schemars(extend("x-change" = "timing"))]
    #[expect(dead_code, reason = "read for its shape only")]
    r#for: Option<String>,
    template: Option<String>,
    then: Option<String>,
}

struct Doing {
    keys: Keys,
    waits: bool,
}

impl Step for Doing {
    fn run<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        Box::pin(async { Ok(Outcome::default()) })
    }

    fn references(&self) -> Vec<Reference> {
        let keys = self.keys.clone();
        let target = keys.then.map(|step| Reference::Target { key: "then", step });
        let text = keys.template.map(|name| Reference::Template { key: "template", name });
        target.into_iter().chain(text).collect()
    }

    fn waits(&self) -> bool {
        self.waits
    }

    fn diverts(&self) -> bool {
        self.keys.then.is_some()
    }
}

fn step_type(name: &'static str, effect: Effect, waits: bool) -> StepType {
    StepType {
        name,
        effect,
        timeout: Duration::from_secs(1),
        windowed: false,
        limits: &[],
        outputs: &[],
        example: "",
        schema: || schemars::schema_for!(Keys),
        parse: Arc::new(move |keys| match serde_json::from_value(keys) {
            Ok(keys) => Ok(Arc::new(Doing { keys, waits })),
            Err(error) => Err(error.to_string()),
        }),
    }
}

/// `send` acts at most once, `wait` waits, `fork` goes one of two ways.
pub(super) fn registry() -> Registry {
    Registry::new()
        .step(step_type("send", Effect::AtMostOnce, false))
        .step(step_type("wait", Effect::Pure, true))
        .step(step_type("fork", Effect::Pure, false))
        .subject(Subject {
            name: "thing",
            fields: &[],
            load: Arc::new(|_, _| Box::pin(async { Ok(None) })),
        })
        .signal("stop")
}

/// A definition of these steps and whatever else.
pub(super) fn define(rest: &str) -> Definition {
    let source = format!("name = \"w\"\nsubject = \"thing\"\n{rest}");
    definition::read("w.toml", &source, Format::Toml, &registry())
        .unwrap_or_else(|refusals| panic!("{refusals}"))
}

/// Steps in a row, each `id:type`.
pub(super) fn steps(row: &str) -> String {
    let step = |step: &str| {
        let (id, kind) = step.split_once(':').expect("a step has an id and a type");
        format!("[[steps]]\nid = \"{id}\"\ntype = \"{kind}\"\n")
    };
    row.split_whitespace().map(step).collect()
}

/// A kept version.
pub(super) fn version(number: i32, rest: &str) -> Version {
    Version {
        id: Some(i64::from(number)),
        number: Some(number),
        definition: Arc::new(define(rest)),
    }
}
