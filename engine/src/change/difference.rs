//! What differs between two versions of a definition, step by step, and how much of it a live run can take
//! on: its words, its times, or its ways.
//!
//! A step type says of each key of its own, at the field itself, that it is `copy` or `timing`
//! (`#[schemars(extend("x-change" = "copy"))]`); a key that says nothing is structure. Pure.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::definition::{Definition, StepDefinition};
use crate::step::{Reference, Registry};

/// The longest text of a value that a difference quotes.
const QUOTED: usize = 120;
/// The keyword by which a step type's schema says what a change of a key is.
const DECLARED: &str = "x-change";

/// How deep a change goes; the deeper one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ChangeKind)]
pub enum Kind {
    /// Nothing differs.
    Same,
    /// Words: texts, subjects, titles. Runs take it on.
    Copy,
    /// Times: delays, windows, retries, limits. Runs take it on, and what sleeps is planned anew.
    Timing,
    /// Ways: steps that came, went or changed their type, and where runs go. Runs keep their version unless
    /// `[[migrate]]` maps it.
    Structure,
}

/// A key that differs.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Touched {
    /// Such as `for`, or `templates.intro`.
    pub key: String,
    /// How deep the change goes.
    pub kind: Kind,
    /// What stood there, where it is short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub was: Option<Value>,
    /// What stands there now, where it is short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is: Option<Value>,
}

/// In which of two versions a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// In both.
    Both,
    /// In the newer one only.
    Added,
    /// In the older one only.
    Removed,
}

/// What differs at one step.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StepDifference {
    /// Its id.
    pub id: String,
    /// In which version it is.
    pub presence: Presence,
    /// How deep the change goes.
    pub kind: Kind,
    /// The keys that differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub touched: Vec<Touched>,
}

impl StepDifference {
    /// Whether one of these keys differs.
    pub fn touches(&self, keys: &[&str]) -> bool {
        self.touched.iter().any(|touched| keys.contains(&touched.key.as_str()))
    }
}

/// What differs between two versions.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Difference {
    /// Outside of the steps.
    pub document: Vec<Touched>,
    /// Step by step: those of the new version in their order, then those that went. None is left out.
    pub steps: Vec<StepDifference>,
}

impl Difference {
    /// How deep the deepest change goes.
    pub fn kind(&self) -> Kind {
        let steps = self.steps.iter().map(|step| step.kind);
        let document = self.document.iter().map(|touched| touched.kind);
        steps.chain(document).max().unwrap_or(Kind::Same)
    }

    /// What differs at a step.
    pub fn of(&self, id: &str) -> Option<&StepDifference> {
        self.steps.iter().find(|step| step.id == id)
    }
}

/// What differs between an old version and a new one.
pub fn between(old: &Definition, new: &Definition, registry: &Registry) -> Difference {
    let moved = moved(old, new);
    let mut steps: Vec<StepDifference> = Vec::with_capacity(new.steps.len());
    for (index, step) in new.steps.iter().enumerate() {
        let difference = match old.index_of(&step.id) {
            None => whole(&step.id, Presence::Added),
            Some(was) => {
                let mut touched = step_keys(&Side::of(old, was), &Side::of(new, index), registry);
                if moved.contains(&step.id.as_str()) {
                    touched.push(bare("order", Kind::Structure));
                }
                let kind = touched.iter().map(|touched| touched.kind).max().unwrap_or(Kind::Same);
                StepDifference { id: step.id.clone(), presence: Presence::Both, kind, touched }
            }
        };
        steps.push(difference);
    }
    let gone = old.steps.iter().filter(|step| new.index_of(&step.id).is_none());
    steps.extend(gone.map(|step| whole(&step.id, Presence::Removed)));
    Difference { document: document_keys(old, new), steps }
}

fn whole(id: &str, presence: Presence) -> StepDifference {
    StepDifference { id: id.to_owned(), presence, kind: Kind::Structure, touched: Vec::new() }
}

fn bare(key: &str, kind: Kind) -> Touched {
    Touched { key: key.to_owned(), kind, was: None, is: None }
}

/// The steps of both versions whose place among the steps of both differs.
fn moved<'a>(old: &Definition, new: &'a Definition) -> Vec<&'a str> {
    let before: Vec<&str> = old
        .steps
        .iter()
        .map(|step| step.id.as_str())
        .filter(|id| new.index_of(id).is_some())
        .collect();
    let after =
        new.steps.iter().map(|step| step.id.as_str()).filter(|id| old.index_of(id).is_some());
    after.zip(before).filter(|(is, was)| is != was).map(|(is, _)| is).collect()
}

/// A step in its version.
struct Side<'a> {
    definition: &'a Definition,
    step: &'a StepDefinition,
    keys: &'a Map<String, Value>,
}

impl<'a> Side<'a> {
    fn of(definition: &'a Definition, index: usize) -> Self {
        let keys = definition.document["steps"][index].as_object();
        let keys = keys.expect("a step of a definition that was read is a table");
        Self { definition, step: &definition.steps[index], keys }
    }

    /// The id of the step that follows.
    fn next(&self) -> Option<&'a str> {
        self.step.next.map(|next| self.definition.steps[next].id.as_str())
    }

    fn templates(&self) -> Vec<String> {
        let template = |reference| match reference {
            Reference::Template { name, .. } => Some(name),
            Reference::Target { .. }
            | Reference::Step { .. }
            | Reference::Condition { .. }
            | Reference::Signal { .. }
            | Reference::DateField { .. } => None,
        };
        self.step.step.references().into_iter().filter_map(template).collect()
    }
}

fn step_keys(old: &Side<'_>, new: &Side<'_>, registry: &Registry) -> Vec<Touched> {
    let schema = registry.step_type(new.step.kind).map(|kind| (kind.schema)().to_value());
    let declared = schema.as_ref().map_or(&Value::Null, |schema| &schema["properties"]);
    // Where a run goes next is compared as it comes out, whether or not it is written down.
    let written = |key: &str| key != "id" && key != "next";
    let mut touched = differing(old.keys, new.keys, written, |key| step_key(declared, key));
    if old.next() != new.next() {
        touched.push(quoted(
            "next",
            Kind::Structure,
            old.next().map(Value::from).as_ref(),
            new.next().map(Value::from).as_ref(),
        ));
    }
    if old.step.retry != new.step.retry && !touched.iter().any(|touched| touched.key == "retry") {
        touched.push(bare("retry", Kind::Timing));
    }
    let timed = |side: &Side<'_>| side.step.windowed || side.step.step.waits();
    let windows = (&old.definition.timing.window, &new.definition.timing.window);
    if windows.0 != windows.1 && (timed(old) || timed(new)) {
        touched.push(bare("timing.window", Kind::Timing));
    }
    for name in new.templates() {
        let (was, is) = (old.definition.templates.get(&name), new.definition.templates.get(&name));
        if was.is_some() && was != is {
            touched.push(bare(&format!("templates.{name}"), Kind::Copy));
        }
    }
    touched
}

/// What a change of a step's key is: what its type declares of a key of its own, else by what the shared key
/// is about.
fn step_key(declared: &Value, key: &str) -> Kind {
    if let Some(own) = declared.get(key) {
        return match own[DECLARED].as_str() {
            Some("copy") => Kind::Copy,
            Some("timing") => Kind::Timing,
            Some(_) | None => Kind::Structure,
        };
    }
    match key {
        "windowed" | "retry" | "timeout" | "limits" => Kind::Timing,
        _ => Kind::Structure,
    }
}

fn document_keys(old: &Definition, new: &Definition) -> Vec<Touched> {
    let empty = Map::new();
    let table = |value: &'_ Value| value.as_object().cloned().unwrap_or_default();
    let (was, is) =
        (old.document.as_object().unwrap_or(&empty), new.document.as_object().unwrap_or(&empty));
    // How runs come into the version is no part of what it says to them.
    let written = |key: &str| !["steps", "migrate", "templates", "timing"].contains(&key);
    let kind = |key: &str| match key {
        // These are read when somebody is enrolled.
        "title" | "enroll" => Kind::Copy,
        "retry" => Kind::Timing,
        _ => Kind::Structure,
    };
    let mut touched = differing(was, is, written, kind);
    let texts = differing(
        &table(&old.document["templates"]),
        &table(&new.document["templates"]),
        |_| true,
        |_| Kind::Copy,
    );
    touched
        .extend(texts.into_iter().map(|text| bare(&format!("templates.{}", text.key), text.kind)));
    // A run keeps the zone that it was enrolled with.
    let timing = |key: &str| if key == "zone" { Kind::Copy } else { Kind::Timing };
    let times = differing(
        &table(&old.document["timing"]),
        &table(&new.document["timing"]),
        |_| true,
        timing,
    );
    touched.extend(
        times.into_iter().map(|time| Touched { key: format!("timing.{}", time.key), ..time }),
    );
    touched
}

fn differing(
    was: &Map<String, Value>,
    is: &Map<String, Value>,
    written: impl Fn(&str) -> bool,
    kind: impl Fn(&str) -> Kind,
) -> Vec<Touched> {
    let mut keys: BTreeMap<&str, (Option<&Value>, Option<&Value>)> = BTreeMap::new();
    for (key, value) in was {
        keys.entry(key).or_default().0 = Some(value);
    }
    for (key, value) in is {
        keys.entry(key).or_default().1 = Some(value);
    }
    keys.into_iter()
        .filter(|(key, (was, is))| written(key) && was != is)
        .map(|(key, (was, is))| quoted(key, kind(key), was, is))
        .collect()
}

fn quoted(key: &str, kind: Kind, was: Option<&Value>, is: Option<&Value>) -> Touched {
    let short =
        |value: Option<&Value>| value.filter(|value| value.to_string().len() <= QUOTED).cloned();
    Touched { key: key.to_owned(), kind, was: short(was), is: short(is) }
}

#[cfg(test)]
mod tests;
