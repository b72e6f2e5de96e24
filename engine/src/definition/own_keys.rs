//! Checks a step type's own keys by its JSON Schema, each at its place, and then has the type read them.
//!
//! The schema is walked over the spanned tree first, so that unknown, missing and mistyped keys are told
//! together; what only the type itself can refuse is explained by `parse_error`.

use std::sync::Arc;

use serde_json::Value;

use super::check_steps::SHARED;
use super::keys;
use super::parse_error;
use super::references::Names;
use super::refusals::{Findings, Problem};
use super::shape::{allows, constants, example, missing_help, wanted};
use super::suggest;
use super::tree::{self, Content, Entry, Node, Span};
use crate::step::{self, StepType};
use crate::work;

/// A step whose type is known.
pub(super) struct Step<'a> {
    pub(super) kind: &'a StepType,
    pub(super) id: &'a str,
    pub(super) entries: &'a [Entry],
    pub(super) head: &'a Span,
    schema: Value,
}

impl<'a> Step<'a> {
    pub(super) fn new(
        kind: &'a StepType,
        id: &'a str,
        entries: &'a [Entry],
        head: &'a Span,
    ) -> Self {
        Self { kind, id, entries, head, schema: (kind.schema)().to_value() }
    }

    /// Whether a key is one that all steps share; a key that the type declares is its own.
    pub(super) fn shares(&self, key: &str) -> bool {
        SHARED.contains(&key) && self.schema["properties"].get(key).is_none()
    }

    fn own(&self) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(|entry| !self.shares(&entry.key))
    }
}

/// Reads a step's own keys; `None` where they were refused.
pub(super) fn read(
    own: &Step<'_>,
    names: &Names<'_>,
    found: &mut Findings<'_>,
) -> Option<Arc<dyn step::Step>> {
    let before = found.count();
    let entries: Vec<&Entry> = own.own().collect();
    let place = Place {
        name: format!("step `{}`", own.id),
        kind: format!("a step of type `{}`", own.kind.name),
        at: own.head.clone(),
        shared: SHARED.iter().copied().filter(|key| own.shares(key)).collect(),
    };
    let mut walk = Walk { schema: &own.schema, names, found };
    walk.table(&entries, &own.schema, &place);
    if found.count() > before {
        return None;
    }
    match (own.kind.parse)(Value::Object(tree::values(entries))) {
        Ok(step) => Some(step),
        Err(message) => {
            found.add(parse_error::explain(&message, own));
            None
        }
    }
}

/// The table whose keys are looked at.
struct Place {
    /// As in "step `intro`".
    name: String,
    /// As in "a step of type `wait`".
    kind: String,
    at: Span,
    /// Keys that are known beside the schema's.
    shared: Vec<&'static str>,
}

struct Walk<'w, 'n, 's> {
    schema: &'w Value,
    names: &'w Names<'n>,
    found: &'w mut Findings<'s>,
}

impl Walk<'_, '_, '_> {
    fn table(&mut self, entries: &[&Entry], schema: &Value, place: &Place) {
        let empty = serde_json::Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&empty);
        let others = &schema["additionalProperties"];
        for entry in entries {
            match properties.get(&entry.key) {
                Some(schema) => self.value(&entry.node, schema, &entry.key),
                None if others == &Value::Bool(false) => {
                    let own = properties.keys().map(String::as_str);
                    self.unknown(entry, own.collect(), place);
                }
                None => self.value(&entry.node, others, &entry.key),
            }
        }
        let required = schema["required"].as_array().map_or(&[][..], Vec::as_slice);
        for key in required.iter().filter_map(Value::as_str) {
            let stands = entries.iter().any(|entry| entry.key == key);
            // A misspelled key is told once, as unknown.
            let misspelled = || {
                let entries = entries.iter().copied();
                keys::misspelled(entries, key, |key| properties.contains_key(key))
            };
            if !stands && !misspelled() {
                let message = format!("{} has no `{key}`", place.name);
                let declared = properties.get(key).unwrap_or(&Value::Null);
                let help = missing_help(key, self.resolve(declared), declared);
                self.found.add(Problem::at(place.at.clone(), message).around().help(help));
            }
        }
    }

    fn unknown(&mut self, entry: &Entry, own: Vec<&str>, place: &Place) {
        self.found.note(|| {
            let message = format!("{} has no key `{}`", place.kind, entry.key);
            let known = own.iter().copied().chain(place.shared.iter().copied());
            let help = match suggest::nearest(&entry.key, known) {
                Some(name) => format!("did you mean `{name}`?"),
                None if own.is_empty() => {
                    format!("remove it; {} takes no keys of its own", place.kind)
                }
                None => format!("remove it; {} takes {}", place.kind, suggest::one_of(&own)),
            };
            Problem::unknown(entry.key_span.clone(), message).help(help)
        });
    }

    fn value(&mut self, node: &Node, schema: &Value, key: &str) {
        work::count(1);
        let schema = self.resolve(schema).clone();
        if let Some(choices) = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array()) {
            return self.choice(node, choices, key);
        }
        if let Some(known) = constants(&schema) {
            return self.constant(node, &known, key);
        }
        if !allows(&schema, node) {
            return self.wrong_kind(node, &schema, key);
        }
        match &node.content {
            Content::Number(number) => self.bounds(node, number.as_f64(), &schema, key),
            Content::List(list) => {
                list.iter().for_each(|item| self.value(item, &schema["items"], key))
            }
            Content::Table(entries) => {
                let entries: Vec<&Entry> = entries.iter().collect();
                let (name, kind) = (format!("this part of `{key}`"), format!("`{key}`"));
                let place = Place { name, kind, at: node.span.clone(), shared: Vec::new() };
                self.table(&entries, &schema, &place);
            }
            Content::Text(_) if schema["format"] == "cel" => {
                self.names.condition(node, self.found);
            }
            Content::Text(_) | Content::Null | Content::Bool(_) => {}
        }
    }

    /// One of several shapes: told by the kind of the value where that decides.
    fn choice(&mut self, node: &Node, choices: &[Value], key: &str) {
        let choices: Vec<&Value> = choices.iter().map(|choice| self.resolve(choice)).collect();
        let known: Vec<String> = choices.iter().filter_map(|c| constants(c)).flatten().collect();
        if node.text().is_some_and(|text| known.iter().any(|known| known == text)) {
            return;
        }
        let open = choices.iter().filter(|choice| constants(choice).is_none());
        let fitting: Vec<Value> =
            open.filter(|choice| allows(choice, node)).map(|&choice| choice.clone()).collect();
        match fitting.as_slice() {
            [] if !known.is_empty() => self.constant(node, &known, key),
            [] => {
                let open = choices.iter().find(|choice| wanted(choice).is_some());
                let schema = open.map_or(Value::Null, |&choice| choice.clone());
                self.wrong_kind(node, &schema, key);
            }
            [only] => self.value(node, only, key),
            // Several shapes take it: the type itself decides.
            [_, _, ..] => {}
        }
    }

    fn constant(&mut self, node: &Node, known: &[String], key: &str) {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        match node.text() {
            Some(text) if known.contains(&text) => {}
            Some(text) => {
                self.found.note(|| {
                    let message = format!("`{text}` is nothing that `{key}` can be");
                    let help = suggest::help(text, known);
                    Problem::at(node.span.clone(), message).help(help)
                });
            }
            None => self.refuse_kind(node, "a text", Some(suggest::one_of(&known)), key),
        }
    }

    fn wrong_kind(&mut self, node: &Node, schema: &Value, key: &str) {
        let kind = wanted(schema).unwrap_or("something else");
        let example = match &node.content {
            Content::Number(number) if kind == "a text" => {
                Some(format!("`{key} = \"{number} …\"`"))
            }
            Content::Text(text) if kind == "a number" && text.parse::<f64>().is_ok() => {
                Some(format!("`{key} = {text}`, without quotes"))
            }
            Content::Text(text) if kind == "a list" => Some(format!("`{key} = [\"{text}\"]`")),
            Content::Null
            | Content::Bool(_)
            | Content::Number(_)
            | Content::Text(_)
            | Content::List(_)
            | Content::Table(_) => example(kind).map(|example| format!("`{key} = {example}`")),
        };
        self.refuse_kind(node, kind, example, key);
    }

    fn refuse_kind(&mut self, node: &Node, wanted: &str, example: Option<String>, key: &str) {
        let message = format!("`{key}` is {wanted}, but here stands {}", node.kind());
        let mut problem = Problem::at(node.span.clone(), message);
        problem.help = example.map(|example| format!("write {example}"));
        self.found.add(problem);
    }

    fn bounds(&mut self, node: &Node, number: Option<f64>, schema: &Value, key: &str) {
        let number = number.unwrap_or_default();
        let (least, most) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
        let below = least.filter(|least| number < *least).map(|least| ("at least", least));
        let above = most.filter(|most| number > *most).map(|most| ("at most", most));
        if let Some((side, bound)) = below.or(above) {
            let message = format!("`{key}` is {side} {bound}");
            let beyond = if side == "at most" { "less" } else { "more" };
            let help = format!("write `{key} = {bound}` or {beyond}");
            self.found.add(Problem::at(node.span.clone(), message).help(help));
        } else if schema["type"] == "integer" && number.fract() != 0.0 {
            let message = format!("`{key}` is a whole number");
            let help = format!("write `{key} = {}`", number.round());
            self.found.add(Problem::at(node.span.clone(), message).help(help));
        }
    }

    /// The schema itself, or the one that it refers to.
    fn resolve<'v>(&'v self, schema: &'v Value) -> &'v Value {
        let by_all = schema["allOf"].as_array().and_then(|all| all.first());
        let reference = schema["$ref"].as_str().or_else(|| by_all?["$ref"].as_str());
        let name = reference.and_then(|reference| reference.strip_prefix("#/$defs/"));
        name.and_then(|name| self.schema["$defs"].get(name)).unwrap_or(schema)
    }
}
