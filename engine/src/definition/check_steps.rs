//! Checks the steps: their ids and types, the keys that all share, and what they name elsewhere.
//!
//! A step type's own keys are checked by its schema in `own_keys`; where runs can go, in `graph`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Reading;
use super::check::{self, is_name};
use super::check_timing;
use super::expression::Expression;
use super::given;
use super::graph::{self, Node as Place};
use super::keys;
use super::model::{OnFailure, Retry, StepDefinition, Template};
use super::own_keys::{self, Step as Own};
use super::references::{self, Names};
use super::refusals::{Findings, Problem};
use super::suggest;
use super::tree::{self, Entry, Node, Span};
use super::type_check::{Named, Scope};
use crate::step::{Registry, Step, StepType, Subject};

/// The most steps of a definition.
pub(super) const STEPS: usize = 200;
/// The keys that every step may have; one that a step type's schema declares is its own instead.
pub(super) const SHARED: [&str; 10] = [
    "id",
    "type",
    "when",
    "windowed",
    "retry",
    "timeout",
    "on_failure",
    "next",
    "limits",
    "compensate",
];
/// Ids that mean something else in `on_failure`.
const RESERVED: [&str; 3] = ["hold", "continue", "compensate"];

/// What steps may name beside each other.
pub(super) struct Surroundings<'a> {
    pub(super) reading: Reading<'a>,
    pub(super) subject: Option<&'a Subject>,
    pub(super) retry: Retry,
    pub(super) templates: &'a BTreeMap<String, Template>,
}

/// Reads all steps; `None` where any was wrong.
pub(super) fn steps(
    entries: &[Entry],
    at: &Span,
    surroundings: &Surroundings<'_>,
    found: &mut Findings<'_>,
) -> Option<Vec<StepDefinition>> {
    let nodes = nodes(entries, at, found)?;
    let ids = ids(nodes, found);
    let known = named(nodes, &ids, surroundings.reading.registry);
    let fields = surroundings.subject.map(|subject| (subject.name, subject.fields));
    let scope = Scope { subject: fields, steps: &known };
    let undoing = undoing(nodes);
    let names = Names { scope: &scope, ids: &ids, undoing: &undoing, surroundings };
    let read: Vec<Option<Read>> =
        nodes.iter().enumerate().map(|(index, node)| names.step(index, node, found)).collect();
    given::unknown_names(entries, nodes, &read, &names, found);
    let read: Vec<Read> = read.into_iter().collect::<Option<_>>()?;
    // Where runs go is told only of steps that were all read, else half of it would be wrong.
    let (steps, places): (Vec<_>, Vec<_>) = read.into_iter().map(|r| (r.step, r.place)).unzip();
    graph::check(&places, found);
    given::threads(nodes, &steps, &places, &names, found);
    Some(steps)
}

/// The steps that have an id, with what those of their types give.
fn named<'n>(nodes: &'n [Node], ids: &[Option<&'n str>], registry: &Registry) -> Vec<Named<'n>> {
    let outputs = |node: &Node| {
        let kind = tree::find(node.entries()?, "type")?.node.text()?;
        Some(registry.step_type(kind)?.outputs)
    };
    let steps = nodes.iter().zip(ids);
    steps.filter_map(|(node, id)| Some(Named { id: (*id)?, outputs: outputs(node) })).collect()
}

/// The ids of the steps that undo another: runs come to them only then.
fn undoing(nodes: &[Node]) -> Vec<&str> {
    let named = |node| tree::find(Node::entries(node)?, "compensate")?.node.text();
    nodes.iter().filter_map(named).collect()
}

/// A step that was read, and where runs go from it.
pub(super) struct Read {
    pub(super) step: StepDefinition,
    place: Place,
}

fn nodes<'n>(entries: &'n [Entry], at: &Span, found: &mut Findings<'_>) -> Option<&'n [Node]> {
    const EXAMPLE: &str = "`[[steps]]` and below it `id`, `type` and the type's own keys";
    let Some(entry) = tree::find(entries, "steps") else {
        let problem = Problem::at(at.clone(), "a sequence needs steps").around();
        found.add(problem.help(format!("write {EXAMPLE}")));
        return None;
    };
    let Some(nodes) = entry.node.list() else {
        keys::refuse_kind("steps", &entry.node, "a list of tables", EXAMPLE, found);
        return None;
    };
    if nodes.is_empty() {
        let problem = Problem::at(entry.key_span.clone(), "a sequence needs at least one step");
        found.add(problem.help(format!("write {EXAMPLE}")));
        return None;
    }
    if nodes.len() > STEPS {
        let message = format!("these are {} steps; a sequence has at most {STEPS}", nodes.len());
        let problem = Problem::at(nodes[STEPS].span.clone(), message).label("the first too many");
        found.add(problem.help("go on in a second sequence"));
        return None;
    }
    Some(nodes)
}

/// The id of each step that has one.
fn ids<'n>(nodes: &'n [Node], found: &mut Findings<'_>) -> Vec<Option<&'n str>> {
    let mut ids: Vec<Option<&str>> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let id = id(node, &ids, found);
        ids.push(id);
    }
    ids
}

fn id<'n>(node: &'n Node, before: &[Option<&str>], found: &mut Findings<'_>) -> Option<&'n str> {
    let Some(entries) = node.entries() else {
        keys::refuse_kind("steps", node, "a list of tables", "`[[steps]]` for each step", found);
        return None;
    };
    let Some(entry) = tree::find(entries, "id") else {
        let problem = Problem::at(node.span.clone(), "this step has no `id`").around();
        found.add(problem.help("add `id = \"intro\"`; a live run is found by it, so it stays"));
        return None;
    };
    let id = keys::text(entry, "`id = \"intro\"`", found)?;
    let span = entry.node.span.clone();
    if RESERVED.contains(&id) {
        let message = format!("`{id}` is no id: `on_failure = \"{id}\"` means something else");
        found.add(Problem::at(span, message).help(format!("write `id = \"{id}-on\"`")));
    } else if !is_name(id, true) {
        let message =
            "an id is made of lowercase letters, digits, dashes and underscores, 64 at most";
        let help = format!("write `id = \"{}\"`", check::as_name(id));
        found.add(Problem::at(span, message).help(help));
    } else if let Some(first) = before.iter().position(|other| *other == Some(id)) {
        let message = format!("two steps have the id `{id}`");
        let help = format!("step {} has it already; write `id = \"{id}-2\"`", first + 1);
        found.add(Problem::at(span, message).help(help));
    }
    Some(id)
}

impl Names<'_> {
    fn step(&self, index: usize, node: &Node, found: &mut Findings<'_>) -> Option<Read> {
        let before = found.count();
        let entries = node.entries()?;
        let head = head(node, entries);
        let kind = self.kind(entries, &head, found)?;
        let own = Own::new(kind, self.ids[index].unwrap_or("without id"), entries, &head);
        let shared = self.shared(&own, found);
        let step = own_keys::read(&own, self, found)?;
        let targets = references::check(&step.references(), &own, self, found);
        if found.count() > before {
            return None;
        }
        let place = self.place(index, &own, &*step, &shared, targets);
        if let (true, Some((_, key))) = (place.stops, &shared.next) {
            let message = "the run never goes on to `next` from a step of this type";
            found.add(Problem::at(key.clone(), message).help("remove it"));
        }
        self.check_undoing(&own, &*step, &shared, found);
        if found.count() > before {
            return None;
        }
        given::step(&*step, &own, self, found);
        let next = self.follows(index, &shared).filter(|_| !place.stops);
        Some(Read {
            step: StepDefinition {
                id: self.ids[index]?.to_owned(),
                kind: kind.name,
                effect: kind.effect,
                step,
                when: shared.when,
                windowed: shared.windowed.unwrap_or(kind.windowed),
                retry: shared.retry,
                timeout: shared.timeout.unwrap_or(kind.timeout),
                on_failure: shared.on_failure,
                limits: shared
                    .limits
                    .unwrap_or_else(|| kind.limits.iter().map(|&limit| limit.to_owned()).collect()),
                compensate: shared.compensate,
                next,
            },
            place,
        })
    }

    fn shared(&self, own: &Own<'_>, found: &mut Findings<'_>) -> Shared {
        let entries: Vec<&Entry> =
            own.entries.iter().filter(|entry| own.shares(&entry.key)).collect();
        let find = |key: &str| entries.iter().copied().find(|entry| entry.key == key);
        let base = self.surroundings.retry.clone();
        Shared {
            when: find("when").and_then(|entry| self.when(entry, found)),
            windowed: find("windowed").and_then(|entry| keys::truth(entry, found)),
            retry: match find("retry") {
                Some(entry) => check_timing::retry(entry, base, found),
                None => base,
            },
            timeout: find("timeout").and_then(|entry| timeout(entry, found)),
            next: find("next").and_then(|entry| {
                let target = self.target(entry, found)?;
                Some((target, entry.key_span.clone()))
            }),
            on_failure: find("on_failure")
                .and_then(|entry| self.on_failure(entry, found))
                .unwrap_or_default(),
            limits: find("limits").map(|entry| self.limits(entry, found)),
            compensate: find("compensate").and_then(|entry| {
                let name =
                    keys::text(entry, "`compensate = \"release\"`, the id of a step", found)?;
                self.index_of(name, &entry.node.span, found)
            }),
        }
    }

    /// Refuses what a step that undoes another can't have.
    fn check_undoing(
        &self,
        own: &Own<'_>,
        step: &dyn Step,
        shared: &Shared,
        found: &mut Findings<'_>,
    ) {
        if !self.undoes(own.id) {
            return;
        }
        let mut refuse = |what: &str, help: &str| {
            let message = format!("`{}` undoes another step, so {what}", own.id);
            found.add(Problem::at(own.head.clone(), message).around().help(help));
        };
        if step.diverts() {
            refuse("it can't decide where the run goes", "use a step that acts and is done");
        }
        if shared.next.is_some() {
            refuse(
                "nothing follows it by `next`",
                "remove `next`; the step done before is undone next",
            );
        }
        if shared.compensate.is_some() {
            refuse("it can't be undone itself", "remove its `compensate`");
        }
        match shared.on_failure {
            OnFailure::Hold | OnFailure::Continue => {}
            OnFailure::Compensate | OnFailure::Goto(_) => refuse(
                "its failure leads nowhere else",
                "write `on_failure = \"hold\"` or `\"continue\"`",
            ),
        }
    }

    fn undoes(&self, id: &str) -> bool {
        self.undoing.contains(&id)
    }

    fn limits(&self, entry: &Entry, found: &mut Findings<'_>) -> Vec<String> {
        let known: Vec<&str> = self.surroundings.reading.registry.limit_kinds().collect();
        let mut kinds = Vec::new();
        for (kind, span) in keys::texts(entry, "`limits = [\"mailbox\"]`", found) {
            if known.contains(&kind) {
                kinds.push(kind.to_owned());
            } else {
                found.note(|| {
                    let message = format!("there is no limit `{kind}`");
                    let help = suggest::help(kind, known.iter().copied());
                    Problem::unknown(span.clone(), message).help(help)
                });
            }
        }
        kinds
    }

    /// The step that follows when this one is done: its `next`, else the next below that undoes none.
    fn follows(&self, index: usize, shared: &Shared) -> Option<usize> {
        let named = shared.next.as_ref().map(|(target, _)| *target);
        let undoes = |below: &usize| self.ids[*below].is_some_and(|id| self.undoes(id));
        named.or_else(|| (index + 1..self.ids.len()).find(|below| !undoes(below)))
    }

    fn place(
        &self,
        index: usize,
        own: &Own<'_>,
        step: &dyn Step,
        shared: &Shared,
        mut targets: Vec<usize>,
    ) -> Place {
        // A skipped step and one whose failure is passed over go on, even where the type never does.
        let undoes = self.undoes(own.id);
        let goes_on = !undoes
            && (!step.diverts()
                || shared.when.is_some()
                || shared.on_failure == OnFailure::Continue);
        if goes_on {
            targets.extend(self.follows(index, shared));
        }
        targets.extend(shared.compensate);
        if let OnFailure::Goto(target) = shared.on_failure {
            targets.push(target);
        }
        Place {
            id: own.id.to_owned(),
            head: own.head.clone(),
            targets,
            waits: step.waits() && shared.when.is_none(),
            stops: !goes_on,
        }
    }

    fn kind(&self, entries: &[Entry], head: &Span, found: &mut Findings<'_>) -> Option<&StepType> {
        let known: Vec<&str> = self.surroundings.reading.registry.step_names().collect();
        let Some(entry) = tree::find(entries, "type") else {
            let problem = Problem::at(head.clone(), "this step has no `type`").around();
            found.add(problem.help(format!("add `type`: {}", suggest::one_of(&known))));
            return None;
        };
        let name = keys::text(entry, "`type = \"wait\"`", found)?;
        let kind = self.surroundings.reading.registry.step_type(name);
        if kind.is_none() {
            let message = format!("there is no step type `{name}`");
            let help = suggest::help(name, known);
            found.add(Problem::unknown(entry.node.span.clone(), message).help(help));
        }
        kind
    }

    fn when(&self, entry: &Entry, found: &mut Findings<'_>) -> Option<Expression> {
        keys::text(entry, "`when = \"steps.intro.clicked\"`", found)?;
        self.condition(&entry.node, found)
    }

    fn target(&self, entry: &Entry, found: &mut Findings<'_>) -> Option<usize> {
        let name = keys::text(entry, "`next = \"answer\"`, the id of a step", found)?;
        self.way_to(name, &entry.node.span, found)
    }

    fn on_failure(&self, entry: &Entry, found: &mut Findings<'_>) -> Option<OnFailure> {
        const EXAMPLE: &str =
            "`on_failure = \"hold\"`, `\"continue\"`, `\"compensate\"` or the id of a step";
        match keys::text(entry, EXAMPLE, found)? {
            "hold" => Some(OnFailure::Hold),
            "continue" => Some(OnFailure::Continue),
            "compensate" => Some(OnFailure::Compensate),
            name => self.way_to(name, &entry.node.span, found).map(OnFailure::Goto),
        }
    }
}

/// What the keys that all steps share say.
struct Shared {
    when: Option<Expression>,
    windowed: Option<bool>,
    retry: Retry,
    timeout: Option<Duration>,
    /// The index of the step named, and where the key stands.
    next: Option<(usize, Span)>,
    on_failure: OnFailure,
    limits: Option<Vec<String>>,
    compensate: Option<usize>,
}

/// Where a step is pointed at: its id, else its beginning.
pub(super) fn head(node: &Node, entries: &[Entry]) -> Span {
    tree::find(entries, "id").map_or_else(|| node.span.clone(), |id| id.node.span.clone())
}

fn timeout(entry: &Entry, found: &mut Findings<'_>) -> Option<Duration> {
    keys::duration(entry, "how long one attempt may take, as in `timeout = \"30s\"`", found)
}
