//! How starts, signals and people move the model, and what the sweep's finder of lost runs does.

use super::reference::{Delivered, Granted, Model, Place, Run, State, Timer, Waiting};
use super::transition::Wish;
use super::world::{Kind, WORKFLOWS, hears_ping};

impl Model {
    pub(super) fn start(&mut self, workflow: usize, count: usize, later: bool) {
        for _ in 0..count {
            let mut run = Run {
                workflow,
                state: State::Live,
                place: Place::Job,
                step: 0,
                iteration: 0,
                attempt: 0,
                next_at: None,
                listens: false,
                waiting: None,
                delivered: 0,
                inbox: Vec::new(),
                intent: false,
                remaining: None,
                paused_at: 0,
                history: vec!["run.started"],
                facts: 0,
                job: None,
                timer: None,
                lane: None,
            };
            if later {
                let due = self.now + 60;
                run.place = Place::Timer;
                run.next_at = Some(due);
                run.timer = Some(Timer { due, attempt: 0 });
            } else {
                run.ready(0, self.pass());
            }
            self.runs.push(run);
        }
    }

    /// A signal counts once per key, for a run that is open and could hear it.
    pub(super) fn signal(&mut self, at: usize, name: &'static str, key: u8) {
        if !self.sent.insert((at, name, key)) {
            return;
        }
        self.signals += 1;
        let (id, pass) = (self.signals, self.pass());
        let run = &mut self.runs[at];
        let heard = name == "stop" || (name == "ping" && hears_ping(run.workflow));
        if run.state.has_ended() || !heard {
            return;
        }
        run.delivered += 1;
        run.inbox.push(Delivered { id, name });
        let stop = run.inbox.iter().position(|signal| signal.name == "stop");
        match run.state {
            State::Live => {
                let listens = stop.is_some() || (run.listens && has_ping(run));
                if listens {
                    run.wake(pass);
                }
            }
            State::Paused | State::Held => {
                if let Some(stop) = stop {
                    run.inbox.remove(stop);
                    run.end(State::Exited, "run.exited");
                }
            }
            State::Completed | State::Exited | State::Cancelled => {}
        }
    }

    pub(super) fn ask(&mut self, at: usize, wish: Wish) {
        let (now, pass) = (self.now, self.pass());
        let run = &mut self.runs[at];
        match (wish, run.state) {
            (_, State::Completed | State::Exited | State::Cancelled) => {}
            (Wish::Pause, State::Live) => run.pause(now),
            (Wish::Resume, State::Paused) => run.resume(now, pass),
            (Wish::Retry, State::Held) => {
                run.state = State::Live;
                run.place = Place::Job;
                run.attempt = 0;
                run.next_at = None;
                run.history.push("run.retried");
                run.ready(0, pass);
            }
            (Wish::Cancel, _) => {
                run.leave();
                run.end(State::Cancelled, "run.cancelled");
            }
            (Wish::Skip, _) => run.skip(pass),
            (Wish::Jump(step), _) => run.jump(step, pass),
            (Wish::Pause | Wish::Resume | Wish::Retry, _) => {}
        }
    }

    pub(super) fn lose(&mut self, at: usize) {
        let run = &mut self.runs[at];
        run.job.take_if(|job| job.lease.is_none());
        run.timer = None;
    }

    pub(super) fn look_through(&mut self) {
        let pass = self.pass();
        let lost: Vec<bool> = self.runs.iter().map(|run| self.is_lost(run)).collect();
        for (run, _) in self.runs.iter_mut().zip(lost).filter(|(_, lost)| *lost) {
            run.ready(run.attempt, pass);
        }
    }
}

fn has_ping(run: &Run) -> bool {
    run.inbox.iter().any(|signal| signal.name == "ping")
}

impl Run {
    /// Gives it a job in place of what it waits in; one that has a job sees its inbox anyway.
    fn wake(&mut self, pass: i64) {
        let attempt = match self.place {
            Place::Signal => Some(0),
            Place::Timer => self.timer.take().map(|timer| timer.attempt),
            Place::Lane => self.lane.take().map(|lane| lane.attempt),
            Place::Job | Place::Nowhere => None,
        };
        if let Some(attempt) = attempt {
            self.place = Place::Job;
            self.ready(attempt, pass);
        }
    }

    fn pause(&mut self, now: i64) {
        let off = self.leave();
        self.state = State::Paused;
        self.place = Place::Nowhere;
        self.next_at = None;
        self.attempt = off.map_or(self.attempt, |(attempt, _)| attempt);
        self.remaining = off.map(|(_, due)| due.map_or(0, |due| (due - now).max(0)));
        self.paused_at = now;
        self.history.push("run.paused");
    }

    fn resume(&mut self, now: i64, pass: i64) {
        let stays = self.job.is_some() || self.listens && has_ping(self);
        let rest = self.remaining.take().filter(|rest| *rest > 0);
        let kind = WORKFLOWS[self.workflow][self.step];
        let due = match self.waiting {
            // What a failed attempt put off, and what a nap has left, goes on from now.
            _ if self.attempt > 0 => rest.map(|rest| now + rest),
            Some(Waiting::Timer { until }) if kind == Kind::Until => Some(until),
            Some(_) => rest.map(|rest| now + rest),
            // A start in the future stays where it is.
            None => rest.map(|rest| self.paused_at + rest),
        };
        let later = due.filter(|due| !stays && *due > now);
        self.state = State::Live;
        self.history.push("run.resumed");
        match later {
            Some(due) => {
                self.place = Place::Timer;
                self.next_at = Some(due);
                self.timer = Some(Timer { due, attempt: self.attempt });
            }
            None => {
                self.place = Place::Job;
                self.next_at = None;
                // A job that a dead process left behind while the run was paused serves.
                if self.job.is_none() {
                    self.ready(self.attempt, pass);
                }
            }
        }
    }

    /// Whether a person may move it to another step: none runs, and it stands somewhere.
    fn can_move(&mut self) -> bool {
        let rests = matches!(self.place, Place::Nowhere | Place::Signal);
        !self.is_leased() && (self.leave().is_some() || rests)
    }

    fn skip(&mut self, pass: i64) {
        if !self.can_move() {
            return;
        }
        if self.step + 1 == WORKFLOWS[self.workflow].len() {
            self.moved();
            self.end(State::Completed, "run.completed");
        } else {
            self.step += 1;
            self.go("run.skipped", pass);
        }
    }

    fn jump(&mut self, step: usize, pass: i64) {
        if self.can_move() {
            self.step = step;
            self.iteration += 1;
            self.go("run.jumped", pass);
        }
    }

    fn moved(&mut self) {
        self.attempt = 0;
        self.next_at = None;
        self.listens = false;
        self.waiting = None;
        self.intent = false;
    }

    fn go(&mut self, kind: &'static str, pass: i64) {
        self.moved();
        self.history.push(kind);
        if self.state == State::Paused {
            self.remaining = Some(0);
            return;
        }
        self.state = State::Live;
        self.place = Place::Job;
        self.ready(0, pass);
    }
}

/// The next Tuesday, 12:00; a case begins on a Tuesday at 10:00.
fn next_noon(now: i64) -> i64 {
    const FIRST: i64 = 120;
    const WEEK: i64 = 7 * 24 * 60;
    FIRST + (now - FIRST).div_euclid(WEEK) * WEEK + WEEK
}

/// What a step stops for; `None` for one that does not stop.
pub(super) fn stops_for(kind: Kind, now: i64) -> Option<Waiting> {
    match kind {
        Kind::Nap => Some(Waiting::Timer { until: now + super::world::NAP_MINUTES }),
        Kind::Until => Some(Waiting::Timer { until: next_noon(now) }),
        Kind::Ear => Some(Waiting::Ping { until: Some(now + super::world::EAR_MINUTES) }),
        Kind::Endless => Some(Waiting::Ping { until: None }),
        Kind::Act | Kind::Flaky | Kind::Refuse | Kind::Send | Kind::Blind | Kind::Turn => None,
    }
}

impl Granted {
    /// Whether its limits were asked.
    pub(super) fn was_asked(self) -> bool {
        self != Self::No
    }
}
