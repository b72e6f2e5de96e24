//! How the turns of worker processes move the model: claims, grants, promotions, sweeps.

use super::reference::{Granted, Held, Job, Lease, Model, Phase, Process, Run, SUSPECT, State};
use super::transition::Transition;

impl Model {
    /// Moves on.
    pub(super) fn apply(&mut self, transition: &Transition) {
        match transition {
            Transition::Start { workflow, count, later } => self.start(*workflow, *count, *later),
            Transition::Claim { process, limit } => self.claim(*process, *limit),
            Transition::Grant { process } => self.grant(*process),
            Transition::Execute { process, held } => self.execute(*process, *held),
            Transition::Intend { process } => self.intend(*process),
            Transition::Act { process, held } => self.act(*process, *held),
            Transition::Record { process } => self.record(*process),
            Transition::Expire { process } => {
                let id = self.processes[*process].id;
                if !self.gone.contains(&id) {
                    self.expired.insert(id);
                }
            }
            Transition::Die { process } => {
                let id = self.processes[*process].id;
                if !self.gone.contains(&id) {
                    self.expired.insert(id);
                }
                self.newest_process += 1;
                self.processes[*process] = Process { id: self.newest_process, held: Vec::new() };
            }
            Transition::Sweep => self.sweep(),
            Transition::Advance { minutes } => self.now += minutes,
            Transition::Promote => self.promote(),
            Transition::Signal { run, name, key } => self.signal(*run, name, *key),
            Transition::Ask { run, wish } => self.ask(*run, *wish),
            Transition::Lose { run } => self.lose(*run),
            Transition::LookThrough => self.look_through(),
        }
    }

    /// The ready jobs in the order of their passes. A process whose row is gone claims nothing: what it
    /// held may be another's, and it could not tell its old leases from the new ones.
    fn claim(&mut self, process: usize, limit: usize) {
        let worker = self.processes[process].id;
        if self.gone.contains(&worker) {
            return;
        }
        let free = |job: &&Job| job.lease.is_none();
        let pass = |run: &Run| run.job.as_ref().filter(free).map(|job| job.pass);
        let mut ready: Vec<(i64, usize)> =
            self.runs.iter().enumerate().filter_map(|(at, run)| Some((pass(run)?, at))).collect();
        ready.sort_unstable();
        ready.truncate(limit);
        for (pass, at) in ready {
            self.served = self.served.max(pass);
            self.tokens += 1;
            let lease = Lease { worker, token: self.tokens };
            let job = self.runs[at].job.as_mut().expect("it was ready");
            job.attempt += 1;
            job.lease = Some(lease);
            self.hold(process, at);
        }
    }

    fn grant(&mut self, process: usize) {
        let worker = self.processes[process].id;
        if self.gone.contains(&worker) {
            return;
        }
        let mut line: Vec<(i64, usize)> = self
            .runs
            .iter()
            .enumerate()
            .filter_map(|(at, run)| Some((run.lane.as_ref()?.pass, at)))
            .collect();
        line.sort_unstable();
        line.truncate(usize::try_from(self.room()).unwrap_or(0));
        for (pass, at) in line {
            self.tokens += 1;
            let lease = Lease { worker, token: self.tokens };
            let run = &mut self.runs[at];
            let lane = run.lane.take().expect("it stood in line");
            run.ready(lane.attempt + 1, pass);
            let job = run.job.as_mut().expect("it has just got it");
            (job.lease, job.granted) = (Some(lease), Granted::Slot);
            self.grants.push(self.now);
            self.hold(process, at);
        }
    }

    fn hold(&mut self, process: usize, at: usize) {
        let run = &self.runs[at];
        let job = run.job.as_ref().expect("it was claimed");
        let held = Held {
            run: at,
            token: self.tokens,
            step: job.step,
            iteration: job.iteration,
            attempt: job.attempt,
            crashes: job.crashes,
            live: run.state == State::Live,
            seen: run.delivered,
            waiting: run.waiting,
            intent: run.intent,
            now: self.now,
            next_at: run.next_at,
            granted: job.granted.was_asked(),
            in_a_row: 0,
            phase: Phase::Claimed,
        };
        self.processes[process].held.push(held);
    }

    /// What dead processes held goes back, and the attempt with it.
    fn sweep(&mut self) {
        self.gone.append(&mut self.expired);
        let pass = self.pass();
        for run in &mut self.runs {
            let Some(job) = &mut run.job else { continue };
            if job.lease.is_some_and(|lease| self.gone.contains(&lease.worker)) {
                job.lease = None;
                job.granted = Granted::No;
                job.crashes += i16::from(job.crashes < SUSPECT || job.begun);
                job.begun = false;
                job.attempt = (job.attempt - 1).max(0);
                job.pass = pass;
            }
        }
    }

    /// Due timers become jobs, in the order of their instants.
    fn promote(&mut self) {
        let mut due: Vec<(i64, usize)> = self
            .runs
            .iter()
            .enumerate()
            .filter_map(|(at, run)| Some((run.timer.as_ref()?.due, at)))
            .filter(|(due, _)| *due <= self.now)
            .collect();
        due.sort_unstable();
        let mut pass = self.pass().max(self.tail.unwrap_or(0));
        for (_, at) in &due {
            pass += 1;
            let timer = self.runs[*at].timer.take().expect("it was due");
            self.runs[*at].ready(timer.attempt, pass);
        }
        if !due.is_empty() {
            self.tail = Some(pass);
        }
    }
}
