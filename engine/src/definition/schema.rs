//! The JSON Schema of documents, for editors: the parts of all sequences by hand, each step type's keys
//! from its struct.

use serde_json::{Map, Value, json};

use super::check_steps::{SHARED, STEPS};
use super::check_timing::{DAYS, ZONE_SOURCES};
use crate::step::{Registry, StepType};
use crate::timing::Calendar;

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
const DURATION: &str = "A duration such as `30s`, `2 hours` or `3 days`.";

/// The JSON Schema (2020-12) of a whole document, with one branch per registered step type.
pub fn schema(registry: &Registry) -> Value {
    let mut definitions = Map::new();
    let limits: Vec<&str> = registry.limit_kinds().collect();
    let steps: Vec<Value> = registry
        .step_names()
        .filter_map(|name| registry.step_type(name))
        .map(|kind| step(kind, &limits, &mut definitions))
        .collect();
    definitions.insert("retry".into(), retry());
    let signals: Vec<&str> = registry.signal_names().collect();
    let subjects: Vec<&str> = registry.subject_names().collect();
    json!({
        "$schema": DIALECT,
        "title": "SalesOS sequence",
        "type": "object",
        "additionalProperties": false,
        "required": ["name", "subject", "steps"],
        "properties": {
            "$schema": { "type": "string" },
            "name": {
                "type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,63}$",
                "description": "The stable key of the sequence.",
            },
            "title": { "type": "string", "minLength": 1, "description": "What people read." },
            "subject": { "enum": subjects, "description": "What a run is about." },
            "timing": timing(),
            "exit": {
                "type": "object", "additionalProperties": false,
                "properties": { "on": {
                    "type": "array", "items": { "enum": signals },
                    "description": "The signals that end a run wherever it stands.",
                } },
            },
            "retry": { "$ref": "#/$defs/retry" },
            "enroll": enroll(),
            "templates": templates(),
            "scenario": scenarios(&signals, &subjects),
            "migrate": migrate(),
            "steps": {
                "type": "array", "minItems": 1, "maxItems": STEPS,
                "description": "The steps, in their order.",
                "items": {
                    "type": "object",
                    "required": ["id", "type"],
                    "properties": { "type": { "enum": registry.step_names().collect::<Vec<_>>() } },
                    "oneOf": steps,
                },
            },
        },
        "$defs": definitions,
    })
}

/// One branch: the type's own keys and the shared ones that it does not declare itself.
fn step(kind: &StepType, limits: &[&str], definitions: &mut Map<String, Value>) -> Value {
    let mut schema = (kind.schema)().to_value();
    let prefix = kind.name.replace('.', "_");
    if let Some(inner) = schema["$defs"].as_object().cloned() {
        for (name, mut inner) in inner {
            point_into(&mut inner, &prefix);
            definitions.insert(format!("{prefix}_{name}"), inner);
        }
    }
    point_into(&mut schema, &prefix);
    let mut properties = schema["properties"].as_object().cloned().unwrap_or_default();
    for key in SHARED {
        properties.entry(key).or_insert_with(|| shared_of(key, kind, limits));
    }
    let mut required = vec![json!("id"), json!("type")];
    required.extend(schema["required"].as_array().cloned().unwrap_or_default());
    json!({
        "title": kind.name,
        "description": schema["description"],
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": properties,
    })
}

/// Renames references into a type's own definitions, so that types can't mix theirs up.
fn point_into(schema: &mut Value, prefix: &str) {
    match schema {
        Value::Object(entries) => {
            for (key, value) in entries.iter_mut() {
                match value {
                    Value::String(target) if key == "$ref" => {
                        *target = target.replace("#/$defs/", &format!("#/$defs/{prefix}_"));
                    }
                    Value::String(_)
                    | Value::Null
                    | Value::Bool(_)
                    | Value::Number(_)
                    | Value::Array(_)
                    | Value::Object(_) => point_into(value, prefix),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| point_into(value, prefix)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A shared key with what holds for a type.
fn shared_of(key: &str, kind: &StepType, limits: &[&str]) -> Value {
    let mut schema = shared(key, limits);
    match key {
        "type" => schema = json!({ "const": kind.name }),
        "windowed" => schema["default"] = json!(kind.windowed),
        _ => {}
    }
    schema
}

/// A key that all types share.
pub(super) fn shared(key: &str, limits: &[&str]) -> Value {
    match key {
        "id" => json!({
            "type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$",
            "not": { "enum": ["hold", "continue", "compensate"] },
            "description": "The stable id by which a live run is found.",
        }),
        "type" => {
            json!({ "type": "string", "description": "What the step does: one of the types below." })
        }
        "when" => json!({
            "type": "string",
            "description": "A CEL condition; where it is false, the step is skipped.",
        }),
        "windowed" => json!({
            "type": "boolean",
            "description": "Whether the step may act inside the send window only.",
        }),
        "retry" => json!({ "$ref": "#/$defs/retry" }),
        "timeout" => json!({
            "type": "string",
            "description": format!("How long one attempt may take. {DURATION}"),
        }),
        "on_failure" => json!({
            "type": "string", "default": "hold",
            "description": "What follows when all attempts failed: `hold`, `continue`, `compensate` (undo what was done, last first, and end) or a step's id.",
        }),
        "limits" => json!({
            "type": "array", "items": { "enum": limits },
            "description": "The limits under which the step takes its turn; the run waits in the line of the first.",
        }),
        "compensate" => json!({
            "type": "string",
            "description": "The id of the step that undoes this one; runs come to it only when they undo what they did.",
        }),
        _ => json!({
            "type": "string",
            "description": "The id of the step that follows; without it the one below.",
        }),
    }
}

fn timing() -> Value {
    let time = json!({
        "type": "string", "pattern": "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$",
        "description": "A local time of day, as in `08:30`.",
    });
    let zone = format!(
        "Where a run's zone is looked for, in order: `{}`, or an IANA name.",
        ZONE_SOURCES.join("`, `")
    );
    json!({
        "type": "object", "additionalProperties": false,
        "properties": {
            "zone": {
                "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }],
                "description": zone,
            },
            "window": {
                "type": "object", "additionalProperties": false,
                "required": ["from", "to"],
                "description": "When windowed steps may act. A `to` before `from` is one of the next day: the \
                    night belongs to the day on which it begins.",
                "properties": {
                    "days": {
                        "type": "array", "minItems": 1, "items": { "enum": DAYS },
                        "default": DAYS[..5],
                    },
                    "from": time.clone(),
                    "to": time,
                    "holidays": {
                        "type": "array",
                        "items": { "enum": Calendar::names().collect::<Vec<_>>() },
                        "description": holidays(),
                    },
                },
            },
        },
    })
}

/// What `holidays` says, with the calendars that are known for some years only.
fn holidays() -> String {
    let known = |name: &str| {
        let until = Calendar::parse(name).ok()?.complete_until()?;
        Some(format!("{name} to {until}"))
    };
    let known: Vec<String> = Calendar::names().filter_map(known).collect();
    format!(
        "Countries on whose holidays nothing is sent. Feasts that follow the moon, or are decided year by \
         year, are known for some years only: {}.",
        known.join(", ")
    )
}

pub(super) fn retry() -> Value {
    json!({
        "type": "object", "additionalProperties": false,
        "description": "How failed attempts are made again.",
        "properties": {
            "attempts": { "type": "integer", "minimum": 1, "maximum": 100, "default": 8 },
            "first": { "type": "string", "default": "30s", "description": DURATION },
            "factor": { "type": "number", "minimum": 1, "maximum": 100, "default": 2.0 },
            "max": { "type": "string", "default": "1h", "description": DURATION },
            "jitter": { "type": "number", "minimum": 0, "maximum": 1, "default": 0.2 },
        },
    })
}

fn enroll() -> Value {
    json!({
        "type": "object", "additionalProperties": false,
        "properties": { "again": {
            "type": "string", "pattern": "^(never|always|after [0-9]+ days?)$", "default": "never",
            "description": "Whether a subject that was enrolled before may be enrolled again.",
        } },
    })
}

fn scenarios(signals: &[&str], subjects: &[&str]) -> Value {
    let moment = json!({
        "type": "string",
        "description": "A time after the start such as `2 days` or `3 business days`, or a local time such as `2026-03-04 10:00`.",
    });
    let step = json!({ "type": "string", "description": "A step's id." });
    let when = json!({
        "type": "object", "additionalProperties": false, "required": ["at"],
        "properties": {
            "at": moment.clone(),
            "signal": { "enum": signals, "description": "The signal that comes." },
            "data": { "type": "object", "description": "What the signal carries." },
            "step": step.clone(),
            "sets": {
                "type": "object",
                "description": "What comes to be known of the step, such as `{ clicked = true }`.",
            },
        },
    });
    let then = json!({
        "type": "object", "additionalProperties": false,
        "properties": {
            "step": step.clone(),
            "never": step,
            "ends": { "enum": ["completed", "exited", "held"], "description": "How the run ends." },
            "reason": { "type": "string", "description": "Why it ends so, such as `email.replied`." },
            "by": moment.clone(),
            "at": moment,
        },
    });
    let mut properties = json!({
        "name": { "type": "string", "minLength": 1, "description": "What it shows." },
        "start": {
            "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}$",
            "default": "2026-03-02 09:00", "description": "When the run starts, in local time.",
        },
        "zone": { "type": "string", "default": "UTC", "description": "Where the person lives." },
        "when": { "type": "array", "items": when, "description": "What happens." },
        "then": { "type": "array", "items": then, "description": "What must come of it." },
    });
    for subject in subjects {
        properties[*subject] = json!({ "type": "object", "description": "The subject's fields." });
    }
    json!({
        "type": "array", "maxItems": 100,
        "description": "Tests of the sequence, run by `salesos workflows test`.",
        "items": {
            "type": "object", "additionalProperties": false, "required": ["name", "then"],
            "properties": properties,
        },
    })
}

fn templates() -> Value {
    let text = json!({ "type": "string", "minLength": 1 });
    json!({
        "type": "object",
        "description": "The sequence's own texts, by name.",
        "additionalProperties": {
            "type": "object", "additionalProperties": false,
            "properties": { "subject": text.clone(), "text": text.clone(), "html": text },
        },
    })
}

fn migrate() -> Value {
    json!({
        "type": "array", "maxItems": 50,
        "description": "How runs of older versions come into this one though steps came, went or were joined anew.",
        "items": {
            "type": "object", "additionalProperties": false,
            "properties": {
                "from": {
                    "anyOf": [
                        { "type": "integer", "minimum": 1 },
                        { "type": "string", "pattern": "^[0-9a-fA-F]{12}$" },
                    ],
                    "description": "The version that is left: its number, or the first twelve digits of its hash. Every older one where nothing stands.",
                },
                "map": {
                    "type": "object",
                    "additionalProperties": { "type": "string" },
                    "description": "Where a run goes that stands at a step of the older version, by the step's old id: the id of a step of this version, `exit`, or `stay` to keep the older version. At any other step it stands at the step of the same id.",
                },
            },
        },
    })
}
