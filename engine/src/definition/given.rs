//! Checks that only a document which a person gives must pass: names in texts and of a customer's own fields, and what a
//! step needs of the rest of the document. Versions that were stored before are not checked.

use super::check_steps::{Read, head};
use super::expression;
use super::graph::{self, Node as Place};
use super::model::StepDefinition;
use super::own_keys::Step as Own;
use super::own_names::OwnNames;
use super::parse_error;
use super::path::{Part, Path};
use super::references::{self, Names};
use super::refusals::{Findings, Problem};
use super::suggest;
use super::texts::{Text, Texts};
use super::tree::{self, Entry, Node, Span};
use super::{Provenance, Reading};
use crate::step::{Reference, Step, Subject};

/// Notes what a step needs of the document's templates and does not find.
pub(super) fn step(step: &dyn Step, own: &Own<'_>, names: &Names<'_>, found: &mut Findings<'_>) {
    let Provenance::Given(_) = names.surroundings.reading.provenance else { return };
    if let Err(message) = step.check(names.surroundings.templates) {
        found.add(parse_error::explain(&message, own));
    }
}

/// Notes unknown names: in the texts of all steps that were read and of all templates, and of the customer's own fields.
pub(super) fn unknown_names(
    entries: &[Entry],
    nodes: &[Node],
    steps: &[Option<Read>],
    names: &Names<'_>,
    found: &mut Findings<'_>,
) {
    let Provenance::Given(own) = names.surroundings.reading.provenance else { return };
    let known = || steps.iter().flatten().map(|read| &read.step);
    let set: Vec<String> = known().flat_map(|step| step.step.changes()).collect();
    // A step that could not be read may set any field.
    let own = own.filter(|_| steps.iter().all(Option::is_some)).zip(names.scope.subject);
    let own = own.map(|(fields, (subject, _))| OwnNames { subject, fields, set: &set });
    if let Some(own) = &own {
        for (node, read) in nodes.iter().zip(steps) {
            if let (Some(entries), Some(read)) = (node.entries(), read) {
                own_names(entries, &head(node, entries), &read.step, own, names, found);
            }
        }
    }
    let Some(read) = names.surroundings.reading.registry.text_reader() else { return };
    let texts = Texts { scope: names.scope, read, own: own.as_ref() };
    for (node, read) in nodes.iter().zip(steps) {
        let (Some(entries), Some(read)) = (node.entries(), read) else { continue };
        for text in read.step.step.texts() {
            let head = head(node, entries);
            let more = read.step.step.variables();
            let checked = Text { source: text.source, more, head: &head };
            texts.check(&checked, || references::text(entries, text.key, text.source), found);
        }
    }
    for (name, part) in templates(entries) {
        let more: Vec<&'static str> = known()
            .filter(|step| uses(step, name))
            .flat_map(|step| step.step.variables().iter().copied())
            .collect();
        let Some(source) = part.node.text() else { continue };
        let checked = Text { source, more: &more, head: &part.key_span };
        // A syntax error is noted already.
        let check = names.surroundings.reading.registry.template_check();
        if check.is_none_or(|check| check(source).is_ok()) {
            let blank = texts.check(&checked, || Some(&part.node), found);
            // A text of blanks alone is noted already.
            if blank && !source.trim().is_empty() {
                let message = format!("`{}` is always empty", part.key);
                let help = format!("write a text that people read, or remove `{}`", part.key);
                found.add(Problem::at(part.node.span.clone(), message).help(help));
            }
        }
    }
}

/// Notes own fields that the conditions and the dates of a step name and that there are not.
fn own_names(
    entries: &[Entry],
    head: &Span,
    step: &StepDefinition,
    own: &OwnNames<'_>,
    names: &Names<'_>,
    found: &mut Findings<'_>,
) {
    let references = step.step.references();
    let conditions = references.iter().filter_map(|reference| {
        let Reference::Condition { key, source } = reference else { return None };
        Some((*key, source.as_str()))
    });
    let when = step.when.as_ref().map(|when| ("when", when.source()));
    for (key, source) in when.into_iter().chain(conditions) {
        // Beyond the bound they would only be counted, which is not worth the work.
        if found.is_full() {
            return;
        }
        let node = references::text(entries, key, source);
        let unknown = |path: &Path| own.unknown(path).is_some();
        for (path, span) in expression::paths(source, names.scope, &unknown) {
            let at = node.map_or_else(|| head.clone(), |node| found.within(node, source, &span));
            note_own(&path, at, own, found);
        }
    }
    for reference in &references {
        let Reference::DateField { key, path: date } = reference else { continue };
        let mut parts = date.split('.');
        let root = parts.next().unwrap_or_default().to_owned();
        let path = Path { root, parts: parts.map(|part| Part::Key(part.to_owned())).collect() };
        let node = tree::find(entries, key).map(|entry| &entry.node);
        let start = node.and_then(|node| node.text()?.find(date.as_str()));
        let at = match (node, start) {
            (Some(node), Some(start)) => {
                found.within(node, node.text().unwrap_or_default(), &(start..start + date.len()))
            }
            (Some(node), None) => node.span.clone(),
            (None, _) => head.clone(),
        };
        note_own(&path, at, own, found);
    }
}

fn note_own(path: &Path, at: Span, own: &OwnNames<'_>, found: &mut Findings<'_>) {
    if let Some(key) = own.unknown(path) {
        found.note(|| {
            let (message, help) = own.explain(&key);
            Problem::at(at, message).help(help)
        });
    }
}

/// The texts of all templates, each with the template's name.
fn templates(entries: &[Entry]) -> impl Iterator<Item = (&str, &Entry)> {
    let all = tree::find(entries, "templates").and_then(|all| all.node.entries());
    all.into_iter().flatten().flat_map(|template| {
        let parts = template.node.entries().unwrap_or_default();
        parts.iter().map(|part| (template.key.as_str(), part))
    })
}

fn uses(step: &StepDefinition, template: &str) -> bool {
    step.step.references().iter().any(|reference| match reference {
        Reference::Template { name, .. } => name == template,
        Reference::Target { .. }
        | Reference::Step { .. }
        | Reference::Condition { .. }
        | Reference::Signal { .. }
        | Reference::DateField { .. } => false,
    })
}

/// Notes steps that refer back to one that can't have been done before them.
pub(super) fn threads(
    nodes: &[Node],
    steps: &[StepDefinition],
    places: &[Place],
    names: &Names<'_>,
    found: &mut Findings<'_>,
) {
    let Provenance::Given(_) = names.surroundings.reading.provenance else { return };
    for (index, step) in steps.iter().enumerate() {
        let Some((key, earlier)) = referred(step) else { continue };
        let Some(named) = steps.iter().position(|step| step.id == earlier) else { continue };
        let entry = nodes[index].entries().and_then(|entries| tree::find(entries, key));
        let at = entry.map_or_else(|| places[index].head.clone(), |entry| entry.node.span.clone());
        if let Some(message) = not_before(index, named, steps, places) {
            let same = steps.iter().enumerate().filter(|(other, one)| {
                one.kind == step.kind && graph::leads(places, *other, index) && *other != index
            });
            let before: Vec<&str> = same.map(|(_, step)| step.id.as_str()).collect();
            let help = if before.is_empty() {
                format!("remove `{key}`; no step of type `{}` comes before this one", step.kind)
            } else {
                format!("name one that comes before it: {}", suggest::one_of(&before))
            };
            found.add(Problem::at(at, message).help(help));
        } else if let Some(template) = without_subject(step, names)
            && is_first(index, steps, places)
        {
            let message = format!(
                "the first time, step `{}` has nothing to refer back to, and its template `{template}` has no \
                 subject of its own",
                step.id
            );
            let help = format!("write `subject = \"…\"` below `[templates.{template}]`");
            found.add(Problem::at(at, message).help(help));
        }
    }
}

/// The step that a step refers back to, with the key that says so.
fn referred(step: &StepDefinition) -> Option<(&'static str, String)> {
    step.step.references().into_iter().find_map(|reference| match reference {
        Reference::Step { key, step } => Some((key, step)),
        Reference::Target { .. }
        | Reference::Condition { .. }
        | Reference::Template { .. }
        | Reference::Signal { .. }
        | Reference::DateField { .. } => None,
    })
}

/// A step's template, if that has no subject.
fn without_subject(step: &StepDefinition, names: &Names<'_>) -> Option<String> {
    step.step.references().into_iter().find_map(|reference| match reference {
        Reference::Template { name, .. } => {
            let template = names.surroundings.templates.get(&name)?;
            template.subject.is_none().then_some(name)
        }
        Reference::Step { .. }
        | Reference::Target { .. }
        | Reference::Condition { .. }
        | Reference::Signal { .. }
        | Reference::DateField { .. } => None,
    })
}

/// Whether a run that comes to a step for the first time has done none of the steps that it refers back to, one over the
/// other, as at the start of a loop.
fn is_first(index: usize, steps: &[StepDefinition], places: &[Place]) -> bool {
    let before = graph::before(places, index);
    let mut at = index;
    // No chain is longer than the document.
    for _step in steps {
        let named = referred(&steps[at]);
        let named = named.and_then(|(_, earlier)| steps.iter().position(|s| s.id == earlier));
        match named {
            None => return true,
            Some(named) if before[named] => return false,
            Some(named) => at = named,
        }
    }
    true
}

/// Why a step can't refer back to another.
fn not_before(
    index: usize,
    earlier: usize,
    steps: &[StepDefinition],
    places: &[Place],
) -> Option<String> {
    let (step, named) = (&steps[index], &steps[earlier]);
    if step.kind != named.kind {
        return Some(format!(
            "step `{}` is of type `{}`, not `{}`",
            named.id, named.kind, step.kind
        ));
    }
    // In a loop, a step comes before itself and before those above it.
    if graph::leads(places, earlier, index) {
        return None;
    }
    Some(if index == earlier {
        format!("step `{}` can't refer back to itself", step.id)
    } else {
        format!("step `{}` never comes before `{}`", named.id, step.id)
    })
}

/// Notes names in scenarios that there are not: fields of the subject, and what steps give.
pub(super) fn scenarios(
    entries: &[Entry],
    reading: Reading<'_>,
    subject: &Subject,
    steps: &[StepDefinition],
    found: &mut Findings<'_>,
) {
    let Provenance::Given(_) = reading.provenance else { return };
    for scenario in tables(entries, "scenario") {
        let own = tree::find(scenario, subject.name).and_then(|entry| entry.node.entries());
        for entry in own.unwrap_or_default() {
            let fields = subject.fields.iter().map(|(name, _)| *name);
            let message = |key: &str| format!("a {} has no field `{key}`", subject.name);
            note_unknown(entry, fields, message, found);
        }
        for event in tables(scenario, "when") {
            let id = tree::find(event, "step").and_then(|entry| entry.node.text());
            let sets = tree::find(event, "sets").and_then(|entry| entry.node.entries());
            let step = steps.iter().find(|step| Some(step.id.as_str()) == id);
            let (Some(step), Some(sets)) = (step, sets) else { continue };
            let kind = reading.registry.step_type(step.kind);
            let outputs = kind.map(|kind| kind.outputs).unwrap_or_default();
            for entry in sets {
                let names = outputs.iter().map(|output| output.name);
                let message = |key: &str| format!("step `{}` gives no `{key}`", step.id);
                note_unknown(entry, names, message, found);
            }
        }
    }
}

/// The tables of a list.
fn tables<'n>(entries: &'n [Entry], key: &str) -> impl Iterator<Item = &'n [Entry]> {
    let list = tree::find(entries, key).and_then(|entry| entry.node.list());
    list.unwrap_or_default().iter().filter_map(Node::entries)
}

fn note_unknown(
    entry: &Entry,
    mut known: impl Iterator<Item = &'static str> + Clone,
    message: impl Fn(&str) -> String,
    found: &mut Findings<'_>,
) {
    let names = known.clone();
    if !known.any(|name| name == entry.key) {
        found.note(|| {
            let help = suggest::help(&entry.key, names);
            Problem::unknown(entry.key_span.clone(), message(&entry.key)).help(help)
        });
    }
}
