//! `event.publish`: tells the world something, through the outbox.

use std::collections::BTreeMap;

use crm::event;
use crm::writers::{EVENT_PUBLISHED, PublishedEvent};
use engine::context::Context;
use engine::fact::Fact;
use engine::step::{Outcome, Step, StepError};
use futures_util::future::{BoxFuture, FutureExt};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::Manual;
use crate::template::render_data;

/// The highest version of a schema.
const LAST_VERSION: u16 = 9_999;
/// The most letters of a topic, and of a schema's name.
const MOST_LETTERS: usize = 100;

/// Publishes an event about the contact.
#[derive(Deserialize, JsonSchema)]
#[serde(try_from = "Keys")]
#[schemars(with = "Keys")]
pub(crate) struct EventPublish {
    topic: String,
    schema: Option<String>,
    data: BTreeMap<String, String>,
}

/// Publishes an event about the contact.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// The event's name, words with dots between, such as `lead.warm`.
    topic: String,
    /// The schema that its data follow, a name and a version, such as `lead-warm:2`. The event names it, so that whoever
    /// reads it knows what to expect; the topic and version 1 where nothing is said.
    schema: Option<String>,
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
        if keys.topic.len() > MOST_LETTERS
            || !keys.topic.contains('.')
            || !keys.topic.split('.').all(word)
        {
            return Err(format!(
                "`topic` can't be `{}`; write words with dots between, such as `lead.warm`",
                keys.topic
            ));
        }
        not_own("topic", &keys.topic)?;
        if let Some(schema) = &keys.schema {
            check_schema(schema)?;
        }
        Ok(Self { topic: keys.topic, schema: keys.schema, data: keys.data })
    }
}

/// A workflow that told what the records tell, or under their schemas, would make up that it happened.
fn not_own(key: &str, name: &str) -> Result<(), String> {
    match name.split('.').next().filter(|first| event::is_own(first)) {
        Some(first) => Err(format!(
            "`{key}` can't begin with `{first}.`, whose events SalesOS writes itself; write another word"
        )),
        None => Ok(()),
    }
}

/// Checks a schema's name and version.
fn check_schema(schema: &str) -> Result<(), String> {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    let parts = schema.split_once(':').filter(|(name, version)| {
        let named = !name.is_empty() && name.len() <= MOST_LETTERS && name.bytes().all(letter);
        let digits = version.bytes().all(|b| b.is_ascii_digit()) && !version.starts_with('0');
        let number = version.parse::<u16>().ok().filter(|_| digits);
        named && number.is_some_and(|number| number <= LAST_VERSION)
    });
    match parts {
        Some((name, _)) => not_own("schema", name),
        None => Err(format!(
            "`schema` can't be `{schema}`; write a name of lower-case letters, digits, `-`, `_` and `.`, a colon and a \
             version up to {LAST_VERSION}, such as `lead-warm:2`"
        )),
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
                data.insert(
                    name.clone(),
                    Value::String(render_data(&format!("`data.{name}`"), text, &variables)?),
                );
            }
            let event = PublishedEvent {
                topic: self.topic.clone(),
                schema: self.schema.clone(),
                data: Value::Object(data),
            };
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

#[cfg(test)]
mod tests {
    use super::check_schema;

    #[test]
    fn a_schema_is_a_name_of_the_workflows_own_and_a_version() {
        for schema in ["lead-warm:2", "a:1", "lead.warm_2:9999", "published:1"] {
            assert_eq!(check_schema(schema), Ok(()), "{schema}");
        }
        let long = format!("{}:1", "a".repeat(101));
        for schema in [
            "lead-warm",
            "lead-warm:",
            "lead-warm:0",
            "lead-warm:02",
            "lead-warm:+2",
            "lead-warm:2 ",
            "lead-warm:10000",
            "lead-warm:70000",
            ":2",
            "Lead:2",
            "lead warm:2",
            "a:b:2",
            "",
            &long,
        ] {
            let refused = check_schema(schema).expect_err(schema);
            assert!(
                refused.starts_with(&format!("`schema` can't be `{schema}`; write")),
                "{refused}"
            );
        }
        for schema in ["contact.created:1", "engagement.scored:2", "schedule:1"] {
            let refused = check_schema(schema).expect_err(schema);
            assert!(refused.starts_with("`schema` can't begin with"), "{refused}");
        }
    }
}
