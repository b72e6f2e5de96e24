//! What SalesOS tells of what happens: every topic with the version and the shape of its data. An event is made by its
//! topic alone, so that what goes out is what `docs/events` promises; the engine's own topic is listed with them.

pub(crate) mod account;
pub(crate) mod activity;
pub(crate) mod contact;
pub(crate) mod email;
pub(crate) mod engagement;
pub(crate) mod enrollment;
pub(crate) mod opportunity;
mod reference;
pub(crate) mod task;

use engine::outbox::Event;
use engine::schedule;
use engine::topic::{Described, schema_name};
use serde_json::Value;

pub use reference::reference;

/// Topics that webhooks may ask for, of which nothing is told yet.
const AHEAD: [&str; 8] = [
    "email.complained",
    "email.delivered",
    "email.queued",
    "meeting.booked",
    "meeting.cancelled",
    "meeting.no_show",
    "meeting.proposed",
    "meeting.rescheduled",
];

/// What the names of schemas begin with.
const URN: &str = "urn:salesos:event:";

/// How TypeIDs look (<https://github.com/jetify-com/typeid>), by what they are of.
const ACCOUNT: &str = "^acc_[0-7][0-9a-hjkmnp-tv-z]{25}$";
const ACTIVITY: &str = "^act_[0-7][0-9a-hjkmnp-tv-z]{25}$";
const CONTACT: &str = "^con_[0-7][0-9a-hjkmnp-tv-z]{25}$";
const ENROLLMENT: &str = "^enr_[0-7][0-9a-hjkmnp-tv-z]{25}$";
const MAILBOX: &str = "^epa_[0-7][0-9a-hjkmnp-tv-z]{25}$";
const MESSAGE: &str = "^msg_[0-7][0-9a-hjkmnp-tv-z]{25}$";
const OPPORTUNITY: &str = "^opp_[0-7][0-9a-hjkmnp-tv-z]{25}$";
const SEQUENCE: &str = "^seq_[0-7][0-9a-hjkmnp-tv-z]{25}$";
const STAGE: &str = "^stg_[0-7][0-9a-hjkmnp-tv-z]{25}$";
const TASK: &str = "^tsk_[0-7][0-9a-hjkmnp-tv-z]{25}$";

/// Every topic that SalesOS writes, in the order of their names.
pub fn all() -> Vec<Described> {
    let topics: [&[Described]; 9] = [
        &account::TOPICS,
        &activity::TOPICS,
        &contact::TOPICS,
        &email::TOPICS,
        &engagement::TOPICS,
        &enrollment::TOPICS,
        &opportunity::TOPICS,
        &[schedule::FIRED.describe()],
        &task::TOPICS,
    ];
    topics.concat()
}

/// What `event.publish` steps tell, whatever their topic.
pub fn published() -> Described {
    enrollment::PUBLISHED.describe()
}

/// Every topic that is SalesOS' to write, in the order of their names; also those of which nothing is told yet.
pub fn topics() -> Vec<&'static str> {
    let mut topics: Vec<&str> = all().iter().map(|described| described.topic).collect();
    topics.extend(AHEAD);
    topics.sort_unstable();
    topics
}

/// Whether topics that begin with this word are SalesOS' to write.
pub fn is_own(first: &str) -> bool {
    topics().iter().any(|topic| topic.split('.').next() == Some(first))
}

/// Names the schema of a topic's data for the world, as CloudEvents' `dataschema` does. A topic that is not SalesOS' own
/// has its first one.
pub fn schema_id(topic: &str) -> String {
    let all = all();
    let own = all.iter().find(|described| described.topic == topic);
    urn(&schema_name(topic, own.map_or(1, |described| described.version)))
}

/// Names the schema of an event's data for the world: the one under which it was written, the topic's first where that
/// was not noted.
pub fn schema_of(event: &Event) -> String {
    match &event.schema {
        Some(schema) => urn(schema),
        None => urn(&schema_name(&event.topic, 1)),
    }
}

/// The schema that such a name stands for; none where it is not of SalesOS.
pub fn schema_named(urn: &str) -> Option<String> {
    urn.strip_prefix(URN).map(str::to_owned)
}

fn urn(schema: &str) -> String {
    format!("{URN}{schema}")
}

/// The JSON Schema of a topic's data.
pub fn document(described: &Described) -> Value {
    let mut schema = (described.shape)();
    schema.insert("$id".into(), urn(&schema_name(described.topic, described.version)).into());
    schema.insert("title".into(), described.topic.into());
    schema.insert("description".into(), described.told.into());
    schema.insert("x-version".into(), described.version.into());
    schema.to_value()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_topic_that_is_declared_is_listed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/event");
        let mut declared = vec![schedule::FIRED.name().to_owned()];
        for file in std::fs::read_dir(folder).expect("the folder of this file") {
            let path = file.expect("a file").path();
            if path.ends_with("mod.rs") {
                continue;
            }
            let text = std::fs::read_to_string(path).expect("source");
            for part in text.split("Topic::new(").skip(1) {
                let name = part.split('"').nth(1).expect("a topic begins with its name");
                declared.push(name.to_owned());
            }
        }
        declared.sort();
        let mut listed: Vec<&str> = all().iter().map(|described| described.topic).collect();
        assert!(listed.is_sorted(), "{listed:?}");
        listed.push(published().topic);
        listed.sort_unstable();
        assert_eq!(declared, listed);
    }

    #[test]
    fn events_are_made_by_their_topics_alone() {
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        while let Some(folder) = folders.pop() {
            for file in std::fs::read_dir(folder).expect("a folder of this crate") {
                let path = file.expect("a file").path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.ends_with("event/enrollment.rs") && !path.ends_with("event/mod.rs")
                {
                    let text = std::fs::read_to_string(&path).expect("source");
                    let made = text.replace("-> NewEvent {", "");
                    assert!(!made.contains("NewEvent {"), "{}", path.display());
                }
            }
        }
    }

    #[test]
    fn a_schema_is_named_by_topic_and_version() {
        assert_eq!(schema_id("contact.created"), "urn:salesos:event:contact.created:1");
        assert_eq!(schema_id("lead.warm"), "urn:salesos:event:lead.warm:1");
        for described in all() {
            let document = document(&described);
            assert_eq!(document["$id"], schema_id(described.topic));
            assert_eq!(document["title"], described.topic);
            assert_eq!(document["type"], "object", "{document}");
        }
    }

    #[test]
    fn the_words_of_the_records_are_no_workflows() {
        for word in ["account", "activity", "contact", "email", "engagement", "enrollment"] {
            assert!(is_own(word), "{word}");
        }
        for word in ["meeting", "opportunity", "schedule", "task"] {
            assert!(is_own(word), "{word}");
        }
        assert!(!is_own("lead"));
        assert!(!is_own("published"));
    }
}
