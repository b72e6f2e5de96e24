//! What a run would lack: texts that it is certain to reach and that its subject has no value for, found before the run
//! starts.
//!
//! Every way that the run may take is followed, as far as the subject's fields decide it now. What earlier steps give or
//! change, what people may change while such a step waits for them, what a run started by the step may change, and what
//! changes by itself while time passes is unknown, never missing. Steps are assumed to succeed, and no signal to end the
//! run. Pure: no clock, no I/O.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::context::draw_for;
use crate::definition::{Definition, Expression, OnFailure, StepDefinition};
use crate::step::{Effect, Reference, Verdict};

/// How many texts are tried out for all subjects together. A text whose own conditions decide is filled in to find out,
/// which takes time; beyond the bound it is taken to lack nothing, and a run that lacks something is held at its step.
const TRIALS: u32 = 5_000;

/// How many variables of texts are looked up for the subjects of one look. Beyond it the same holds.
const LOOKS: u32 = 2_000_000;

/// Something that a subject lacks for a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// The step.
    pub step: String,
    /// The text, such as "the text of template `intro`".
    pub text: String,
    /// What is missing, such as `contact.first_name`.
    pub name: String,
}

/// What a step can know of a run before it is started.
pub struct Sight<'a> {
    /// The definition that the run would follow.
    pub definition: &'a Definition,
    /// The step's index.
    pub step: usize,
    /// The subject of the run.
    pub subject_id: Uuid,
    /// The subject under its kind's name, as texts and conditions read it.
    pub variables: &'a Value,
    /// The dotted paths whose values at that step are unknown.
    unknown: &'a BTreeSet<String>,
    /// Whether the run may reach the step more than once.
    repeats: bool,
    budget: &'a Budget,
}

/// What one look may still cost.
struct Budget {
    /// Texts that are tried out.
    trials: AtomicU32,
    /// Variables that are looked up.
    looks: AtomicU32,
}

impl Budget {
    fn take(left: &AtomicU32, wanted: u32) -> bool {
        let less = |left: u32| left.checked_sub(wanted);
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

impl Sight<'_> {
    /// Whether a path's value at the step is unknown: it may change, as a whole or in part.
    pub fn is_unknown(&self, path: &str) -> bool {
        let within = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        within(path, "steps")
            || self.unknown.iter().any(|known| within(path, known) || within(known, path))
    }

    /// Whether one more text may be tried out.
    pub fn may_try(&self) -> bool {
        Budget::take(&self.budget.trials, 1)
    }

    /// Whether a text that names so many variables may be looked at.
    pub fn may_look(&self, variables: usize) -> bool {
        Budget::take(&self.budget.looks, u32::try_from(variables).unwrap_or(u32::MAX))
    }

    /// Whether a condition holds, if what is known decides it.
    pub fn decide(&self, condition: &Expression) -> Option<bool> {
        if condition.reads().any(|path| self.is_unknown(&path)) {
            return None;
        }
        // A condition that can't be decided holds the run at its step, with a reason of its own.
        condition.evaluate(self.variables).ok()
    }

    /// What [`crate::context::Context::draw`] will return there, if the run reaches the step once at most.
    pub fn draw(&self, purpose: &str) -> Option<u64> {
        let Self { definition, step, subject_id, repeats, .. } = self;
        let drawn =
            || draw_for(&definition.name, *subject_id, &definition.steps[*step].id, 0, purpose);
        (!repeats).then(drawn)
    }
}

/// Looks ahead for any number of subjects of one definition.
pub struct Foresight<'a> {
    definition: &'a Definition,
    /// By step, what is unknown there for any subject.
    unknown: Vec<BTreeSet<String>>,
    /// By step, whether a run may reach it more than once.
    repeats: Vec<bool>,
    budget: Budget,
}

impl<'a> Foresight<'a> {
    /// Prepares for a definition; `volatile` are the fields of its subject that change by themselves while time passes.
    pub fn new(definition: &'a Definition, volatile: &[&str]) -> Self {
        let steps = &definition.steps;
        let subject = &definition.subject;
        let mut unknown = vec![BTreeSet::new(); steps.len()];
        let mut repeats = vec![false; steps.len()];
        for (from, step) in steps.iter().enumerate() {
            let mut changed = step.step.changes();
            if lets_time_pass(step) {
                changed.extend(volatile.iter().map(|field| (*field).to_owned()));
            }
            let mut changed: Vec<String> =
                changed.iter().map(|field| format!("{subject}.{field}")).collect();
            if step.step.starts_runs() {
                // Steps of another definition, about the same subject.
                changed.push(subject.clone());
            }
            let reached = reached(definition, from);
            repeats[from] = reached[from];
            for (index, _) in reached.iter().enumerate().filter(|(_, reached)| **reached) {
                unknown[index].extend(changed.iter().cloned());
            }
        }
        let budget = Budget { trials: AtomicU32::new(TRIALS), looks: AtomicU32::new(LOOKS) };
        Self { definition, unknown, repeats, budget }
    }

    /// What a subject lacks for texts that its run is certain to reach.
    pub fn lacks(&self, subject_id: Uuid, subject: &Value) -> Vec<Lack> {
        let variables = json!({ &self.definition.subject: subject });
        let sight = |step| self.sight(step, subject_id, &variables);
        let lacking: Vec<(usize, Vec<Lack>)> = (0..self.definition.steps.len())
            .filter(|&step| self.holds(step))
            .map(|step| (step, self.definition.steps[step].step.lacks(&sight(step))))
            .filter(|(_, lacks)| !lacks.is_empty())
            .collect();
        if lacking.is_empty() {
            return Vec::new();
        }
        let ways: Vec<Ways> =
            (0..self.definition.steps.len()).map(|step| self.ways(&sight(step))).collect();
        let certain = lacking.into_iter().filter(|(step, _)| is_certain(*step, &ways));
        certain.flat_map(|(_, lacks)| lacks).collect()
    }

    /// Whether a text of the step that can't be filled in stops the run; if not, its author has decided what follows.
    fn holds(&self, step: usize) -> bool {
        match self.definition.steps[step].on_failure {
            OnFailure::Hold | OnFailure::Compensate => true,
            OnFailure::Continue | OnFailure::Goto(_) => false,
        }
    }

    fn sight<'s>(&'s self, step: usize, subject_id: Uuid, variables: &'s Value) -> Sight<'s> {
        Sight {
            definition: self.definition,
            step,
            subject_id,
            variables,
            unknown: &self.unknown[step],
            repeats: self.repeats[step],
            budget: &self.budget,
        }
    }

    fn ways(&self, sight: &Sight<'_>) -> Ways {
        let step = &self.definition.steps[sight.step];
        let acts = match &step.when {
            None => Some(true),
            Some(when) => sight.decide(when),
        };
        let mut targets = match acts {
            Some(false) => Vec::new(),
            Some(true) | None => self.onward(step, sight),
        };
        if acts != Some(true) {
            targets.push(step.next);
        }
        Ways { acts, targets }
    }

    /// Where a run may go once a step is done; `None` is its end.
    fn onward(&self, step: &StepDefinition, sight: &Sight<'_>) -> Vec<Option<usize>> {
        match step.step.way(sight) {
            Some(Verdict::Goto { step }) => vec![self.definition.index_of(&step)],
            Some(Verdict::Done) => vec![step.next],
            Some(Verdict::Exit { .. }) => vec![None],
            Some(Verdict::Sleep { .. } | Verdict::Wait { .. } | Verdict::Start { .. }) | None => {
                let mut targets: Vec<Option<usize>> =
                    targets(self.definition, step).map(Some).collect();
                if !step.step.diverts() {
                    targets.push(step.next);
                } else if targets.is_empty() {
                    targets.push(None);
                }
                targets
            }
        }
    }
}

/// What a run may do at a step.
struct Ways {
    /// Whether the step acts; `None` if that is unknown.
    acts: Option<bool>,
    /// Where the run may go from there; `None` is its end.
    targets: Vec<Option<usize>>,
}

/// Whether every way to the end of a run leads through a step, and the step acts.
fn is_certain(step: usize, ways: &[Ways]) -> bool {
    if ways[step].acts != Some(true) {
        return false;
    }
    let mut reached = vec![false; ways.len()];
    // A run that can't get past the step is certain to reach it.
    reached[step] = true;
    let mut open = if step == 0 { Vec::new() } else { vec![0] };
    let mut comes = step == 0;
    while let Some(index) = open.pop() {
        if std::mem::replace(&mut reached[index], true) {
            continue;
        }
        for target in &ways[index].targets {
            match target {
                None => return false,
                Some(target) => {
                    comes |= *target == step;
                    open.push(*target);
                }
            }
        }
    }
    comes
}

fn lets_time_pass(step: &StepDefinition) -> bool {
    step.step.waits()
        || step.windowed
        || step.effect == Effect::AtMostOnce
        || !step.limits.is_empty()
}

/// The steps that a step itself may send a run to.
fn targets<'a>(
    definition: &'a Definition,
    step: &StepDefinition,
) -> impl Iterator<Item = usize> + use<'a> {
    let references = step.step.references();
    references.into_iter().filter_map(|reference| match reference {
        Reference::Target { step, .. } => definition.index_of(&step),
        Reference::Step { .. }
        | Reference::Condition { .. }
        | Reference::Template { .. }
        | Reference::Signal { .. }
        | Reference::DateField { .. } => None,
    })
}

/// The steps that a run may reach after a step, by any way.
fn reached(definition: &Definition, from: usize) -> Vec<bool> {
    let steps = &definition.steps;
    let mut reached = vec![false; steps.len()];
    let mut open = vec![from];
    while let Some(index) = open.pop() {
        let step = &steps[index];
        let failed = match step.on_failure {
            OnFailure::Goto(target) => Some(target),
            OnFailure::Hold | OnFailure::Continue | OnFailure::Compensate => None,
        };
        for target in targets(definition, step).chain(step.next).chain(failed) {
            if !std::mem::replace(&mut reached[target], true) {
                open.push(target);
            }
        }
    }
    reached
}
