//! Holds what was told against what `docs/events` says of it. Shared by the integration tests of several crates through
//! `#[path]`.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use sqlx::PgPool;

/// The schema of a topic; of one that is a workflow's own, what all of those share.
fn schema(topic: &str) -> Value {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = [here.join("docs/events"), here.join("../docs/events")];
    let folder = folder.iter().find(|folder| folder.is_dir()).expect("docs/events is there");
    let named = folder.join(format!("{topic}.json"));
    let file = if named.is_file() { named } else { folder.join("published.json") };
    let text = std::fs::read_to_string(file).expect("a schema can be read");
    serde_json::from_str(&text).expect("a schema is JSON")
}

/// Every event of a database is as its schema says, with no key more, and names that schema. Gives the topics of which
/// there are events.
pub(crate) async fn events_keep_their_promises(db: &PgPool) -> BTreeSet<String> {
    let events: Vec<(String, String, Option<String>, Value)> =
        sqlx::query_as("select topic, key, schema, data from engine.outbox order by seq")
            .fetch_all(db)
            .await
            .expect("the outbox can be read");
    let mut topics = BTreeSet::new();
    for (topic, key, named, data) in events {
        let schema = schema(&topic);
        let told = format!("{topic} of {key}: {data}");
        let validator = jsonschema::validator_for(&schema).expect("it is a schema");
        let refused: Vec<String> =
            validator.iter_errors(&data).map(|one| one.to_string()).collect();
        assert!(refused.is_empty(), "{told}: {refused:?}");
        let known = schema["properties"].as_object().expect("events have keys");
        let unknown: Vec<&String> = data
            .as_object()
            .expect("data is an object")
            .keys()
            .filter(|key| !known.contains_key(*key))
            .collect();
        assert!(unknown.is_empty(), "{told}: {unknown:?} are described nowhere");
        let named = named.unwrap_or_else(|| panic!("{told}: it names no schema"));
        if schema["title"] == topic.as_str() {
            assert_eq!(schema["$id"], format!("urn:salesos:event:{named}"), "{told}");
        }
        topics.insert(topic);
    }
    topics
}
