//! What only documents that a person gives are refused for: names in texts, and what a step's own keys promise of the
//! rest of the document. Versions that were stored before are not looked at.

use super::Provenance;
use super::check_steps::{Read, head};
use super::graph::{self, Node as Place};
use super::model::StepDefinition;
use super::own_keys::Step as Own;
use super::parse_error;
use super::references::{self, Names};
use super::refusals::{Findings, Problem};
use super::suggest;
use super::texts::{Text, Texts};
use super::tree::{self, Entry, Node};
use crate::step::{Reference, Step};

/// Notes what a step promises of the document's templates and does not keep.
pub(super) fn step(step: &dyn Step, own: &Own<'_>, names: &Names<'_>, found: &mut Findings<'_>) {
    let Provenance::Given(_) = names.surroundings.reading.provenance else { return };
    if let Err(message) = step.check(names.surroundings.templates) {
        found.add(parse_error::explain(&message, own));
    }
}

/// Notes what is wrong in the texts of all steps that were read, and of all templates.
pub(super) fn texts(
    entries: &[Entry],
    nodes: &[Node],
    steps: &[Option<Read>],
    names: &Names<'_>,
    found: &mut Findings<'_>,
) {
    let Some(read) = names.surroundings.reading.registry.text_reader() else { return };
    let Provenance::Given(own) = names.surroundings.reading.provenance else { return };
    let known = || steps.iter().flatten().map(|read| &read.step);
    let set: Vec<String> = known().flat_map(|step| step.step.changes()).collect();
    // A step that could not be read may set any field.
    let own = own.filter(|_| steps.iter().all(Option::is_some));
    let texts = Texts { scope: names.scope, read, own, set: &set };
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
        // Its syntax is told already.
        let check = names.surroundings.reading.registry.template_check();
        if check.is_none_or(|check| check(source).is_ok()) {
            texts.check(&checked, || Some(&part.node), found);
        }
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
        for reference in step.step.references() {
            let Reference::Step { key, step: earlier } = reference else { continue };
            let Some(named) = steps.iter().position(|step| step.id == earlier) else { continue };
            let Some(message) = not_before(index, named, steps, places) else { continue };
            let entry = nodes[index].entries().and_then(|entries| tree::find(entries, key));
            let at =
                entry.map_or_else(|| places[index].head.clone(), |entry| entry.node.span.clone());
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
        }
    }
}

/// Why a step can't refer back to another.
fn not_before(
    index: usize,
    earlier: usize,
    steps: &[StepDefinition],
    places: &[Place],
) -> Option<String> {
    let (step, named) = (&steps[index], &steps[earlier]);
    if index == earlier {
        return Some(format!("step `{}` can't refer back to itself", step.id));
    }
    if step.kind != named.kind {
        return Some(format!(
            "step `{}` is of type `{}`, not `{}`",
            named.id, named.kind, step.kind
        ));
    }
    let never = !graph::leads(places, earlier, index);
    never.then(|| format!("step `{}` never comes before `{}`", named.id, step.id))
}
