//! How runs of one version come into another: which may, where each step leads, and what a run would come to
//! again that it has done. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::difference::{Difference, Kind, between};
use crate::definition::{Definition, Destination, Migrate, OnFailure, Origin, short_hash};
use crate::step::{Effect, Reference, Registry};

/// Where runs go that stand at a mapped step, by its id in the version that they leave.
pub type Map = BTreeMap<String, Destination>;

/// A version of a workflow.
#[derive(Clone)]
pub struct Version {
    /// Its id; `None` for one that was not kept yet.
    pub id: Option<i64>,
    /// Its number; `None` for one that was not kept yet.
    pub number: Option<i32>,
    /// What it says.
    pub definition: Arc<Definition>,
}

/// How the runs of a version come into another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// All go forward where they stand: only words and times differ.
    Forward,
    /// All keep their version: steps differ, and nothing says how to come from one to the other.
    Pinned,
    /// They go where the map says, else to the step of the same id.
    Mapped(Map),
}

impl Way {
    /// All of them, by their words.
    pub const WORDS: [&str; 3] = ["forward", "pinned", "mapped"];

    /// Its word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Pinned => "pinned",
            Self::Mapped(_) => "mapped",
        }
    }
}

/// Where a run goes that stands at a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "goes", content = "to", rename_all = "snake_case")]
pub enum Lead {
    /// It stands at this step as it stood: what it waits for goes on.
    Stand(String),
    /// It enters this step anew.
    Enter(String),
    /// To its end.
    Exit,
    /// It keeps its version.
    Stay,
    /// Nowhere: the step is gone, and nothing says what follows.
    Vanish,
}

/// From a version to another.
pub struct Route {
    /// The version that is left.
    pub old: Version,
    /// The version that they come into.
    pub new: Version,
    /// What differs.
    pub difference: Difference,
    /// How the runs come over.
    pub way: Way,
    /// The new id of steps that were merely given another, by the old one.
    renamed: BTreeMap<String, String>,
}

impl Route {
    /// The route from one version to another; `asked` is what a person maps beyond the definitions.
    pub fn new(old: Version, new: Version, asked: &Map, registry: &Registry) -> Self {
        let difference = between(&old.definition, &new.definition, registry);
        let way = way(&old, &new, &difference, asked);
        let renamed = renamed(&old.definition, &new.definition, &way);
        Self { old, new, difference, way, renamed }
    }

    /// Where a run goes that stands at a step of the old version.
    pub fn leads(&self, step: &str) -> Lead {
        let map = match &self.way {
            Way::Pinned => return Lead::Stay,
            Way::Forward => return self.to(step, step),
            Way::Mapped(map) => map,
        };
        match map.get(step) {
            Some(Destination::Exit) => Lead::Exit,
            Some(Destination::Stay) => Lead::Stay,
            Some(Destination::Step(target)) => self.to(step, target),
            None => self.to(step, step),
        }
    }

    /// From a step to a step: the same one, or one that only has another id, goes on as it stood.
    fn to(&self, step: &str, target: &str) -> Lead {
        let kind = |definition: &Definition, id: &str| {
            definition.index_of(id).map(|index| definition.steps[index].kind)
        };
        let is_same = step == target || self.renamed.get(step).is_some_and(|new| new == target);
        match (kind(&self.old.definition, step), kind(&self.new.definition, target)) {
            (_, None) => Lead::Vanish,
            (was, is) if is_same && was == is => Lead::Stand(target.to_owned()),
            (_, Some(_)) => Lead::Enter(target.to_owned()),
        }
    }

    /// The ids that steps merely changed, from the old version to the new one.
    pub fn renamed(&self) -> &BTreeMap<String, String> {
        &self.renamed
    }

    /// The steps of the new version to which a run may come that stood at a step, although the old version
    /// would not have brought it there any more: it must not have done them before.
    pub fn new_ahead(&self, step: &str) -> BTreeSet<String> {
        let target = match self.leads(step) {
            Lead::Stand(target) | Lead::Enter(target) => target,
            Lead::Exit | Lead::Stay | Lead::Vanish => return BTreeSet::new(),
        };
        let before: BTreeSet<String> = ahead(&self.old.definition, step)
            .into_iter()
            .map(|id| self.renamed.get(id).cloned().unwrap_or_else(|| id.to_owned()))
            .collect();
        let new = &self.new.definition;
        let acts = |id: &&str| new.index_of(id).is_some_and(|index| acts(new, index));
        let ahead = ahead(new, &target).into_iter().filter(acts).map(str::to_owned);
        ahead.filter(|id| !before.contains(id)).collect()
    }

    /// Whether the step would be missing that says how to undo one of these, which a run has done.
    pub fn loses_undo(&self, done: &[String]) -> bool {
        let new = &self.new.definition;
        done.iter().any(|id| {
            let id = self.renamed.get(id).unwrap_or(id);
            new.index_of(id).is_none_or(|index| new.steps[index].compensate.is_none())
        })
    }
}

/// The acts that lie ahead of a run that stands at a step, by their index; no run does more without turning back.
pub(super) fn acts_ahead(definition: &Definition, step: &str) -> Vec<usize> {
    ahead(definition, step)
        .into_iter()
        .filter_map(|id| definition.index_of(id))
        .filter(|index| acts(definition, *index))
        .collect()
}

/// Whether a step does something that nobody should get twice: all do, but those that only let time pass or
/// only say where to go.
fn acts(definition: &Definition, index: usize) -> bool {
    let step = &definition.steps[index];
    step.effect != Effect::Pure || !(step.step.waits() || step.step.diverts())
}

/// The steps to which a run may come from a step, itself among them. Steps that undo are none of them: a run
/// comes to those by what it did.
fn ahead<'a>(definition: &'a Definition, step: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<usize> = definition.index_of(step).into_iter().collect();
    while let Some(index) = open.pop() {
        if reached.insert(definition.steps[index].id.as_str()) {
            open.extend(targets(definition, index));
        }
    }
    reached
}

fn targets(definition: &Definition, index: usize) -> Vec<usize> {
    let step = &definition.steps[index];
    let target = |reference| match reference {
        Reference::Target { step, .. } => definition.index_of(&step),
        Reference::Step { .. }
        | Reference::Condition { .. }
        | Reference::Template { .. }
        | Reference::Signal { .. }
        | Reference::DateField { .. } => None,
    };
    let mut targets: Vec<usize> = step.step.references().into_iter().filter_map(target).collect();
    targets.extend(step.next);
    match step.on_failure {
        OnFailure::Goto(index) => targets.push(index),
        OnFailure::Hold | OnFailure::Continue | OnFailure::Compensate => {}
    }
    targets
}

fn way(old: &Version, new: &Version, difference: &Difference, asked: &Map) -> Way {
    let back = new.number.is_some_and(|number| old.number.is_some_and(|old| old > number));
    let mapped = if back {
        // Back is the way that was come, where it can be told: steps of the same id need no map.
        Some(
            table_for(&old.definition.migrate, new)
                .map_or_else(Map::new, |table| backwards(&table.map, &new.definition)),
        )
    } else {
        table_for(&new.definition.migrate, old).map(|table| table.map.clone())
    };
    match (mapped, difference.kind()) {
        (Some(mut map), _) => {
            map.extend(asked.clone());
            Way::Mapped(map)
        }
        (None, _) if !asked.is_empty() => Way::Mapped(asked.clone()),
        (None, Kind::Structure) => Way::Pinned,
        (None, Kind::Same | Kind::Copy | Kind::Timing) => Way::Forward,
    }
}

/// The table that is about a version: the one that names it, else the one about all.
fn table_for<'a>(tables: &'a [Migrate], version: &Version) -> Option<&'a Migrate> {
    let hash = short_hash(&version.definition.hash);
    let names = |table: &&Migrate| match &table.from {
        Origin::Any => false,
        Origin::Version(number) => Some(*number) == version.number,
        Origin::Hash(digits) => *digits == hash,
    };
    let all = |table: &&Migrate| table.from == Origin::Any;
    tables.iter().find(names).or_else(|| tables.iter().find(all))
}

/// A map the other way round, for steps that only the version has that is left, where one step led there.
fn backwards(map: &Map, new: &Definition) -> Map {
    let mut back: BTreeMap<String, Option<String>> = BTreeMap::new();
    for (was, destination) in map {
        match destination {
            Destination::Step(is) if new.index_of(is).is_none() && new.index_of(was).is_some() => {
                back.entry(is.clone())
                    .and_modify(|several| *several = None)
                    .or_insert_with(|| Some(was.clone()));
            }
            Destination::Step(_) | Destination::Exit | Destination::Stay => {}
        }
    }
    back.into_iter().filter_map(|(is, was)| Some((is, Destination::Step(was?)))).collect()
}

/// Steps of the same type of which only the id differs: the old one went, the new one came, and the map
/// leads from one to the other.
fn renamed(old: &Definition, new: &Definition, way: &Way) -> BTreeMap<String, String> {
    let Way::Mapped(map) = way else { return BTreeMap::new() };
    let kind = |definition: &Definition, id: &str| {
        definition.index_of(id).map(|index| definition.steps[index].kind)
    };
    let mut renamed: BTreeMap<String, String> = BTreeMap::new();
    for (was, destination) in map {
        let Destination::Step(is) = destination else { continue };
        let went = kind(old, was).is_some() && kind(new, was).is_none();
        let came = kind(new, is).is_some() && kind(old, is).is_none();
        let taken = renamed.values().any(|taken| taken == is);
        if went && came && !taken && kind(old, was) == kind(new, is) {
            renamed.insert(was.clone(), is.clone());
        }
    }
    renamed
}

#[cfg(test)]
mod tests;
