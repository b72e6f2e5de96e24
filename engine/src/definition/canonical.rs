//! The canonical form of a document and its hash: the same for TOML and JSON, whatever the order of keys.
//!
//! Says nothing of what is right; only read documents come here.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// The document with sorted keys, without what only editors and tests read.
pub(super) fn document(mut value: Value) -> Value {
    if let Value::Object(entries) = &mut value {
        entries.remove("$schema");
        entries.remove("scenario");
    }
    sorted(value)
}

/// The SHA-256 of a canonical document's JSON.
pub(super) fn hash(document: &Value) -> [u8; 32] {
    Sha256::digest(document.to_string()).into()
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(entries) => {
            let mut entries: Vec<(String, Value)> = entries.into_iter().collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            let sorted = entries.into_iter().map(|(key, value)| (key, self::sorted(value)));
            Value::Object(sorted.collect::<Map<_, _>>())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(sorted).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}
