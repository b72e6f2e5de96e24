//! What counts as a break of what a schema promised, and what does not.

use serde_json::{Value, json};

use super::compatible::breaks;

/// A schema with all that schemas of events have.
fn example() -> Value {
    json!({
        "$id": "urn:salesos:event:lead.warm:1",
        "type": "object",
        "description": "When a lead is warm.",
        "$defs": { "Way": { "oneOf": [
            { "type": "string", "const": "hard", "description": "For good." },
            { "type": "string", "const": "soft" },
        ] } },
        "properties": {
            "contact_id": { "type": "string", "pattern": "^con_" },
            "step": { "type": ["string", "null"] },
            "status": { "type": "string", "enum": ["open", "won"] },
            "way": { "anyOf": [{ "$ref": "#/$defs/Way" }, { "type": "null" }] },
            "contact_ids": { "type": "array", "items": { "type": "string" } },
            "place": { "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] },
            "data": { "type": "object", "additionalProperties": { "type": "string" } },
        },
        "required": ["contact_id", "step"],
    })
}

/// The example with another value at a place; without any there where that is `null`.
fn with(changes: &[(&str, Value)]) -> Value {
    let mut schema = example();
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        match (schema.pointer_mut(parent).unwrap(), value) {
            (Value::Object(parent), Value::Null) => drop(parent.remove(key).unwrap()),
            (Value::Object(parent), value) => drop(parent.insert(key.to_owned(), value.clone())),
            (parent, _) => panic!("{parent} has no keys"),
        }
    }
    schema
}

#[test]
fn what_readers_need_not_know_breaks_nothing() {
    let lost = json!({ "type": "string", "const": "lost" });
    for changes in [
        vec![],
        vec![
            ("/description", json!("Otherwise.")),
            ("/title", json!("lead.warm")),
            ("/x-version", json!(1)),
        ],
        vec![("/properties/contact_id/description", json!("Who."))],
        vec![("/properties/more", json!({ "type": "integer" }))],
        vec![("/properties/place/properties/street", json!({ "type": "string" }))],
        vec![("/properties/status/enum", json!(["lost", "open", "won"]))],
        vec![(
            "/$defs/Way/oneOf",
            json!([{ "const": "soft", "type": "string" }, lost, { "const": "hard", "type": "string" }]),
        )],
        vec![(
            "/properties/way",
            json!({ "type": ["string", "null"], "enum": ["hard", "soft", null] }),
        )],
        vec![(
            "/properties/way",
            json!({ "oneOf": [{ "type": "null" }, { "type": "string", "enum": ["hard", "soft"] }] }),
        )],
    ] {
        assert_eq!(breaks(&example(), &with(&changes)), Vec::<String>::new(), "{changes:?}");
    }
}

#[test]
fn what_would_surprise_a_reader_is_found() {
    for (pointer, value, told) in [
        ("/properties/status", Value::Null, "the data.status is gone"),
        ("/properties/place/properties/city", Value::Null, "the data.place.city is gone"),
        ("/properties/status/type", json!("integer"), "the data.status was string, and is integer"),
        ("/properties/step/type", json!("string"), "the data.step may not be null any more"),
        ("/properties/status/type", json!(["string", "null"]), "the data.status may be null now"),
        (
            "/properties/way/anyOf",
            json!([{ "$ref": "#/$defs/Way" }]),
            "the data.way may not be null any more",
        ),
        ("/properties/status/enum", json!(["open"]), "the data.status may not be \"won\" any more"),
        ("/properties/status/enum", Value::Null, "the data.status has no list of values any more"),
        (
            "/properties/contact_id/enum",
            json!(["con_1"]),
            "the data.contact_id has a list of values now",
        ),
        (
            "/$defs/Way/oneOf",
            json!([{ "type": "string", "const": "hard" }]),
            "the data.way may not be \"soft\" any more",
        ),
        (
            "/properties/contact_id/pattern",
            json!("^lead_"),
            "the data.contact_id has another `pattern`",
        ),
        (
            "/properties/contact_id/format",
            json!("uuid"),
            "the data.contact_id has another `format`",
        ),
        (
            "/properties/contact_ids/items/type",
            json!("integer"),
            "the data.contact_ids[] was string, and is integer",
        ),
        (
            "/properties/data/additionalProperties",
            json!(false),
            "the data.data.* is described otherwise",
        ),
        (
            "/properties/data/additionalProperties/type",
            json!("integer"),
            "the data.data.* was string, and is integer",
        ),
        ("/required", json!(["contact_id"]), "the data.step is not required any more"),
        ("/required", json!(["contact_id", "status", "step"]), "the data.status is required now"),
        ("/properties/place/required", json!([]), "the data.place.city is not required any more"),
        (
            "/properties/step",
            json!({ "anyOf": [{ "type": "string" }, { "type": "string", "pattern": "^s" }, { "type": "null" }] }),
            "the data.step has other alternatives",
        ),
        ("/type", json!("array"), "the data was object, and is array"),
    ] {
        let found = breaks(&example(), &with(&[(pointer, value)]));
        assert!(found.iter().any(|found| found == told), "{told}: {found:?}");
    }
}

#[test]
fn a_new_key_that_is_always_there_is_found() {
    let changes = [
        ("/properties/more", json!({ "type": "integer" })),
        ("/required", json!(["contact_id", "more", "step"])),
    ];
    assert_eq!(breaks(&example(), &with(&changes)), ["the data.more is required now"]);
}
