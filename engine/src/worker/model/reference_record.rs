//! How a record moves the model: where what a step did leaves its run, unless a signal or a person was faster.

use super::reference::{
    Finished, Granted, Held, Laned, Minutes, Model, Next, Phase, Place, Run, State, Timer,
};
use super::world::Kind;

/// How many steps of a run go on in one process.
const IN_A_ROW: u8 = 16;

impl Model {
    pub(super) fn record(&mut self, process: usize) {
        let held = std::mem::take(&mut self.processes[process].held);
        let is_finished = |held: &Held| matches!(held.phase, Phase::Finished(_));
        let (batch, rest): (Vec<Held>, Vec<Held>) = held.into_iter().partition(is_finished);
        self.processes[process].held = rest;
        let recorded: Vec<Held> = batch.into_iter().filter(|held| self.owns(held)).collect();
        for held in &recorded {
            self.record_one(held);
        }
        // Those that become ready line up behind the next place, in the order of the runs.
        let mut ready: Vec<usize> = recorded.iter().map(|held| held.run).collect();
        ready.sort_unstable();
        let mut pass = self.pass();
        for run in ready {
            if let Some(job) = self.runs[run].job.as_mut().filter(|job| job.lease.is_none()) {
                pass += 1;
                job.pass = pass;
            }
        }
        for held in &recorded {
            self.go_on(process, held);
        }
    }

    fn record_one(&mut self, held: &Held) {
        let Phase::Finished(finished) = &held.phase else { return };
        let standing = Standing::of(held, finished);
        let goes_on = self.goes_on(held, finished);
        let in_line = self.lines_up(held, finished);
        let free = in_line && !self.rule.limits();
        let (now, pass) = (self.now, self.pass());
        let run = &mut self.runs[held.run];
        let place = if free || run.delivered > held.seen || goes_on {
            Place::Job
        } else if in_line {
            Place::Lane
        } else {
            standing.place
        };
        run.settle(held, finished, &standing, place, now);
        if goes_on {
            let job = run.job.as_mut().expect("its lease was looked at");
            (job.step, job.attempt, job.crashes, job.begun) = (standing.step, 1, 0, false);
            return;
        }
        let stood = run.job.take().map_or(pass, |job| job.pass);
        match run.place {
            Place::Job => {
                run.ready(standing.attempt, pass);
                let job = run.job.as_mut().expect("it has just got it");
                job.granted = if free { Granted::Free } else { Granted::No };
            }
            Place::Timer => {
                let due = standing.due.expect("a timer has an instant");
                run.timer = Some(Timer { due, attempt: standing.attempt });
            }
            Place::Lane => run.lane = Some(Laned { attempt: standing.attempt, pass: stood }),
            Place::Signal | Place::Nowhere => {}
        }
    }

    /// Whether the next step of a run is worked at by the same process at once.
    fn goes_on(&self, held: &Held, finished: &Finished) -> bool {
        let Next::Enter { step } = finished.next else { return false };
        self.kind(held.run, step) != Kind::Turn && !held.granted && held.in_a_row < IN_A_ROW
    }

    fn lines_up(&self, held: &Held, finished: &Finished) -> bool {
        match finished.next {
            Next::Line { .. } => true,
            Next::Enter { step } => self.kind(held.run, step) == Kind::Turn,
            Next::GivenUp
            | Next::Again { .. }
            | Next::Listen { .. }
            | Next::Hold
            | Next::Complete
            | Next::Exit => false,
        }
    }

    fn go_on(&mut self, process: usize, held: &Held) {
        let Phase::Finished(finished) = &held.phase else { return };
        if !self.goes_on(held, finished) {
            return;
        }
        let run = &self.runs[held.run];
        let job = run.job.as_ref().expect("it was kept");
        let next = Held {
            step: job.step,
            attempt: 1,
            crashes: 0,
            live: run.state == State::Live,
            seen: run.delivered,
            waiting: finished.waiting.unwrap_or(held.waiting),
            intent: false,
            now: self.now,
            next_at: None,
            granted: false,
            in_a_row: held.in_a_row + 1,
            phase: Phase::Claimed,
            ..held.clone()
        };
        self.processes[process].held.push(next);
    }
}

impl Run {
    /// Writes what its step did. It goes where that leads, unless a signal or a person was faster.
    fn settle(
        &mut self,
        held: &Held,
        finished: &Finished,
        standing: &Standing,
        place: Place,
        now: Minutes,
    ) {
        let (was, was_open) = (self.state, !self.state.has_ended());
        let goes_on_living = standing.state == State::Live;
        if matches!(was, State::Live | State::Paused) && !goes_on_living {
            self.state = standing.state;
        }
        let lives = was == State::Live && goes_on_living;
        self.place = if lives { place } else { Place::Nowhere };
        self.next_at = standing.due.filter(|_| lives);
        let rests = was == State::Paused && goes_on_living && standing.place != Place::Signal;
        let rest = standing.due.map_or(0, |due| (due - now).max(0));
        self.remaining = rests.then_some(rest);
        if was_open {
            self.step = standing.step;
            self.iteration = held.iteration;
            self.listens = standing.listens;
        }
        self.attempt = if was_open { standing.attempt } else { 0 };
        self.intent &= finished.keeps_intent;
        self.waiting = finished.waiting.unwrap_or(self.waiting);
        self.history.extend(finished.kind);
        self.history.extend(standing.end.filter(|_| was_open));
        self.facts += finished.facts;
        // An attempt that failed will need its signal again.
        let failed = finished.kind == Some("step.failed");
        self.inbox.retain(|signal| failed || Some(signal.id) != finished.consumed);
        if self.state.has_ended() {
            self.inbox.clear();
        }
    }
}

/// Where something finished leaves its run, unless a signal or a person was faster.
struct Standing {
    state: State,
    place: Place,
    step: usize,
    due: Option<i64>,
    listens: bool,
    attempt: i16,
    end: Option<&'static str>,
}

impl Standing {
    fn of(held: &Held, finished: &Finished) -> Self {
        let live = |place, due, attempt| Self {
            state: State::Live,
            place,
            step: held.step,
            due,
            listens: false,
            attempt,
            end: None,
        };
        let timer = |at: Option<i64>| if at.is_some() { Place::Timer } else { Place::Job };
        let rest =
            |state, end| Self { state, end: Some(end), ..live(Place::Nowhere, None, held.attempt) };
        match &finished.next {
            // Nothing was tried, so no attempt was used.
            Next::GivenUp => live(Place::Job, None, held.attempt - 1),
            Next::Enter { step } => Self { step: *step, ..live(Place::Job, None, 0) },
            Next::Again { at, attempt } => live(timer(*at), *at, *attempt),
            Next::Line { attempt } => live(Place::Lane, None, *attempt),
            Next::Listen { until } => {
                let place = if until.is_some() { Place::Timer } else { Place::Signal };
                Self { listens: true, ..live(place, *until, 0) }
            }
            Next::Hold => rest(State::Held, "run.held"),
            Next::Complete => rest(State::Completed, "run.completed"),
            Next::Exit => rest(State::Exited, "run.exited"),
        }
    }
}
