//! What a run would lack: texts that it would surely come to and that its subject has no value for, found before it is
//! started.
//!
//! Every way that the run may take is followed, as far as the subject decides it by its fields of now. What earlier
//! steps give or change, and what changes by itself while time passes, is unknown, never missing. Steps are taken to
//! succeed, and no signal to end the run. Pure: no clock, no I/O.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::context::draw_for;
use crate::definition::{Definition, Expression, OnFailure, StepDefinition};
use crate::step::{Effect, Reference, Verdict};

/// How many texts are tried out for the subjects of one look. A text whose own conditions decide is filled in to find out,
/// which takes its time; beyond the bound it counts as whole, and a run that lacks something is held when it comes to it.
const TRIALS: u32 = 5_000;

/// Something that a subject lacks for a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// The step.
    pub step: String,
    /// What is filled in, such as "the text of template `intro`".
    pub text: String,
    /// What is missing, such as `contact.first_name`.
    pub name: String,
}

/// What a step can know of a run before it is started.
pub struct Sight<'a> {
    /// What the run would follow.
    pub definition: &'a Definition,
    /// The step's index.
    pub step: usize,
    /// What it would be about.
    pub subject_id: Uuid,
    /// The subject under its kind's name, as texts and conditions read it.
    pub variables: &'a Value,
    /// The dotted paths whose values at that step are unknown.
    unknown: &'a BTreeSet<String>,
    /// Whether the run may come to the step more than once.
    repeats: bool,
    /// How many texts may still be tried out.
    trials: &'a AtomicU32,
}

impl Sight<'_> {
    /// Whether a path's value at the step is unknown: it is one that changes, a part of one, or holds one.
    pub fn is_unknown(&self, path: &str) -> bool {
        let within = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        within(path, "steps")
            || self.unknown.iter().any(|known| within(path, known) || within(known, path))
    }

    /// Whether one more text may be tried out.
    pub fn may_try(&self) -> bool {
        let less = |left: u32| left.checked_sub(1);
        self.trials.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    /// Whether a condition holds, if what is known decides it.
    pub fn decide(&self, condition: &Expression) -> Option<bool> {
        if condition.reads().any(|path| self.is_unknown(&path)) {
            return None;
        }
        // What can't be decided is held when it comes to that, with a reason of its own.
        condition.evaluate(self.variables).ok()
    }

    /// What [`crate::context::Context::draw`] will give there, if the run comes to the step once at most.
    pub fn draw(&self, purpose: &str) -> Option<u64> {
        let Self { definition, step, subject_id, repeats, .. } = self;
        let drawn =
            || draw_for(&definition.name, *subject_id, &definition.steps[*step].id, 0, purpose);
        (!repeats).then(drawn)
    }
}

/// What is the same for all subjects of a definition.
pub struct Foresight<'a> {
    definition: &'a Definition,
    /// By step, what is unknown there whatever the subject.
    unknown: Vec<BTreeSet<String>>,
    /// By step, whether a run may come to it more than once.
    repeats: Vec<bool>,
    trials: AtomicU32,
}

impl<'a> Foresight<'a> {
    /// Looks at a definition; `volatile` are the fields of its subject that change by themselves while time passes.
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
            let reached = reached(definition, from);
            repeats[from] = reached[from];
            for (index, _) in reached.iter().enumerate().filter(|(_, reached)| **reached) {
                unknown[index].extend(changed.iter().map(|field| format!("{subject}.{field}")));
            }
        }
        Self { definition, unknown, repeats, trials: AtomicU32::new(TRIALS) }
    }

    /// What a subject lacks for texts that its run would surely come to.
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

    /// Whether a text of the step that can't be filled in stops the run; else its author has said what follows.
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
            trials: &self.trials,
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

/// What may become of a run at a step.
struct Ways {
    /// Whether the step acts; `None` where nobody knows.
    acts: Option<bool>,
    /// Where the run may go from there; `None` is its end.
    targets: Vec<Option<usize>>,
}

/// Whether every way of a run to its end leads through a step, and the step acts.
fn is_certain(step: usize, ways: &[Ways]) -> bool {
    if ways[step].acts != Some(true) {
        return false;
    }
    let mut reached = vec![false; ways.len()];
    // Whoever can't pass it has to come to it.
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

/// The steps that a run may come to after a step, by any way.
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
