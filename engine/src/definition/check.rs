//! Checks the top of a document: what it is called, what it is about, its texts and who may enrol again.
//!
//! Steps and timing have checkers of their own. Everything wrong is noted; a definition comes out only
//! when nothing is.

use std::collections::BTreeMap;

use super::Reading;
use super::check_scenarios::{self, Known};
use super::check_steps::{self, Surroundings};
use super::check_timing;
use super::given;
use super::keys;
use super::migrate;
use super::model::{Definition, Enroll, Template};
use super::refusals::{Findings, Problem};
use super::suggest;
use super::tree::{self, Entry, Node, Span};
use crate::step::{Registry, Subject};

/// The keys of a document.
const KEYS: [&str; 11] = [
    "name",
    "title",
    "subject",
    "timing",
    "exit",
    "retry",
    "enroll",
    "steps",
    "templates",
    "scenario",
    "migrate",
];

/// The longest name and id.
const NAME: usize = 64;

/// Reads a whole document; `None` where anything was wrong.
pub(super) fn document(
    root: &Node,
    reading: Reading<'_>,
    found: &mut Findings<'_>,
) -> Option<Definition> {
    let registry = reading.registry;
    let Some(entries) = root.entries() else {
        keys::refuse_kind("the document", root, "a table", "`{ \"name\": … }`", found);
        return None;
    };
    // Editors look for the schema under this key of JSON; it says nothing about the sequence.
    let own: Vec<&Entry> = entries.iter().filter(|entry| entry.key != "$schema").collect();
    keys::refuse_unknown(own, &KEYS, "a sequence", found);
    let name = name(entries, &root.span, found);
    let title = tree::find(entries, "title")
        .and_then(|entry| keys::text(entry, "`title = \"Outbound intro\"`", found));
    let subject = subject(entries, &root.span, registry, found);
    let timing = check_timing::timing(entries, found);
    let retry = check_timing::default_retry(entries, found);
    let templates = templates(entries, registry, found);
    let surroundings = Surroundings { reading, subject, retry, templates: &templates };
    let steps = check_steps::steps(entries, &root.span, &surroundings, found);
    let exit_on = exit_on(entries, registry, found);
    let enroll = enroll(entries, found);
    let scenarios = match (&steps, subject) {
        (Some(steps), Some(subject)) => {
            given::scenarios(entries, reading, subject, steps, found);
            let steps = steps.iter().map(|step| step.id.as_str()).collect();
            let known = Known { registry, subject: subject.name, steps };
            check_scenarios::scenarios(entries, &known, found)
        }
        // Half of it would be wrong.
        _ => Vec::new(),
    };
    let migrate = migrate::migrate(entries, steps.as_deref(), found);
    if found.count() > 0 {
        return None;
    }
    let name = name?.to_owned();
    Some(Definition {
        title: title.map_or_else(|| name.clone(), str::to_owned),
        name,
        subject: subject?.name.to_owned(),
        timing,
        exit_on,
        steps: steps?,
        templates,
        enroll,
        scenarios,
        migrate,
        document: serde_json::Value::Null,
        hash: [0; 32],
    })
}

/// Whether a text can be a name or an id: lowercase letters, digits and dashes, and underscores in ids.
pub(super) fn is_name(text: &str, underscores: bool) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= NAME
        && text.starts_with(letter)
        && text.chars().all(|c| letter(c) || c == '-' || (underscores && c == '_'))
}

/// The nearest text that can be a name or an id.
pub(super) fn as_name(text: &str) -> String {
    let lowered = text.trim().to_lowercase();
    let words = lowered.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let name = words.collect::<Vec<_>>().join("-").chars().take(NAME).collect::<String>();
    let name = name.trim_end_matches('-');
    if name.is_empty() { "outbound-intro".into() } else { name.into() }
}

fn name<'n>(entries: &'n [Entry], at: &Span, found: &mut Findings<'_>) -> Option<&'n str> {
    let Some(entry) = tree::find(entries, "name") else {
        if keys::misspelled(entries, "name", |key| KEYS.contains(&key)) {
            return None;
        }
        let problem = Problem::at(at.clone(), "a sequence needs a `name`").around();
        found.add(problem.help("write `name = \"outbound-intro\"` at the top"));
        return None;
    };
    let name = keys::text(entry, "`name = \"outbound-intro\"`", found)?;
    if !is_name(name, false) {
        let message = "a name is made of lowercase letters, digits and dashes, 64 at most";
        let help = format!("write `name = \"{}\"`", as_name(name));
        found.add(Problem::at(entry.node.span.clone(), message).help(help));
    }
    Some(name)
}

fn subject<'r>(
    entries: &[Entry],
    at: &Span,
    registry: &'r Registry,
    found: &mut Findings<'_>,
) -> Option<&'r Subject> {
    let known: Vec<&str> = registry.subject_names().collect();
    let Some(entry) = tree::find(entries, "subject") else {
        if keys::misspelled(entries, "subject", |key| KEYS.contains(&key)) {
            return None;
        }
        let message = "a sequence needs a `subject`: what a run is about";
        let problem = Problem::at(at.clone(), message).around();
        // One of which steps read something; the others are work of our own.
        let read =
            |name: &&str| registry.subject_kind(name).is_some_and(|kind| !kind.fields.is_empty());
        let example = known.iter().copied().find(read).unwrap_or("contact");
        found.add(problem.help(format!("write `subject = \"{example}\"` at the top")));
        return None;
    };
    let name = keys::text(entry, "`subject = \"contact\"`", found)?;
    let subject = registry.subject_kind(name);
    if subject.is_none() {
        let message = format!("a sequence can't be about `{name}`");
        let help = suggest::help(name, known);
        found.add(Problem::unknown(entry.node.span.clone(), message).help(help));
    }
    subject
}

fn exit_on(entries: &[Entry], registry: &Registry, found: &mut Findings<'_>) -> Vec<String> {
    const EXAMPLE: &str = "`on = [\"email.replied\"]`";
    let Some(exit) = tree::find(entries, "exit") else { return Vec::new() };
    let Some(exit) = keys::table(exit, "`[exit]` and below it `on = [\"email.replied\"]`", found)
    else {
        return Vec::new();
    };
    keys::refuse_unknown(exit, &["on"], "`[exit]`", found);
    let Some(on) = tree::find(exit, "on") else { return Vec::new() };
    let mut names = Vec::new();
    for (name, span) in keys::texts(on, EXAMPLE, found) {
        signal(name, span, registry, found);
        names.push(name.to_owned());
    }
    names
}

/// Refuses a signal that nothing sends.
pub(super) fn signal(name: &str, at: &Span, registry: &Registry, found: &mut Findings<'_>) {
    let known: Vec<&str> = registry.signal_names().collect();
    if !known.contains(&name) {
        found.note(|| {
            let message = format!("there is no signal `{name}`");
            Problem::unknown(at.clone(), message).help(suggest::help(name, known))
        });
    }
}

fn templates(
    entries: &[Entry],
    registry: &Registry,
    found: &mut Findings<'_>,
) -> BTreeMap<String, Template> {
    let mut templates = BTreeMap::new();
    let Some(all) = tree::find(entries, "templates") else { return templates };
    let Some(all) = keys::table(all, "`[templates.intro]` with `subject` and `text`", found) else {
        return templates;
    };
    for entry in all {
        templates.insert(entry.key.clone(), template(entry, registry, found));
    }
    templates
}

/// One template. Also one that was refused is known from here on, so that steps may name it.
fn template(entry: &Entry, registry: &Registry, found: &mut Findings<'_>) -> Template {
    let place = format!("template `{}`", entry.key);
    let Some(texts) = keys::table(entry, "`[templates.intro]`", found) else {
        return Template::default();
    };
    keys::refuse_unknown(texts, &["subject", "text", "html"], &place, found);
    let mut read = |key: &str| {
        let text = tree::find(texts, key)?;
        let example = format!("`{key} = \"Hello {{{{ contact.first_name }}}}\"`");
        let read = keys::text(text, &example, found)?;
        template_syntax(read, &text.node, registry, found);
        Some(read.to_owned())
    };
    let template = Template { subject: read("subject"), text: read("text"), html: read("html") };
    if texts.iter().all(|text| text.key == "subject") {
        let problem = Problem::at(entry.key_span.clone(), format!("{place} has no text")).around();
        found.add(problem.help("add `text = \"\"\"…\"\"\"`, or `html`"));
    }
    template
}

/// Checks a text's template syntax where the registry can.
fn template_syntax(text: &str, node: &Node, registry: &Registry, found: &mut Findings<'_>) {
    let Some(check) = registry.template_check() else { return };
    let Err(problem) = check(text) else { return };
    let line = text.lines().nth(problem.line.saturating_sub(1)).unwrap_or_default();
    let message = format!("this text is no template: {}", problem.message);
    let help = format!("look at line {} of it: `{}`", problem.line, line.trim());
    found.add(Problem::at(node.span.clone(), message).help(help));
}

fn enroll(entries: &[Entry], found: &mut Findings<'_>) -> Enroll {
    const EXAMPLE: &str = "`again = \"never\"`, `\"always\"` or `\"after 90 days\"`";
    let Some(enroll) = tree::find(entries, "enroll") else { return Enroll::default() };
    let Some(enroll) = keys::table(enroll, "`[enroll]` and below it `again = \"never\"`", found)
    else {
        return Enroll::default();
    };
    keys::refuse_unknown(enroll, &["again"], "`[enroll]`", found);
    let Some(entry) = tree::find(enroll, "again") else { return Enroll::default() };
    let Some(again) = keys::text(entry, EXAMPLE, found) else { return Enroll::default() };
    read_again(again).unwrap_or_else(|| {
        let message = format!("`{again}` does not say when a contact may be enrolled again");
        let problem = Problem::at(entry.node.span.clone(), message);
        found.add(problem.help(format!("write {EXAMPLE}")));
        Enroll::default()
    })
}

fn read_again(again: &str) -> Option<Enroll> {
    match again {
        "never" => Some(Enroll::Never),
        "always" => Some(Enroll::Always),
        _ => {
            let days = again.strip_prefix("after ")?;
            let days = days.strip_suffix(" days").or_else(|| days.strip_suffix(" day"))?;
            let days: u32 = days.trim().parse().ok()?;
            (1..=3650).contains(&days).then_some(Enroll::AfterDays(days))
        }
    }
}
