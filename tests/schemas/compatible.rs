//! Whether what one schema describes can be read by who knows another version of it, in both directions. Pure.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// What says nothing about the values.
const REMARKS: [&str; 9] = [
    "$comment",
    "$defs",
    "$id",
    "$schema",
    "default",
    "deprecated",
    "description",
    "examples",
    "title",
];
/// What is compared by its parts.
const PARTS: [&str; 10] = [
    "$ref",
    "additionalProperties",
    "anyOf",
    "const",
    "enum",
    "items",
    "oneOf",
    "properties",
    "required",
    "type",
];
/// How deep schemas go before they count as endless.
const DEEPEST: usize = 32;

/// What of a schema's promises is broken by another content under the same name, in words; nothing where all that was
/// written can be read by who knows the new one, and the other way round.
pub(super) fn breaks(before: &Value, now: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let (before, now) = (Node { root: before, at: before }, Node { root: now, at: now });
    compare(before, now, "the data", DEEPEST, &mut found);
    found
}

/// A place in a schema.
#[derive(Clone, Copy)]
struct Node<'a> {
    root: &'a Value,
    at: &'a Value,
}

impl<'a> Node<'a> {
    fn to(self, at: &'a Value) -> Self {
        Self { at, ..self }
    }

    /// Where a reference leads, as often as it leads on.
    fn resolved(self) -> Self {
        let mut node = self;
        for _ in 0..DEEPEST {
            let Some(pointer) = node.at["$ref"].as_str() else { break };
            let found = self.root.pointer(pointer.trim_start_matches('#'));
            node.at = found.unwrap_or_else(|| panic!("{pointer} leads nowhere"));
        }
        node
    }

    /// What a value may be, one or the other.
    fn alternatives(self) -> Vec<Self> {
        let node = self.resolved();
        let many = node.at["anyOf"].as_array().or_else(|| node.at["oneOf"].as_array());
        match many {
            Some(many) => many.iter().flat_map(|one| node.to(one).alternatives()).collect(),
            None => vec![node],
        }
    }

    fn types(self) -> BTreeSet<&'a str> {
        let types = &self.at["type"];
        match types.as_array() {
            Some(several) => several.iter().filter_map(Value::as_str).collect(),
            None => types.as_str().into_iter().collect(),
        }
    }

    /// The only values that it may have, where it may not have any.
    fn values(self) -> Option<BTreeSet<String>> {
        if let Some(value) = self.at.get("const") {
            return Some(BTreeSet::from([value.to_string()]));
        }
        let values = self.at["enum"].as_array()?;
        Some(values.iter().filter(|value| !value.is_null()).map(Value::to_string).collect())
    }

    fn required(self) -> BTreeSet<&'a str> {
        let required = self.at["required"].as_array();
        required.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Everything else that it asks of a value: a pattern, bounds, what this comparison does not know.
    fn asks(self) -> Map<String, Value> {
        let mut asks = self.at.as_object().cloned().unwrap_or_default();
        asks.retain(|key, _| {
            !key.starts_with("x-")
                && !REMARKS.contains(&key.as_str())
                && !PARTS.contains(&key.as_str())
        });
        asks
    }
}

/// What a value may be when it is not null.
struct Shape<'a> {
    may_be_null: bool,
    types: BTreeSet<&'a str>,
    values: Option<BTreeSet<String>>,
    /// Those that are no list of values.
    others: Vec<Node<'a>>,
}

fn shape(node: Node<'_>) -> Shape<'_> {
    let mut shape =
        Shape { may_be_null: false, types: BTreeSet::new(), values: None, others: Vec::new() };
    for one in node.alternatives() {
        let mut types = one.types();
        shape.may_be_null |= types.remove("null") || one.at.get("const") == Some(&Value::Null);
        if types.is_empty() && !one.types().is_empty() {
            continue;
        }
        shape.types.extend(types);
        match one.values() {
            Some(values) => shape.values.get_or_insert_default().extend(values),
            None => shape.others.push(one),
        }
    }
    shape
}

fn compare(before: Node<'_>, now: Node<'_>, place: &str, deep: usize, found: &mut Vec<String>) {
    assert!(deep > 0, "{place} is endless");
    let (was, is) = (shape(before), shape(now));
    match (was.may_be_null, is.may_be_null) {
        (false, true) => found.push(format!("{place} may be null now")),
        (true, false) => found.push(format!("{place} may not be null any more")),
        (true, true) | (false, false) => {}
    }
    if was.types != is.types {
        found.push(format!("{place} was {}, and is {}", named(&was.types), named(&is.types)));
        return;
    }
    match (&was.values, &is.values) {
        (Some(was), Some(is)) => {
            let lost =
                was.difference(is).map(|value| format!("{place} may not be {value} any more"));
            found.extend(lost);
        }
        (Some(_), None) => found.push(format!("{place} has no list of values any more")),
        (None, Some(_)) => found.push(format!("{place} has a list of values now")),
        (None, None) => {}
    }
    match (was.others.as_slice(), is.others.as_slice()) {
        ([], []) => {}
        ([was], [is]) => compare_one(*was, *is, place, deep, found),
        (was, is) => {
            let same = was.len() == is.len() && was.iter().zip(is).all(|(was, is)| was.at == is.at);
            if !same {
                found.push(format!("{place} has other alternatives"));
            }
        }
    }
}

/// Compares what is neither one of several nor a list of values.
fn compare_one(before: Node<'_>, now: Node<'_>, place: &str, deep: usize, found: &mut Vec<String>) {
    let (was, is) = (before.asks(), now.asks());
    let asked: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    for key in asked.into_iter().filter(|key| was.get(*key) != is.get(*key)) {
        found.push(format!("{place} has another `{key}`"));
    }
    for (name, was) in before.at["properties"].as_object().into_iter().flatten() {
        let place = format!("{place}.{name}");
        match now.at["properties"].get(name) {
            Some(is) => compare(before.to(was), now.to(is), &place, deep - 1, found),
            None => found.push(format!("{place} is gone")),
        }
    }
    let (had_to, has_to) = (before.required(), now.required());
    for name in had_to.difference(&has_to) {
        found.push(format!("{place}.{name} is not required any more"));
    }
    for name in has_to.difference(&had_to) {
        found.push(format!("{place}.{name} is required now"));
    }
    for (key, place) in
        [("items", format!("{place}[]")), ("additionalProperties", format!("{place}.*"))]
    {
        match (before.at.get(key), now.at.get(key)) {
            (Some(was @ Value::Object(_)), Some(is @ Value::Object(_))) => {
                compare(before.to(was), now.to(is), &place, deep - 1, found);
            }
            (was, is) if was == is => {}
            (_, _) => found.push(format!("{place} is described otherwise")),
        }
    }
}

fn named(types: &BTreeSet<&str>) -> String {
    if types.is_empty() {
        "anything".into()
    } else {
        types.iter().copied().collect::<Vec<_>>().join(" or ")
    }
}
