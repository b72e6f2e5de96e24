//! `[[migrate]]`: how runs of older versions come into this one.
//!
//! ```toml
//! [[migrate]]
//! from = 3                                   # that version; or the first twelve digits of its hash;
//!                                            # every older one where nothing stands
//! map = { bump = "call", old-offer = "exit" }
//! ```
//!
//! A table opens the way for runs of those versions though steps came, went or were joined anew. A run that
//! stands at a step of `map` goes to the step that is named there, ends (`"exit"`), or keeps its version to
//! its end (`"stay"`); a run at any other step stands at the step of the same id. Reads and checks; what
//! becomes of a run is decided by `change`.

use std::collections::BTreeMap;

use super::check::is_name;
use super::keys;
use super::model::{Destination, Migrate, Origin, StepDefinition};
use super::refusals::{Findings, Problem};
use super::suggest;
use super::tree::{self, Content, Entry, Node};

/// The most tables of one document.
const TABLES: usize = 50;
/// The digits of a hash by which a version is named.
pub const HASH_DIGITS: usize = 12;
/// What stands in `map` for the end of the run.
pub(super) const EXIT: &str = "exit";
/// What stands in `map` for keeping the version.
pub(super) const STAY: &str = "stay";

const EXAMPLE: &str = "`[[migrate]]` and below it `map = { bump = \"call\" }`";

/// Reads all tables; targets are looked for among the steps, where those were read.
pub(super) fn migrate(
    entries: &[Entry],
    steps: Option<&[StepDefinition]>,
    found: &mut Findings<'_>,
) -> Vec<Migrate> {
    let Some(entry) = tree::find(entries, "migrate") else { return Vec::new() };
    let Some(tables) = entry.node.list() else {
        keys::refuse_kind("migrate", &entry.node, "a list of tables", EXAMPLE, found);
        return Vec::new();
    };
    if let Some(first) = tables.get(TABLES) {
        let message = format!("a sequence has at most {TABLES} `[[migrate]]`");
        let help = "leave out those of versions that nobody follows any more";
        found.add(Problem::at(first.span.clone(), message).help(help));
        return Vec::new();
    }
    let mut read: Vec<Migrate> = Vec::with_capacity(tables.len());
    for table in tables {
        let Some(one) = one(table, steps, found) else { continue };
        if read.iter().any(|other| other.from == one.from) {
            let message = match &one.from {
                Origin::Any => "two `[[migrate]]` are for every older version".to_owned(),
                Origin::Version(version) => format!("two `[[migrate]]` are from version {version}"),
                Origin::Hash(hash) => format!("two `[[migrate]]` are from `{hash}`"),
            };
            found.add(Problem::at(table.span.clone(), message).help("put their `map` into one"));
        }
        read.push(one);
    }
    read
}

fn one(
    table: &Node,
    steps: Option<&[StepDefinition]>,
    found: &mut Findings<'_>,
) -> Option<Migrate> {
    let Some(entries) = table.entries() else {
        keys::refuse_kind("migrate", table, "a list of tables", EXAMPLE, found);
        return None;
    };
    keys::refuse_unknown(entries, &["from", "map"], "`[[migrate]]`", found);
    let from = match tree::find(entries, "from") {
        Some(entry) => from(entry, found)?,
        None => Origin::Any,
    };
    let map = match tree::find(entries, "map") {
        Some(entry) => map(entry, steps, found),
        None => BTreeMap::new(),
    };
    Some(Migrate { from, map })
}

fn from(entry: &Entry, found: &mut Findings<'_>) -> Option<Origin> {
    let read = match &entry.node.content {
        Content::Number(number) => number
            .as_i64()
            .and_then(|number| i32::try_from(number).ok())
            .filter(|version| *version > 0)
            .map(Origin::Version),
        Content::Text(text) => Some(text.to_ascii_lowercase())
            .filter(|text| {
                text.len() == HASH_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
            })
            .map(Origin::Hash),
        Content::Null | Content::Bool(_) | Content::List(_) | Content::Table(_) => None,
    };
    if read.is_none() {
        let message =
            "`from` names the version that is left: its number, or twelve digits of its hash";
        let help = "write `from = 3` or `from = \"3f9a0c41d27e\"`, as `salesos workflows versions` \
                    lists them, or remove it for every older version";
        found.add(Problem::at(entry.node.span.clone(), message).help(help));
    }
    read
}

fn map(
    entry: &Entry,
    steps: Option<&[StepDefinition]>,
    found: &mut Findings<'_>,
) -> BTreeMap<String, Destination> {
    const MAP: &str = "`map = { bump = \"call\" }`, old ids to new ones";
    let Some(entries) = keys::table(entry, MAP, found) else { return BTreeMap::new() };
    let mut map = BTreeMap::new();
    for entry in entries {
        if !is_name(&entry.key, true) {
            let message = format!("`{}` can't be the id of a step", entry.key);
            let help = "write the id that the step has in the older version";
            found.add(Problem::at(entry.key_span.clone(), message).help(help));
        }
        let Some(target) = keys::text(entry, MAP, found) else { continue };
        match destination(target, steps) {
            Ok(destination) => {
                map.insert(entry.key.clone(), destination);
            }
            Err(problem) => {
                let (message, help) = problem;
                found.add(Problem::at(entry.node.span.clone(), message).help(help));
            }
        }
    }
    map
}

/// Reads a target of `map`; an error is what is wrong and what to write instead.
fn destination(
    target: &str,
    steps: Option<&[StepDefinition]>,
) -> Result<Destination, (String, String)> {
    let known = || steps.into_iter().flatten().map(|step| step.id.as_str());
    let stands = known().any(|id| id == target);
    match target {
        EXIT | STAY if stands => Err((
            format!("`{target}` may mean the step of this id, or what `[[migrate]]` means by it"),
            format!("give the step another id, such as `{target}-step`"),
        )),
        EXIT => Ok(Destination::Exit),
        STAY => Ok(Destination::Stay),
        // Where the steps could not be read, that is what is told.
        _ if stands || steps.is_none() => Ok(Destination::Step(target.to_owned())),
        _ => {
            let help = suggest::help(target, known().chain([EXIT, STAY]));
            Err((format!("there is no step `{target}` to go to"), help))
        }
    }
}

impl Destination {
    /// Reads what a person wrote, such as `call`, `exit` or `stay`.
    ///
    /// # Errors
    /// What is wrong, and what to write.
    pub fn read(target: &str, steps: &[StepDefinition]) -> Result<Self, String> {
        destination(target, Some(steps)).map_err(|(message, help)| format!("{message}; {help}"))
    }
}
