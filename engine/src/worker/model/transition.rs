//! What can happen next, as far as the model knows, and how often it is tried.

use proptest::prelude::*;
use proptest::strategy::Union;

use super::reference::{Model, Phase, Place, State};
use super::world::WORKFLOWS;

/// What happens to the engine from outside, or one turn of one of its tasks. Numbers count runs, processes
/// and what a process holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Transition {
    /// Runs are started; `later` not before an hour from now.
    Start { workflow: usize, count: usize, later: bool },
    /// A process claims so many ready jobs.
    Claim { process: usize, limit: usize },
    /// A process grants turns under the limit.
    Grant { process: usize },
    /// A process works at a job until its step ends or wants to act.
    Execute { process: usize, held: usize },
    /// A process writes the intents of all its steps that want to act.
    Intend { process: usize },
    /// A step hears whether it may act, acts, and ends.
    Act { process: usize, held: usize },
    /// A process records all that has ended.
    Record { process: usize },
    /// A process is believed dead, but goes on.
    Expire { process: usize },
    /// A process dies with what it holds; another takes its place.
    Die { process: usize },
    /// A process takes back what dead ones held.
    Sweep,
    /// Time passes.
    Advance { minutes: i64 },
    /// Due timers become jobs.
    Promote,
    /// A signal about a run's subject.
    Signal { run: usize, name: &'static str, key: u8 },
    /// A person wants something of a run.
    Ask { run: usize, wish: Wish },
    /// The job or the timer of a run is lost, as by a hand in the database.
    Lose { run: usize },
    /// A process looks for runs that stand nowhere.
    LookThrough,
}

/// What a person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Pause,
    Resume,
    Cancel,
    Retry,
    Skip,
    Jump(usize),
}

/// How many runs a case starts at the most.
const MOST_RUNS: usize = 5;

/// Draws one of the transitions that can happen in a state.
pub(super) fn draw(model: &Model) -> BoxedStrategy<Transition> {
    let possible = possible(model).into_iter().map(|(weight, next)| (weight, Just(next)));
    Union::new_weighted(possible.collect::<Vec<_>>()).boxed()
}

/// Whether a transition can happen in a state.
pub(super) fn can(model: &Model, transition: &Transition) -> bool {
    possible(model).iter().any(|(_, possible)| possible == transition)
}

fn possible(model: &Model) -> Vec<(u32, Transition)> {
    let mut found: Vec<(u32, Transition)> = Vec::new();
    if model.runs.len() < MOST_RUNS {
        let weight = if model.runs.is_empty() { 20 } else { 1 };
        for workflow in 0..WORKFLOWS.len() {
            found.push((weight, Transition::Start { workflow, count: 1, later: false }));
        }
        if model.runs.len() + 2 < MOST_RUNS {
            found.extend(
                (0..WORKFLOWS.len()).map(|workflow| {
                    (weight, Transition::Start { workflow, count: 2, later: false })
                }),
            );
        }
        found.push((1, Transition::Start { workflow: 4, count: 1, later: true }));
    }
    for run in 0..model.runs.len() {
        of_run(model, run, &mut found);
    }
    // As often as what happens to all of the runs together.
    let often = u32::try_from(model.runs.len().max(1)).unwrap_or(1);
    let mut turns = Vec::new();
    of_clock(model, &mut turns);
    for process in 0..model.processes.len() {
        of_process(model, process, &mut turns);
    }
    found.extend(turns.into_iter().map(|(weight, turn)| (weight * often, turn)));
    found.push((1, Transition::Sweep));
    found.push((1, Transition::LookThrough));
    found
}

/// What the clock and the sweep do.
fn of_clock(model: &Model, found: &mut Vec<(u32, Transition)>) {
    if model.runs.iter().any(|run| run.timer.is_some()) {
        found.push((2, Transition::Advance { minutes: 10 }));
        found.push((4, Transition::Advance { minutes: 60 }));
        found.push((2, Transition::Advance { minutes: 90 }));
    } else if model.runs.iter().any(|run| run.lane.is_some()) {
        found.push((2, Transition::Advance { minutes: 30 }));
    }
    // Also where none is due: then it may do nothing.
    let timers = || model.runs.iter().filter_map(|run| run.timer.as_ref());
    if timers().next().is_some() {
        let due = timers().any(|timer| timer.due <= model.now);
        found.push((if due { 12 } else { 3 }, Transition::Promote));
    }
    if model.runs.iter().any(|run| model.is_orphan(run)) {
        found.push((10, Transition::Sweep));
    }
    if model.runs.iter().any(|run| model.is_lost(run)) {
        found.push((8, Transition::LookThrough));
    }
}

fn of_process(model: &Model, process: usize, found: &mut Vec<(u32, Transition)>) {
    let mut push = |weight, transition| found.push((weight, transition));
    if model.runs.iter().any(|run| run.job.as_ref().is_some_and(|job| job.lease.is_none())) {
        push(6, Transition::Claim { process, limit: 1 });
        push(8, Transition::Claim { process, limit: 10 });
    }
    if model.runs.iter().any(|run| run.lane.is_some()) {
        push(8, Transition::Grant { process });
    }
    let holder = &model.processes[process];
    for (held, holding) in holder.held.iter().enumerate() {
        match holding.phase {
            // Jobs under suspicion are worked at one at a time.
            Phase::Claimed if holding.is_suspect() && holder.works_alone() => {}
            Phase::Claimed => push(12, Transition::Execute { process, held }),
            // What is frozen between its intent and its act for longer than its lease lasts may act beside
            // the attempt that follows; that only the outside itself could prevent, by the send key.
            Phase::Answered { admitted: true } if model.was_taken_back(holding) => {}
            Phase::Answered { .. } => push(12, Transition::Act { process, held }),
            Phase::Wishing | Phase::Finished(_) => {}
        }
    }
    if holder.held.iter().any(|held| held.phase == Phase::Wishing) {
        push(12, Transition::Intend { process });
    }
    if holder.held.iter().any(|held| matches!(held.phase, Phase::Finished(_))) {
        push(14, Transition::Record { process });
    }
    if !holder.held.is_empty() {
        push(3, Transition::Die { process });
    }
    if !model.expired.contains(&holder.id) && !model.gone.contains(&holder.id) {
        push(2, Transition::Expire { process });
    }
}

fn of_run(model: &Model, at: usize, found: &mut Vec<(u32, Transition)>) {
    let run = &model.runs[at];
    let mut ask = |weight, wish| found.push((weight, Transition::Ask { run: at, wish }));
    match run.state {
        State::Live => ask(2, Wish::Pause),
        State::Paused => {
            ask(5, Wish::Resume);
            ask(1, Wish::Pause);
        }
        State::Held => ask(4, Wish::Retry),
        State::Completed | State::Exited | State::Cancelled => {
            ask(1, Wish::Resume);
            return;
        }
    }
    ask(1, Wish::Cancel);
    ask(1, Wish::Skip);
    ask(1, Wish::Jump(0));
    ask(1, Wish::Jump(WORKFLOWS[run.workflow].len() - 1));
    for (weight, name) in [(1, "stop"), (2, "ping"), (1, "pong")] {
        for key in 0..2 {
            found.push((weight, Transition::Signal { run: at, name, key }));
        }
    }
    let unleased = run.job.as_ref().is_some_and(|job| job.lease.is_none());
    if run.state == State::Live && run.place != Place::Lane && (unleased || run.timer.is_some()) {
        found.push((1, Transition::Lose { run: at }));
    }
}
