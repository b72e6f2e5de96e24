//! How work at a step moves the model: why the step runs, what it does, and what is to be recorded of it.

use super::reference::{DEADLY, Finished, Held, Model, Next, Phase, State, Waiting};
use super::reference_people::stops_for;
use super::world::{ATTEMPTS, FIRST_RETRY_MINUTES, Kind, WORKFLOWS};

impl Model {
    /// Finds out why the step runs, and works at it where there is something to do.
    pub(super) fn execute(&mut self, process: usize, at: usize) {
        let held = self.processes[process].held[at].clone();
        if held.is_suspect()
            && self.owns(&held)
            && let Some(job) = &mut self.runs[held.run].job
        {
            job.begun = true;
        }
        self.processes[process].held[at].phase = self.work(&held);
    }

    fn work(&mut self, held: &Held) -> Phase {
        if !held.live {
            return Phase::Finished(plain(Next::GivenUp, true));
        }
        if held.crashes >= DEADLY {
            return Phase::Finished(plain(Next::Hold, true));
        }
        let inbox = if held.seen > 0 { self.runs[held.run].inbox.clone() } else { Vec::new() };
        let find = |name| inbox.iter().find(|signal| signal.name == name).map(|signal| signal.id);
        let early = held.next_at.is_some_and(|at| at > held.now);
        let backs_off = held.attempt > 1 && early;
        let awaits = matches!(held.waiting, Some(Waiting::Ping { .. })) && !backs_off;
        if let Some(ping) = find("ping").filter(|_| awaits) {
            return Phase::Finished(Finished { consumed: Some(ping), ..self.done(held) });
        }
        if let Some(stop) = find("stop") {
            return Phase::Finished(self.exit(held, stop));
        }
        let until = match held.waiting {
            None if early => return Phase::Finished(still_waiting(held)),
            None => return self.enter(held, find("ping")),
            Some(Waiting::Timer { until }) => Some(until),
            Some(Waiting::Ping { until }) => until,
        };
        let due = until.is_some_and(|until| until <= held.now) && !early;
        Phase::Finished(if due { self.done(held) } else { still_waiting(held) })
    }

    fn enter(&mut self, held: &Held, ping: Option<u32>) -> Phase {
        let kind = self.kind(held.run, held.step);
        if held.intent && kind.at_most_once() {
            if kind == Kind::Blind {
                return Phase::Finished(failed(held, self.now, true));
            }
            if self.has_acted(held) {
                return Phase::Finished(self.done(held));
            }
        }
        if kind == Kind::Turn && !held.granted {
            return Phase::Finished(plain(Next::Line { attempt: held.attempt - 1 }, false));
        }
        let calls = self.calls.entry((held.run, held.step, held.iteration)).or_default();
        *calls += 1;
        let finished = match kind {
            Kind::Send | Kind::Blind => return Phase::Wishing,
            Kind::Flaky if *calls <= 2 => failed(held, self.now, false),
            Kind::Refuse => Finished { kind: Some("step.failed"), ..plain(Next::Hold, false) },
            Kind::Nap | Kind::Until => self.stop(held),
            Kind::Ear | Kind::Endless => match ping {
                Some(ping) => Finished { consumed: Some(ping), ..self.done(held) },
                None => self.stop(held),
            },
            Kind::Act | Kind::Flaky | Kind::Turn => self.done(held),
        };
        Phase::Finished(finished)
    }

    fn has_acted(&self, held: &Held) -> bool {
        self.acts.contains_key(&(held.run, held.step, held.iteration))
    }

    fn exit(&self, held: &Held, stop: u32) -> Finished {
        let blind = self.kind(held.run, held.step) == Kind::Blind;
        if held.intent && !blind && self.has_acted(held) {
            return self.done(held);
        }
        Finished { consumed: Some(stop), ..plain(Next::Exit, held.intent && blind) }
    }

    fn stop(&self, held: &Held) -> Finished {
        let waiting = stops_for(self.kind(held.run, held.step), held.now);
        Finished {
            kind: Some("step.waiting"),
            waiting: Some(waiting),
            keeps_intent: false,
            ..still_waiting(&Held { waiting, next_at: None, ..held.clone() })
        }
    }

    fn done(&self, held: &Held) -> Finished {
        let next = held.step + 1;
        let last = next == WORKFLOWS[self.runs[held.run].workflow].len();
        let next = if last { Next::Complete } else { Next::Enter { step: next } };
        let waiting = held.waiting.is_some().then_some(None);
        Finished { kind: Some("step.done"), waiting, facts: 1, ..plain(next, false) }
    }

    /// Leave is given to who still holds the lease of a live run that heard nothing since the claim.
    pub(super) fn intend(&mut self, process: usize) {
        let mut held = std::mem::take(&mut self.processes[process].held);
        for wish in held.iter_mut().filter(|held| held.phase == Phase::Wishing) {
            let owns = self.owns(wish);
            let run = &mut self.runs[wish.run];
            let admitted = owns && run.state == State::Live && run.delivered <= wish.seen;
            if admitted {
                run.intent = true;
                run.history.push("step.intended");
            }
            wish.phase = Phase::Answered { admitted };
        }
        self.processes[process].held = held;
    }

    pub(super) fn act(&mut self, process: usize, at: usize) {
        let held = self.processes[process].held[at].clone();
        let finished = if held.phase == (Phase::Answered { admitted: true }) {
            *self.acts.entry((held.run, held.step, held.iteration)).or_default() += 1;
            self.done(&held)
        } else {
            plain(Next::Again { at: None, attempt: held.attempt - 1 }, false)
        };
        self.processes[process].held[at].phase = Phase::Finished(finished);
    }
}

/// Something without a row of history.
fn plain(next: Next, keeps_intent: bool) -> Finished {
    Finished { kind: None, next, waiting: None, keeps_intent, facts: 0, consumed: None }
}

/// Back to what the step waits for, not before an instant that a pause or a retry set.
fn still_waiting(held: &Held) -> Finished {
    let used = held.attempt - 1;
    let next = match held.waiting {
        _ if used > 0 && held.next_at.is_some_and(|at| at > held.now) => {
            Next::Again { at: held.next_at, attempt: used }
        }
        Some(Waiting::Timer { until }) => {
            Next::Again { at: Some(until).max(held.next_at), attempt: 0 }
        }
        Some(Waiting::Ping { until }) => {
            let later = |until: i64| held.next_at.map_or(until, |at| until.max(at));
            Next::Listen { until: until.map(later) }
        }
        None => Next::Again { at: held.next_at, attempt: used },
    };
    plain(next, true)
}

/// Tried again after a pause from the attempt's end, as long as attempts are left; then a person has to look.
fn failed(held: &Held, now: i64, keeps_intent: bool) -> Finished {
    let next = if held.attempt >= ATTEMPTS {
        Next::Hold
    } else {
        let pause = FIRST_RETRY_MINUTES << (held.attempt - 1);
        Next::Again { at: Some(now + pause), attempt: held.attempt }
    };
    Finished { kind: Some("step.failed"), ..plain(next, keeps_intent) }
}
