//! What a part of a JSON Schema asks for, as far as step types use it: kinds, constants, descriptions.

use serde_json::Value;

use super::tree::{Content, Node};

/// The texts that a schema of constants allows.
pub(super) fn constants(schema: &Value) -> Option<Vec<String>> {
    if let Some(only) = schema["const"].as_str() {
        return Some(vec![only.to_owned()]);
    }
    let values = schema["enum"].as_array()?;
    Some(values.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(only) => vec![only],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

/// Whether a value is of a kind that a schema allows; a schema without types allows all.
pub(super) fn allows(schema: &Value, node: &Node) -> bool {
    let types = types(schema);
    let has = |name: &str| types.contains(&name);
    types.is_empty()
        || match &node.content {
            // A JSON document may say null for a key that it does not set.
            Content::Null => has("null"),
            Content::Bool(_) => has("boolean"),
            Content::Number(_) => has("number") || has("integer"),
            Content::Text(_) => has("string"),
            Content::List(_) => has("array"),
            Content::Table(_) => has("object"),
        }
}

/// What a schema wants, with its article.
pub(super) fn wanted(schema: &Value) -> Option<&'static str> {
    types(schema).into_iter().find_map(|name| match name {
        "string" => Some("a text"),
        "integer" | "number" => Some("a number"),
        "boolean" => Some("true or false"),
        "array" => Some("a list"),
        "object" => Some("a table"),
        _ => None,
    })
}

/// How a value of a kind looks.
pub(super) fn example(kind: &str) -> Option<&'static str> {
    match kind {
        "a text" => Some("\"…\""),
        "a number" => Some("1"),
        "true or false" => Some("true"),
        "a list" => Some("[ … ]"),
        "a table" => Some("{ … }"),
        _ => None,
    }
}

/// What to add for a missing key, with what it is for.
pub(super) fn missing_help(key: &str, resolved: &Value, declared: &Value) -> String {
    let example = wanted(resolved).and_then(example).unwrap_or("…");
    let description = declared["description"].as_str().or_else(|| resolved["description"].as_str());
    let sentence = description.and_then(|text| text.split(". ").next()).map(|text| {
        text.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches('.').to_owned()
    });
    match sentence {
        Some(sentence) => format!("add `{key} = {example}`: {}", lowercase_first(&sentence)),
        None => format!("add `{key} = {example}`"),
    }
}

fn lowercase_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}
