//! The model: what the engine promises, in plain values and without a database. It knows no statement and
//! calls no function of the engine's; its neighbours `reference_…` move it.

use std::collections::{BTreeMap, BTreeSet};

use super::world::{Kind, WORKFLOWS};

/// Minutes since the case began.
pub(super) type Minutes = i64;

/// What a run's row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Live,
    Paused,
    Held,
    Completed,
    Exited,
    Cancelled,
}

impl State {
    pub(super) fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Exited | Self::Cancelled)
    }
}

/// Where a run's row says that it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Job,
    Timer,
    Signal,
    Lane,
    Nowhere,
}

/// For what a step has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    Timer { until: Minutes },
    Ping { until: Option<Minutes> },
}

/// Whether a job has had its turn under a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Granted {
    /// Nobody has asked.
    No,
    /// It has, and there was no limit.
    Free,
    /// It has, and counts until it is recorded.
    Slot,
}

/// Who holds a job. No two claims have the same token, whatever else they share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) worker: i64,
    pub(super) token: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) step: usize,
    pub(super) iteration: i32,
    pub(super) attempt: i16,
    pub(super) crashes: i16,
    pub(super) begun: bool,
    pub(super) pass: i64,
    pub(super) lease: Option<Lease>,
    pub(super) granted: Granted,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Timer {
    pub(super) due: Minutes,
    pub(super) attempt: i16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Laned {
    pub(super) attempt: i16,
    pub(super) pass: i64,
}

/// A signal in an inbox; numbers go up in the order of sending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Delivered {
    pub(super) id: u32,
    pub(super) name: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) workflow: usize,
    pub(super) state: State,
    pub(super) place: Place,
    pub(super) step: usize,
    pub(super) iteration: i32,
    /// The attempts that its step has used, as of when it last came to rest.
    pub(super) attempt: i16,
    pub(super) next_at: Option<Minutes>,
    pub(super) listens: bool,
    pub(super) waiting: Option<Waiting>,
    pub(super) delivered: i32,
    pub(super) inbox: Vec<Delivered>,
    pub(super) intent: bool,
    pub(super) remaining: Option<Minutes>,
    /// When it was last paused.
    pub(super) paused_at: Minutes,
    pub(super) history: Vec<&'static str>,
    pub(super) facts: i64,
    pub(super) job: Option<Job>,
    pub(super) timer: Option<Timer>,
    pub(super) lane: Option<Laned>,
}

/// What a process holds of a run: the run as it was when the job was claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) run: usize,
    pub(super) token: u64,
    pub(super) step: usize,
    pub(super) iteration: i32,
    pub(super) attempt: i16,
    pub(super) crashes: i16,
    pub(super) live: bool,
    pub(super) seen: i32,
    pub(super) waiting: Option<Waiting>,
    pub(super) intent: bool,
    pub(super) now: Minutes,
    pub(super) next_at: Option<Minutes>,
    pub(super) granted: bool,
    pub(super) in_a_row: u8,
    pub(super) phase: Phase,
}

/// How far a process has come with a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    Claimed,
    /// Its step wants to act and waits for leave.
    Wishing,
    /// The answer is written, and the step has not heard it.
    Answered {
        admitted: bool,
    },
    Finished(Finished),
}

/// What is to be recorded of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finished {
    pub(super) kind: Option<&'static str>,
    pub(super) next: Next,
    /// What the run waits for from now on, where that changes.
    pub(super) waiting: Option<Option<Waiting>>,
    pub(super) keeps_intent: bool,
    pub(super) facts: i64,
    pub(super) consumed: Option<u32>,
}

/// Where a run goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// The job is given up: its run does not live.
    GivenUp,
    Enter {
        step: usize,
    },
    Again {
        at: Option<Minutes>,
        attempt: i16,
    },
    /// To its turn under a limit.
    Line {
        attempt: i16,
    },
    Listen {
        until: Option<Minutes>,
    },
    Hold,
    Complete,
    Exit,
}

/// After how many deaths of its worker a job is worked at alone, and with how many it is held.
pub(super) const SUSPECT: i16 = 3;
pub(super) const DEADLY: i16 = 6;

impl Held {
    /// Whether it may have killed the processes that held it before.
    pub(super) fn is_suspect(&self) -> bool {
        self.live && (SUSPECT..DEADLY).contains(&self.crashes)
    }
}

/// A worker process: one incarnation of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) id: i64,
    pub(super) held: Vec<Held>,
}

impl Process {
    /// Whether it is in the middle of a step under suspicion.
    pub(super) fn works_alone(&self) -> bool {
        let begun = |held: &&Held| matches!(held.phase, Phase::Wishing | Phase::Answered { .. });
        self.held.iter().filter(begun).any(|held| held.is_suspect())
    }
}

/// The rule of the limit that turns are taken under; without any part there is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) at_once: Option<i32>,
    /// So many in any window of so many minutes.
    pub(super) rate: Option<(i32, Minutes)>,
    pub(super) gap: Option<Minutes>,
}

impl Rule {
    pub(super) fn limits(&self) -> bool {
        self.at_once.is_some() || self.rate.is_some() || self.gap.is_some()
    }
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) rule: Rule,
    pub(super) now: Minutes,
    /// The pass that is being served.
    pub(super) served: i64,
    /// How far the jobs go that were made of timers.
    pub(super) tail: Option<i64>,
    pub(super) runs: Vec<Run>,
    pub(super) processes: [Process; 2],
    pub(super) newest_process: i64,
    /// Whose row has expired and still stands.
    pub(super) expired: BTreeSet<i64>,
    /// Whose row is gone.
    pub(super) gone: BTreeSet<i64>,
    pub(super) tokens: u64,
    pub(super) grants: Vec<Minutes>,
    pub(super) acts: BTreeMap<(usize, usize, i32), u32>,
    pub(super) calls: BTreeMap<(usize, usize, i32), u32>,
    pub(super) sent: BTreeSet<(usize, &'static str, u8)>,
    pub(super) signals: u32,
}

/// The pass that is served when a case begins.
pub(super) const FIRST_PASS: i64 = 1_000_000;

impl Model {
    /// A model with two processes and no run.
    pub(super) fn new(rule: Rule) -> Self {
        let process = |id| Process { id, held: Vec::new() };
        Self {
            rule,
            now: 0,
            served: FIRST_PASS,
            tail: None,
            runs: Vec::new(),
            processes: [process(1), process(2)],
            newest_process: 2,
            expired: BTreeSet::new(),
            gone: BTreeSet::new(),
            tokens: 0,
            grants: Vec::new(),
            acts: BTreeMap::new(),
            calls: BTreeMap::new(),
            sent: BTreeSet::new(),
            signals: 0,
        }
    }

    /// The pass of a job that becomes ready now.
    pub(super) fn pass(&self) -> i64 {
        self.served + 1
    }

    pub(super) fn kind(&self, run: usize, step: usize) -> Kind {
        WORKFLOWS[self.runs[run].workflow][step]
    }

    /// Whether a run's job is held by a process that was found dead, or will be.
    pub(super) fn is_orphan(&self, run: &Run) -> bool {
        let lease = run.job.as_ref().and_then(|job| job.lease);
        lease.is_some_and(|lease| {
            self.expired.contains(&lease.worker) || self.gone.contains(&lease.worker)
        })
    }

    /// Whether a live run stands nowhere though it should stand somewhere.
    pub(super) fn is_lost(&self, run: &Run) -> bool {
        run.state == State::Live
            && run.place != Place::Signal
            && run.job.is_none()
            && run.timer.is_none()
            && run.lane.is_none()
    }

    /// Whether a process still holds the lease under which it claimed a job.
    pub(super) fn owns(&self, held: &Held) -> bool {
        let lease = self.runs[held.run].job.as_ref().and_then(|job| job.lease);
        lease.is_some_and(|lease| lease.token == held.token)
    }

    /// Whether a lease was lost while its process went on.
    pub(super) fn was_taken_back(&self, held: &Held) -> bool {
        !self.owns(held)
    }

    /// How many steps act under the limit.
    pub(super) fn running(&self) -> i32 {
        let slots = |run: &&Run| run.job.as_ref().is_some_and(|job| job.granted == Granted::Slot);
        i32::try_from(self.runs.iter().filter(slots).count()).expect("runs are few")
    }

    /// How many turns the limit would grant now.
    pub(super) fn room(&self) -> i32 {
        let mut room = i32::MAX;
        if let Some(at_once) = self.rule.at_once {
            room = room.min(at_once - self.running());
        }
        if let Some((cap, per)) = self.rule.rate {
            let within = self.grants.iter().filter(|at| **at > self.now - per).count();
            room = room.min(cap - i32::try_from(within).expect("grants are few"));
        }
        if let Some(gap) = self.rule.gap {
            let free = self.grants.last().is_none_or(|last| last + gap <= self.now);
            room = room.min(i32::from(free));
        }
        room.max(0)
    }
}

impl Run {
    /// Takes it off the queue, wherever it stands; a job that a process holds stays with it. Gives the
    /// attempts used, and when its timer was due.
    pub(super) fn leave(&mut self) -> Option<(i16, Option<Minutes>)> {
        let job = self.job.take_if(|job| job.lease.is_none()).map(|job| (job.attempt, None));
        let timer = self.timer.take().map(|timer| (timer.attempt, Some(timer.due)));
        let lane = self.lane.take().map(|lane| (lane.attempt, None));
        job.or(timer).or(lane)
    }

    /// Gives it a ready job for the step at which it stands.
    pub(super) fn ready(&mut self, attempt: i16, pass: i64) {
        self.job = Some(Job {
            step: self.step,
            iteration: self.iteration,
            attempt,
            crashes: 0,
            begun: false,
            pass,
            lease: None,
            granted: Granted::No,
        });
    }

    /// In how many rows of the queue it stands.
    pub(super) fn stands_in(&self) -> i64 {
        [self.job.is_some(), self.timer.is_some(), self.lane.is_some()].map(i64::from).iter().sum()
    }

    pub(super) fn is_leased(&self) -> bool {
        self.job.as_ref().is_some_and(|job| job.lease.is_some())
    }

    pub(super) fn end(&mut self, state: State, kind: &'static str) {
        self.state = state;
        self.place = Place::Nowhere;
        self.next_at = None;
        self.listens = false;
        self.remaining = None;
        self.inbox.clear();
        self.history.push(kind);
    }
}
