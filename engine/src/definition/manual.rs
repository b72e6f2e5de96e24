//! The reference of the step types as Markdown: from their schemas, so that what people read is what is
//! checked. Knows no type by name.

use std::fmt::Write;

use serde_json::Value;

use super::check_steps::SHARED;
use super::schema;
use super::shape::constants;
use super::suggest;
use crate::step::{Effect, FieldType, Registry, StepType};

/// How deep a type's own tables are told.
const DEPTH: usize = 4;

/// All step types with their keys, what they give, what repeating them does, and an example of each.
pub fn manual(registry: &Registry) -> String {
    let mut text = String::from(HEAD);
    let types: Vec<&StepType> =
        registry.step_names().filter_map(|name| registry.step_type(name)).collect();
    for kind in &types {
        let summary = first_paragraph(&(kind.schema)().to_value());
        let anchor = kind.name.replace('.', "");
        line(&mut text, &format!("- [`{}`](#{anchor}): {}", kind.name, lowercase_first(&summary)));
    }
    shared(&mut text, registry);
    for kind in types {
        step(&mut text, kind);
    }
    text
}

const HEAD: &str = "\
# Step types

<!-- Written by `salesos workflows reference` from the step types themselves; change it there. -->

Every `[[steps]]` has an `id` and a `type`. The type decides which other keys it takes; those that all types \
share stand first. What a step gives is read by conditions and texts of later steps as `steps.<id>.<name>`, \
and is missing until then.

";

const EFFECTS: &str = "\
What repeating a step would do decides what happens after a crash. A step *without effect* outside of SalesOS, \
whose writes stand in one transaction with its record, is run again and has acted once. An *idempotent* step is \
run again, and the other side takes the same request twice as one. A step that acts *at most once* writes down \
what it is about to do; after a crash the other side is asked whether it happened, and what nobody knows is held \
for a person.

";

fn shared(text: &mut String, registry: &Registry) {
    line(text, "\n## Keys that all types share\n");
    line(text, "| key | type | default | says |\n|---|---|---|---|");
    let limits: Vec<&str> = registry.limit_kinds().collect();
    for key in SHARED {
        let schema = schema::shared(key, &limits);
        let kind = match key {
            "type" => "text".to_owned(),
            "when" => "condition".to_owned(),
            "retry" => "table".to_owned(),
            _ => kind_of(&schema, &Value::Null),
        };
        let default = match key {
            "id" | "type" => "needed".to_owned(),
            "windowed" | "timeout" | "limits" => "the type's".to_owned(),
            "retry" => "the workflow's `[retry]`".to_owned(),
            _ => default_of(&schema),
        };
        let says = match key {
            "retry" => schema::retry()["description"].clone(),
            _ => schema["description"].clone(),
        };
        let says = says.as_str().unwrap_or_default();
        line(text, &format!("| `{key}` | {kind} | {default} | {} |", cell(says)));
    }
    text.push('\n');
    text.push_str(EFFECTS);
}

fn step(text: &mut String, kind: &StepType) {
    let schema = (kind.schema)().to_value();
    line(text, &format!("## {}\n", kind.name));
    line(text, &format!("{}\n", schema["description"].as_str().unwrap_or_default()));
    let mut rows = Vec::new();
    keys(&schema, &schema["$defs"], "", 0, &mut rows);
    if rows.is_empty() {
        line(text, "It has no keys of its own.\n");
    } else {
        line(text, "| key | type | default | says |\n|---|---|---|---|");
        rows.iter().for_each(|row| line(text, row));
        text.push('\n');
    }
    if !kind.outputs.is_empty() {
        line(text, "| gives | type | says |\n|---|---|---|");
        for output in kind.outputs {
            let says = cell(output.description);
            line(text, &format!("| `{}` | {} | {says} |", output.name, type_name(output.kind)));
        }
        text.push('\n');
    }
    line(text, &format!("{}\n", behaviour(kind)));
    line(text, &format!("```toml\n{}```\n", kind.example));
}

/// What holds where the step says nothing else.
fn behaviour(kind: &StepType) -> String {
    let effect = match kind.effect {
        Effect::Pure => "Without effect outside",
        Effect::Idempotent => "Idempotent",
        Effect::AtMostOnce => "At most once",
    };
    let windowed = if kind.windowed { "in the send window only" } else { "at any hour" };
    let limits = match kind.limits {
        [] => "under no limits".to_owned(),
        limits => format!(
            "under the limits {}",
            limits.iter().map(|limit| format!("`{limit}`")).collect::<Vec<_>>().join(", ")
        ),
    };
    let seconds = kind.timeout.as_secs();
    format!(
        "{effect}; {windowed}, {limits}, `timeout` {seconds}s, where the step says nothing else."
    )
}

/// One row per key of a table, those that are needed first, and those of the tables inside after theirs.
fn keys(schema: &Value, definitions: &Value, above: &str, depth: usize, rows: &mut Vec<String>) {
    let Some(properties) = schema["properties"].as_object().filter(|_| depth < DEPTH) else {
        return;
    };
    let required = |key: &str| {
        schema["required"].as_array().is_some_and(|keys| keys.iter().any(|needed| needed == key))
    };
    let mut sorted: Vec<(&String, &Value)> = properties.iter().collect();
    sorted.sort_by_key(|(key, _)| !required(key));
    for (key, declared) in sorted {
        let inner = resolve(declared, definitions);
        let says = declared["description"].as_str().or_else(|| inner["description"].as_str());
        let default = if required(key) { "needed".to_owned() } else { default_of(declared) };
        let name = format!("{above}{key}");
        let kind = kind_of(declared, definitions);
        rows.push(format!(
            "| `{name}` | {kind} | {default} | {} |",
            cell(says.unwrap_or_default())
        ));
        if inner["type"] == "array" {
            let item = resolve(&inner["items"], definitions);
            keys(item, definitions, &format!("{name}[]."), depth + 1, rows);
        } else {
            keys(inner, definitions, &format!("{name}."), depth + 1, rows);
        }
    }
}

/// The schema behind references and behind what may be left out.
fn resolve<'s>(schema: &'s Value, definitions: &'s Value) -> &'s Value {
    let several = ["anyOf", "allOf"].iter().find_map(|key| schema[*key].as_array());
    if let Some(several) = several {
        let mut present = several.iter().filter(|one| one["type"] != "null");
        if let (Some(only), None) = (present.next(), present.next()) {
            return resolve(only, definitions);
        }
    }
    let name = schema["$ref"].as_str().and_then(|target| target.strip_prefix("#/$defs/"));
    name.and_then(|name| definitions.get(name)).unwrap_or(schema)
}

fn kind_of(schema: &Value, definitions: &Value) -> String {
    let schema = resolve(schema, definitions);
    let choices = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array());
    if let Some(choices) = choices {
        let known: Vec<String> = choices.iter().filter_map(constants).flatten().collect();
        if !known.is_empty() {
            return suggest::one_of(&known.iter().map(String::as_str).collect::<Vec<_>>());
        }
        let kinds: Vec<String> =
            choices.iter().map(|choice| kind_of(choice, definitions)).collect();
        return kinds.join(" or ");
    }
    if let Some(known) = constants(schema) {
        return suggest::one_of(&known.iter().map(String::as_str).collect::<Vec<_>>());
    }
    if schema["format"] == "cel" {
        return "condition".into();
    }
    let kind = match &schema["type"] {
        Value::String(kind) => Some(kind.as_str()),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    };
    match kind {
        Some("string") => "text".into(),
        Some("integer") => "whole number".into(),
        Some("number") => "number".into(),
        Some("boolean") => "true or false".into(),
        Some("array") => format!("list of {}", several(&kind_of(&schema["items"], definitions))),
        Some("object") if schema["additionalProperties"].is_object() => {
            format!("table of {}", several(&kind_of(&schema["additionalProperties"], definitions)))
        }
        Some("object") => "table".into(),
        Some(_) | None => "anything".into(),
    }
}

/// The plural of a kind.
fn several(kind: &str) -> String {
    match kind {
        "text" | "number" | "whole number" | "table" | "condition" => format!("{kind}s"),
        other => other.to_owned(),
    }
}

fn type_name(kind: FieldType) -> &'static str {
    match kind {
        FieldType::Text => "text",
        FieldType::Number => "number",
        FieldType::Bool => "true or false",
        FieldType::Date => "date",
        FieldType::List => "list",
        FieldType::Any => "anything",
    }
}

fn default_of(schema: &Value) -> String {
    match &schema["default"] {
        Value::Null => String::new(),
        Value::Array(list) if list.is_empty() => String::new(),
        Value::Object(entries) if entries.values().all(is_nothing) => String::new(),
        Value::String(text) => format!("`{text}`"),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            format!("`{other}`")
        }
    }
}

fn is_nothing(value: &Value) -> bool {
    value.is_null()
        || value.as_array().is_some_and(Vec::is_empty)
        || value.as_object().is_some_and(serde_json::Map::is_empty)
}

fn first_paragraph(schema: &Value) -> String {
    let description = schema["description"].as_str().unwrap_or_default();
    cell(description.split("\n\n").next().unwrap_or_default())
}

/// A text on one line, as tables want it.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn lowercase_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a string takes every line");
}
