//! Checks `[[scenario]]`: the definition's own tests.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use serde_json::{Map, json};

use super::check;
use super::keys;
use super::refusals::{Findings, Problem};
use super::scenario::{Event, Expectation, Expected, Happening, Moment, Scenario};
use super::suggest;
use super::tree::{self, Entry, Node};
use crate::step::Registry;
use crate::timing::{Delay, Zone};

/// The most scenarios of a definition, and the most events and expectations of each.
const MOST: usize = 100;
/// A Monday, which is a holiday nowhere that is known.
const MONDAY: (i32, u32, u32) = (2026, 3, 2);
const STATES: [&str; 3] = ["completed", "exited", "held"];
const MOMENT: &str = "a time after the start such as `2 days` or `3 business days`, or a local time such as `2026-03-04 10:00`";

/// What scenarios may name.
pub(super) struct Known<'a> {
    pub(super) registry: &'a Registry,
    /// The kind of subject, under which its fields stand.
    pub(super) subject: &'a str,
    /// The ids of the steps.
    pub(super) steps: Vec<&'a str>,
}

/// All scenarios of a document.
pub(super) fn scenarios(
    entries: &[Entry],
    known: &Known<'_>,
    found: &mut Findings<'_>,
) -> Vec<Scenario> {
    let Some(entry) = tree::find(entries, "scenario") else { return Vec::new() };
    let example = "`[[scenario]]` and below it `name`, `[[scenario.when]]` and `[[scenario.then]]`";
    list(entry, example, found).iter().filter_map(|node| scenario(node, known, found)).collect()
}

/// The tables of a list, no more than can be.
fn list<'n>(entry: &'n Entry, example: &str, found: &mut Findings<'_>) -> &'n [Node] {
    let Some(nodes) = entry.node.list() else {
        keys::refuse_kind(&entry.key, &entry.node, "a list of tables", example, found);
        return &[];
    };
    if nodes.len() > MOST {
        let message = format!("these are {}; at most {MOST} can stand here", nodes.len());
        found.add(Problem::at(entry.key_span.clone(), message).help("take some out"));
        return &[];
    }
    nodes
}

fn scenario(node: &Node, known: &Known<'_>, found: &mut Findings<'_>) -> Option<Scenario> {
    let Some(entries) = node.entries() else {
        keys::refuse_kind("scenario", node, "a list of tables", "`[[scenario]]`", found);
        return None;
    };
    let own = ["name", "start", "zone", known.subject, "when", "then"];
    keys::refuse_unknown(entries, &own, "a scenario", found);
    let name = tree::find(entries, "name")
        .and_then(|entry| keys::text(entry, "`name = \"a reply ends it\"`", found));
    if name.is_none() && !keys::misspelled(entries, "name", |key| own.contains(&key)) {
        let problem = Problem::at(node.span.clone(), "a scenario needs a `name`");
        found.add(problem.help("write `name = \"a reply ends it\"`, what it shows"));
    }
    let start = tree::find(entries, "start").map_or_else(
        || Some(monday()),
        |entry| {
            let text = keys::text(entry, "`start = \"2026-03-02 09:00\"`", found)?;
            let local = local(text);
            if local.is_none() {
                let message = format!("`{text}` is no local time");
                let problem = Problem::at(entry.node.span.clone(), message);
                found.add(problem.help("write `start = \"2026-03-02 09:00\"`"));
            }
            local
        },
    );
    let zone = tree::find(entries, "zone").map_or_else(|| Some(Zone::utc()), |at| zone(at, found));
    let subject = tree::find(entries, known.subject).map_or_else(
        || Some(Map::new()),
        |entry| {
            let example = format!("`{} = {{ first_name = \"Ada\" }}`", known.subject);
            Some(tree::values(keys::table(entry, &example, found)?.iter()))
        },
    );
    let mut happenings = Vec::new();
    if let Some(entry) = tree::find(entries, "when") {
        let nodes = list(entry, "`[[scenario.when]]` with `at` and `signal`", found);
        happenings.extend(nodes.iter().filter_map(|node| happening(node, known, found)));
    }
    let mut expectations = Vec::new();
    if let Some(entry) = tree::find(entries, "then") {
        let nodes = list(entry, "`[[scenario.then]]` with `step` and `by`", found);
        expectations.extend(nodes.iter().filter_map(|node| expectation(node, known, found)));
    } else if !keys::misspelled(entries, "then", |key| own.contains(&key)) {
        let problem =
            Problem::at(node.span.clone(), "a scenario that expects nothing tests nothing");
        found.add(problem.help(
            "write `[[scenario.then]]` and below it `step = \"intro\"` and `by = \"1 day\"`",
        ));
    }
    Some(Scenario {
        name: name?.to_owned(),
        start: start?,
        zone: zone?,
        subject: subject?,
        when: happenings,
        then: expectations,
    })
}

fn happening(node: &Node, known: &Known<'_>, found: &mut Findings<'_>) -> Option<Happening> {
    const EXAMPLE: &str =
        "write `signal = \"email.replied\"`, or `step = \"intro\"` and `sets = { clicked = true }`";
    let entries = node.entries().or_else(|| {
        keys::refuse_kind("when", node, "a list of tables", "`[[scenario.when]]`", found);
        None
    })?;
    keys::refuse_unknown(
        entries,
        &["at", "signal", "data", "step", "sets"],
        "`[[scenario.when]]`",
        found,
    );
    let at = required_moment(node, entries, "at", found);
    let signal = tree::find(entries, "signal");
    let step = tree::find(entries, "step");
    let what = match (signal, step) {
        (Some(entry), None) => {
            let name = keys::text(entry, "`signal = \"email.replied\"`", found)?;
            check::signal(name, &entry.node.span, known.registry, found);
            let data = tree::find(entries, "data").map_or_else(|| json!({}), |at| at.node.value());
            Some(Event::Signal { name: name.into(), data })
        }
        (None, Some(entry)) => {
            let step = known.step(entry, found)?;
            let sets = tree::find(entries, "sets")
                .and_then(|sets| keys::table(sets, "`sets = { clicked = true }`", found));
            match sets {
                Some(sets) => Some(Event::Observed { step, fields: tree::values(sets.iter()) }),
                None => {
                    let problem = Problem::at(
                        node.span.clone(),
                        "this does not say what comes to be known of the step",
                    );
                    found.add(problem.help("write `sets = { clicked = true }`"));
                    None
                }
            }
        }
        (Some(_), Some(_)) => {
            let problem = Problem::at(node.span.clone(), "`signal` and `step` exclude each other");
            found.add(problem.help("write two events"));
            None
        }
        (None, None) => {
            let problem = Problem::at(node.span.clone(), "this does not say what happens");
            found.add(problem.help(EXAMPLE));
            None
        }
    };
    Some(Happening { at: at?, what: what? })
}

fn expectation(node: &Node, known: &Known<'_>, found: &mut Findings<'_>) -> Option<Expectation> {
    let entries = node.entries().or_else(|| {
        keys::refuse_kind("then", node, "a list of tables", "`[[scenario.then]]`", found);
        None
    })?;
    let own = ["step", "never", "ends", "reason", "by", "at"];
    keys::refuse_unknown(entries, &own, "`[[scenario.then]]`", found);
    let by = tree::find(entries, "by").and_then(|entry| moment(entry, found));
    let at = tree::find(entries, "at").and_then(|entry| moment(entry, found));
    let named = ["step", "never", "ends"].map(|key| tree::find(entries, key));
    let what = match named {
        [Some(entry), None, None] => Expected::Done { step: known.step(entry, found)? },
        [None, Some(entry), None] => Expected::Never { step: known.step(entry, found)? },
        [None, None, Some(entry)] => ends(entry, entries, found)?,
        [..] => {
            let problem =
                Problem::at(node.span.clone(), "this does not say one thing that must come");
            found.add(problem.help(
                "write one of `step = \"intro\"`, `never = \"bump\"` and `ends = \"exited\"`",
            ));
            return None;
        }
    };
    Some(Expectation { what, by, at })
}

fn ends(entry: &Entry, entries: &[Entry], found: &mut Findings<'_>) -> Option<Expected> {
    let state = keys::text(entry, "`ends = \"exited\"`", found)?;
    if !STATES.contains(&state) {
        let message = format!("a run does not end as `{state}`");
        let help = suggest::help(state, STATES);
        found.add(Problem::at(entry.node.span.clone(), message).help(help));
        return None;
    }
    let reason = tree::find(entries, "reason")
        .and_then(|entry| keys::text(entry, "`reason = \"email.replied\"`", found));
    Some(Expected::Ends { state: state.into(), reason: reason.map(str::to_owned) })
}

impl Known<'_> {
    /// The id of a step that there is.
    fn step(&self, entry: &Entry, found: &mut Findings<'_>) -> Option<String> {
        let id = keys::text(entry, "`step = \"intro\"`, the id of a step", found)?;
        if self.steps.contains(&id) {
            return Some(id.into());
        }
        let help = suggest::help(id, self.steps.iter().copied());
        let message = format!("there is no step `{id}`");
        found.add(Problem::at(entry.node.span.clone(), message).help(help));
        None
    }
}

fn required_moment(
    node: &Node,
    entries: &[Entry],
    key: &str,
    found: &mut Findings<'_>,
) -> Option<Moment> {
    match tree::find(entries, key) {
        Some(entry) => moment(entry, found),
        None => {
            let problem = Problem::at(node.span.clone(), "this does not say when");
            found.add(problem.help(format!("write `{key} = \"2 days\"`: {MOMENT}")));
            None
        }
    }
}

fn moment(entry: &Entry, found: &mut Findings<'_>) -> Option<Moment> {
    let text = keys::text(entry, "`\"2 days\"`", found)?;
    if let Some(local) = local(text) {
        return Some(Moment::At(local));
    }
    match Delay::parse_for(text) {
        Ok(delay) => Some(Moment::After(delay)),
        Err(words) => {
            let message = words.split("; ").next().unwrap_or(&words);
            let problem = Problem::at(entry.node.span.clone(), message);
            found.add(problem.help(format!("write {MOMENT}")));
            None
        }
    }
}

fn zone(entry: &Entry, found: &mut Findings<'_>) -> Option<Zone> {
    let name = keys::text(entry, "`zone = \"Europe/Vienna\"`", found)?;
    Zone::parse(name)
        .map_err(|_| {
            let help = match Zone::nearest(name) {
                Some(zone) => format!("did you mean `{zone}`?"),
                None => "write a name such as `Europe/Vienna`".into(),
            };
            let message = format!("there is no time zone `{name}`");
            found.add(Problem::at(entry.node.span.clone(), message).help(help));
        })
        .ok()
}

fn local(text: &str) -> Option<NaiveDateTime> {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").ok()
}

fn monday() -> NaiveDateTime {
    let (year, month, day) = MONDAY;
    let date = NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default();
    date.and_time(NaiveTime::from_hms_opt(9, 0, 0).unwrap_or_default())
}
