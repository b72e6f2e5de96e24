//! `event.publish`: tells the world something, through the outbox.

use std::collections::BTreeMap;

use crm::writers::{EVENT_PUBLISHED, PublishedEvent};
use engine::context::Context;
use engine::fact::Fact;
use engine::step::{Outcome, Step, StepError};
use futures_util::future::{BoxFuture, FutureExt};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::Manual;
use crate::template::render;

/// First words of the events that the records themselves give; a workflow that wrote one would make up
/// that it happened.
const OWN: [&str; 8] =
    ["account", "activity", "contact", "email", "enrollment", "meeting", "opportunity", "task"];

/// Publishes an event about the contact.
#[derive(Deserialize, JsonSchema)]
#[serde(try_from = "Keys")]
#[schemars(with = "Keys")]
pub(crate) struct EventPublish {
    topic: String,
    data: BTreeMap<String, String>,
}

/// Publishes an event about the contact.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// The event's name, words with dots between, such as `lead.warm`.
    topic: String,
    /// What it tells, by name; the values are templates.
    #[serde(default)]
    #[schemars(extend("x-change" = "copy"))]
    data: BTreeMap<String, String>,
}

impl TryFrom<Keys> for EventPublish {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        let word = |word: &str| {
            !word.is_empty()
                && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        if keys.topic.len() > 100 || !keys.topic.contains('.') || !keys.topic.split('.').all(word) {
            return Err(format!(
                "`topic` can't be `{}`; write words with dots between, such as `lead.warm`",
                keys.topic
            ));
        }
        let own = keys.topic.split('.').next().filter(|first| OWN.contains(first));
        if let Some(first) = own {
            return Err(format!(
                "`topic` can't begin with `{first}.`, whose events SalesOS writes itself; write another word"
            ));
        }
        Ok(Self { topic: keys.topic, data: keys.data })
    }
}

/// What the reference says of it.
pub(crate) const MANUAL: Manual = Manual {
    outputs: &[],
    example: r#"[[steps]]
id = "quiet"
type = "event.publish"
topic = "lead.quiet"
data = { email = "{{ contact.email }}" }
"#,
};

impl EventPublish {
    /// What is a template.
    pub(crate) fn texts(&self) -> Vec<(&'static str, &str)> {
        self.data.values().map(|text| ("data", text.as_str())).collect()
    }
}

impl Step for EventPublish {
    fn run<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        async move {
            let variables = cx.variables().await?;
            let mut data = Map::new();
            for (name, text) in &self.data {
                data.insert(name.clone(), Value::String(render(name, text, &variables)?));
            }
            let event = PublishedEvent { topic: self.topic.clone(), data: Value::Object(data) };
            let fact = Fact { kind: EVENT_PUBLISHED, data: json!(event) };
            Ok(Outcome { facts: vec![fact], ..Outcome::default() })
        }
        .boxed()
    }

    fn rehearse(&self, _: &Context) -> Option<Result<Outcome, StepError>> {
        // Without its texts, which later steps don't read.
        Some(Ok(Outcome::default()))
    }
}
