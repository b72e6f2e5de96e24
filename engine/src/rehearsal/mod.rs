//! Runs of a definition on a clock that jumps from due instant to due instant, in memory: for the scenarios of a
//! definition and for whoever looks ahead over a whole cohort.
//!
//! Decides by the worker's own functions (`decision`, `limit`, `timing`), asks steps what they would do
//! ([`crate::step::Step::rehearse`]), and touches no table. What the outside would answer is told to it: as an
//! event at an instant, or by an [`Outlook`]. Steps take no time here; a workflow that a step starts is taken to
//! complete at once. Of what is due at one instant, people go in the order in which they were given.

mod assumption;
mod forecast;
mod groups;
mod line;
mod play;
mod turn;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

pub use assumption::{Assumption, Assumptions};
pub use forecast::{Day, ENDS, End, Forecast, StepCount, Wanted, forecast};
pub use play::{Played, play};

use crate::decision::{Delivered, Detail, Waiting};
use crate::definition::Definition;
pub use crate::definition::Event;
use crate::limit::Rule;
use crate::timing::Zone;
use line::Lines;
use turn::{Place, Run, Stage};

/// Somebody whose run is rehearsed.
#[derive(Debug, Clone)]
pub struct Person {
    /// The run's id.
    pub run_id: Uuid,
    /// What the run is about.
    pub subject_id: Uuid,
    /// Its fields, as expressions read them.
    pub subject: Arc<Value>,
    /// The run's zone.
    pub zone: Zone,
    /// When the run starts.
    pub starts_at: DateTime<Utc>,
    /// By which name each kind of limit counts the run, such as `{"mailbox": "epa_…"}`.
    pub limit_keys: Arc<Value>,
}

/// What a run did: a row of history, as the worker would write it.
#[derive(Debug, Clone, PartialEq)]
pub struct Act {
    /// When.
    pub at: DateTime<Utc>,
    /// Whose run, by its place among the people.
    pub person: usize,
    /// At which step, by its index.
    pub step: usize,
    /// How often the run had turned back.
    pub iteration: i32,
    /// The kind of the row, such as `step.done` or `run.exited`.
    pub kind: &'static str,
    /// Its data.
    pub detail: Option<Detail>,
}

impl Act {
    /// The reason that its data give, such as that of an end.
    pub fn reason(&self) -> Option<&str> {
        self.detail.as_ref()?.reason.as_deref()
    }
}

/// What the outside is taken to answer to what runs do.
pub trait Outlook: Send + Sync {
    /// What follows an act, and when; never before the act.
    fn follows(
        &self,
        definition: &Definition,
        person: &Person,
        act: &Act,
    ) -> Vec<(DateTime<Utc>, Event)>;
}

/// How far a run has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// `live`, `held`, `completed` or `exited`.
    pub state: &'static str,
    /// The step at which it stands, by its index.
    pub step: usize,
    /// When it goes on, where that is known.
    pub next_at: Option<DateTime<Utc>>,
    /// Why it is held or has ended.
    pub reason: Option<String>,
}

/// What is due: in the order of its instant, events before runs before lines, then by person.
type Due = (DateTime<Utc>, What, usize, u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Event,
    Run,
    Line,
}

/// A cohort's runs on a clock that jumps.
pub struct Rehearsal<'a> {
    stage: Stage,
    people: &'a [Person],
    outlook: &'a dyn Outlook,
    runs: Vec<Run>,
    due: BinaryHeap<Reverse<Due>>,
    events: HashMap<u32, Event>,
    next_event: u32,
    lines: Lines,
}

impl<'a> Rehearsal<'a> {
    /// All runs of a cohort, none begun. A limit without a rule, by its kind and name, limits nothing.
    pub fn new(
        definition: Arc<Definition>,
        people: &'a [Person],
        rules: HashMap<(String, String), Rule>,
        outlook: &'a dyn Outlook,
    ) -> Self {
        let runs = people.iter().map(|person| Run::new(person.starts_at)).collect();
        let due = people
            .iter()
            .enumerate()
            .map(|(person, of)| Reverse((of.starts_at, What::Run, person, 0)))
            .collect();
        Self {
            stage: Stage::new(definition),
            people,
            outlook,
            runs,
            due,
            events: HashMap::new(),
            next_event: 0,
            lines: Lines::new(rules),
        }
    }

    /// Has something happen to a person's run at an instant.
    pub fn happens(&mut self, person: usize, at: DateTime<Utc>, event: Event) {
        self.events.insert(self.next_event, event);
        self.due.push(Reverse((at, What::Event, person, self.next_event)));
        self.next_event += 1;
    }

    /// The next instant at which anything may happen.
    pub fn next_at(&self) -> Option<DateTime<Utc>> {
        self.due.peek().map(|Reverse((at, ..))| *at)
    }

    /// How far a person's run has come.
    pub fn standing(&self, person: usize) -> Standing {
        let run = &self.runs[person];
        Standing {
            state: run.state(),
            step: run.step,
            next_at: run.next_at,
            reason: run.reason.clone(),
        }
    }

    /// Whether a person's run waits for its turn under a limit.
    pub fn is_in_line(&self, person: usize) -> bool {
        self.runs[person].line.is_some()
    }

    /// Goes on to an instant, itself included, and tells every act in its order.
    pub fn go_on(&mut self, until: DateTime<Utc>, mut tell: impl FnMut(&Act)) {
        while let Some(Reverse((at, what, person, number))) = self.due.peek().copied()
            && at <= until
        {
            self.due.pop();
            match what {
                What::Event => {
                    if let Some(event) = self.events.remove(&number) {
                        self.take(person, at, event, &mut tell);
                    }
                }
                What::Run if self.runs[person].turn == number => {
                    self.lines.leave(&mut self.runs[person]);
                    self.turn(person, at, false, &mut tell);
                }
                What::Run => {}
                What::Line => self.grant(person, at, &mut tell),
            }
        }
    }

    fn take(
        &mut self,
        person: usize,
        at: DateTime<Utc>,
        event: Event,
        tell: &mut impl FnMut(&Act),
    ) {
        let run = &mut self.runs[person];
        match event {
            Event::Observed { step, fields } => run.observe(&step, fields),
            Event::Signal { .. } if run.ended() => {}
            Event::Signal { name, mut data } => {
                if let Some(Waiting::Signal { signal, key: Some(key), .. }) = &run.memory.waiting
                    && *signal == name
                    && let Some(fields) = data.as_object_mut()
                {
                    fields.entry("key").or_insert_with(|| key.clone().into());
                }
                let id = Uuid::from_u128(u128::from(run.heard));
                run.heard += 1;
                let ends = self.stage.definition.exit_on.contains(&name);
                let awaited = matches!(&run.memory.waiting,
                    Some(Waiting::Signal { signal, .. }) if *signal == name);
                run.inbox.push(Delivered { id, name, data });
                if run.place != Place::Nowhere && (ends || awaited) {
                    self.lines.leave(&mut self.runs[person]);
                    self.turn(person, at, false, tell);
                } else if run.place == Place::Nowhere && ends {
                    let act = run.end_at_rest(person, at);
                    tell(&act);
                }
            }
        }
    }

    /// Has a run act for as long as it goes on at this instant.
    fn turn(
        &mut self,
        person: usize,
        at: DateTime<Utc>,
        mut granted: bool,
        tell: &mut impl FnMut(&Act),
    ) {
        loop {
            let (of, run) = (&self.people[person], &mut self.runs[person]);
            run.turn += 1;
            let acts = self.stage.turn(of, run, person, at, granted);
            for act in acts.into_iter().flatten() {
                tell(&act);
                for (then, event) in self.outlook.follows(&self.stage.definition, of, &act) {
                    self.happens(person, then.max(at), event);
                }
            }
            let run = &mut self.runs[person];
            granted = false;
            match (run.place, run.next_at) {
                (Place::Ready, _) => {}
                (Place::Lined, _) => {
                    let entry = self.stage.line_up(&self.people[person], run, at);
                    if !self.lines.enter(person, run, entry, at, &mut self.due) {
                        granted = true;
                        continue;
                    }
                    return;
                }
                (Place::Resting, Some(then)) => {
                    return self.due.push(Reverse((then, What::Run, person, run.turn)));
                }
                (Place::Resting, None) | (Place::Nowhere, _) => return,
            }
        }
    }

    /// Gives turns to those whom the line lets through now.
    fn grant(&mut self, line: usize, at: DateTime<Utc>, tell: &mut impl FnMut(&Act)) {
        let mut looked = vec![line];
        // Lines that open at the same instant are decided together, as the worker does.
        while let Some(Reverse((also, What::Line, line, _))) = self.due.peek().copied()
            && also == at
        {
            self.due.pop();
            looked.push(line);
        }
        for person in self.lines.grant(&looked, &self.runs, at, &mut self.due) {
            self.runs[person].line = None;
            self.turn(person, at, true, tell);
        }
    }
}

#[cfg(test)]
mod tests;
