//! What a cohort will do, counted: by day and step, by whom limits count it, and how runs come out.

use std::collections::{BTreeMap, HashMap};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::groups::{Group, groups};
use super::{Act, Outlook, Person, Rehearsal};
use crate::definition::Definition;
use crate::limit::Rule;
use crate::timing::Zone;

/// What is looked ahead over.
pub struct Wanted<'a> {
    /// The workflow.
    pub definition: Arc<Definition>,
    /// The cohort.
    pub people: &'a [Person],
    /// The rules of limits, by kind and name.
    pub rules: HashMap<(String, String), Rule>,
    /// What the outside is taken to answer.
    pub outlook: &'a dyn Outlook,
    /// Until when.
    pub until: DateTime<Utc>,
    /// In which zone days are counted.
    pub zone: Zone,
    /// The step types whose steps are counted by limit as well, such as those that send.
    pub counted: &'a [&'a str],
    /// The kind of limit by whose names they are counted, such as `mailbox`.
    pub by: &'a str,
    /// The acts of how many are told, of the first in the cohort.
    pub traced: usize,
    /// On how many threads; 0 is one.
    pub threads: usize,
}

/// What a cohort will do.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Forecast {
    /// How many runs start.
    pub started: usize,
    /// How many run still, or wait, at the end.
    pub live: usize,
    /// How runs come out, by state and reason.
    pub ends: Vec<End>,
    /// What each step does.
    pub steps: Vec<StepCount>,
    /// How many steps of the counted types are done on each day.
    pub days: Vec<Day>,
    /// When the last of them is done.
    pub last_at: Option<DateTime<Utc>>,
    /// How many of them wait at the end for their turn.
    pub waiting: usize,
}

/// How a run may come out.
pub const ENDS: [&str; 3] = ["completed", "exited", "held"];

/// How some runs come out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct End {
    /// `completed`, `exited` or `held`.
    pub state: String,
    /// Why.
    pub reason: String,
    /// How many.
    pub runs: usize,
}

/// What one step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StepCount {
    /// Its id.
    pub step: String,
    /// Its type.
    pub r#type: String,
    /// How often it is done.
    pub done: usize,
    /// How often it is skipped.
    pub skipped: usize,
    /// When it is first and last done.
    pub first_at: Option<DateTime<Utc>>,
    /// See `first_at`.
    pub last_at: Option<DateTime<Utc>>,
}

/// What is done on one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Day {
    /// The local date.
    pub date: NaiveDate,
    /// By step, only those of the counted types.
    pub steps: BTreeMap<String, usize>,
    /// By whom the limits count it, such as a mailbox; the first 1,000 of the cohort.
    pub by: BTreeMap<String, usize>,
}

/// How many names a day is counted by.
const NAMES: usize = 1_000;

/// Looks ahead over a cohort; `trace` is told the acts of the first people, in the order of their instants.
///
/// Whom limits count together is rehearsed together; the others in groups, one after another on each thread, so
/// that memory and caches hold a few groups and not the cohort.
pub fn forecast(wanted: &Wanted<'_>, trace: impl FnMut(&Act)) -> Forecast {
    let names = names(wanted);
    let groups = groups(&wanted.definition, wanted.people, &wanted.rules);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut counts = Counts::new(wanted, &names);
        while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
            counts.rehearse(group);
        }
        counts
    };
    let mut counts = thread::scope(|scope| {
        let others: Vec<_> = (1..wanted.threads).map(|_| scope.spawn(work)).collect();
        let mut counts = work();
        for other in others {
            counts.join(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        counts
    });
    // Stable, so that acts of one instant stay in their order.
    counts.traced.sort_by_key(|act| (act.at, act.person));
    counts.traced.iter().for_each(trace);
    counts.forecast()
}

/// By which names the first people of the cohort are counted, each with its number.
fn names<'a>(wanted: &Wanted<'a>) -> HashMap<&'a str, usize> {
    let mut names = HashMap::new();
    for person in wanted.people {
        let Some(name) = name(wanted, person) else { continue };
        let number = names.len();
        names.entry(name).or_insert(number);
        if names.len() == NAMES {
            break;
        }
    }
    names
}

fn name<'a>(wanted: &Wanted<'_>, person: &'a Person) -> Option<&'a str> {
    person.limit_keys.get(wanted.by)?.as_str()
}

/// What is counted of the groups that a thread has rehearsed.
struct Counts<'a> {
    wanted: &'a Wanted<'a>,
    names: &'a HashMap<&'a str, usize>,
    counted: Vec<bool>,
    steps: Vec<StepCount>,
    days: BTreeMap<NaiveDate, Counted>,
    ends: BTreeMap<(String, String), usize>,
    last_at: Option<DateTime<Utc>>,
    live: usize,
    waiting: usize,
    traced: Vec<Act>,
}

/// A day, by the index of the step and by the number of the name.
struct Counted {
    by_step: Vec<usize>,
    by_name: Vec<usize>,
}

impl<'a> Counts<'a> {
    fn new(wanted: &'a Wanted<'a>, names: &'a HashMap<&'a str, usize>) -> Self {
        let steps = wanted.definition.steps.iter();
        Self {
            wanted,
            names,
            counted: steps.clone().map(|step| wanted.counted.contains(&step.kind)).collect(),
            steps: steps
                .map(|step| StepCount {
                    step: step.id.clone(),
                    r#type: step.kind.into(),
                    done: 0,
                    skipped: 0,
                    first_at: None,
                    last_at: None,
                })
                .collect(),
            days: BTreeMap::new(),
            ends: BTreeMap::new(),
            last_at: None,
            live: 0,
            waiting: 0,
            traced: Vec::new(),
        }
    }

    fn rehearse(&mut self, group: &Group) {
        let wanted = self.wanted;
        let people: Vec<Person> =
            group.people.iter().map(|place| wanted.people[*place].clone()).collect();
        let mut rehearsal = Rehearsal::new(
            Arc::clone(&wanted.definition),
            &people,
            group.rules.clone(),
            wanted.outlook,
        );
        rehearsal.go_on(wanted.until, |act| {
            self.add(act, &people[act.person]);
            let person = group.people[act.person];
            if person < wanted.traced {
                self.traced.push(Act { person, ..act.clone() });
            }
        });
        for person in 0..people.len() {
            self.live += usize::from(rehearsal.standing(person).state == "live");
            self.waiting += usize::from(rehearsal.is_in_line(person));
        }
    }

    fn add(&mut self, act: &Act, person: &Person) {
        let step = &mut self.steps[act.step];
        match act.kind {
            "step.done" => {
                step.done += 1;
                step.first_at = earlier(step.first_at, Some(act.at));
                step.last_at = step.last_at.max(Some(act.at));
                if self.counted[act.step] {
                    self.last_at = self.last_at.max(Some(act.at));
                    self.count(act, person);
                }
            }
            "step.skipped" => step.skipped += 1,
            kind => {
                let Some(state) = kind.strip_prefix("run.") else { return };
                let key = (state.to_owned(), act.reason().unwrap_or_default().to_owned());
                *self.ends.entry(key).or_default() += 1;
            }
        }
    }

    fn count(&mut self, act: &Act, person: &Person) {
        let number = name(self.wanted, person).and_then(|name| self.names.get(name).copied());
        let day = self.day(self.wanted.zone.wall(act.at).date());
        day.by_step[act.step] += 1;
        if let Some(number) = number {
            day.by_name[number] += 1;
        }
    }

    fn day(&mut self, date: NaiveDate) -> &mut Counted {
        self.days.entry(date).or_insert_with(|| Counted {
            by_step: vec![0; self.steps.len()],
            by_name: vec![0; self.names.len()],
        })
    }

    /// Adds what another thread has counted.
    fn join(&mut self, other: Self) {
        for (step, of) in self.steps.iter_mut().zip(other.steps) {
            step.done += of.done;
            step.skipped += of.skipped;
            step.first_at = earlier(step.first_at, of.first_at);
            step.last_at = step.last_at.max(of.last_at);
        }
        for (date, of) in other.days {
            let day = self.day(date);
            add(&mut day.by_step, &of.by_step);
            add(&mut day.by_name, &of.by_name);
        }
        for (end, runs) in other.ends {
            *self.ends.entry(end).or_default() += runs;
        }
        self.last_at = self.last_at.max(other.last_at);
        self.live += other.live;
        self.waiting += other.waiting;
        self.traced.extend(other.traced);
    }

    fn forecast(self) -> Forecast {
        let mut names = vec![""; self.names.len()];
        for (name, number) in self.names {
            names[*number] = name;
        }
        let steps = &self.steps;
        let some = |counts: Vec<usize>| counts.into_iter().enumerate().filter(|(_, n)| *n > 0);
        let day = |(date, of): (NaiveDate, Counted)| Day {
            date,
            steps: some(of.by_step).map(|(step, n)| (steps[step].step.clone(), n)).collect(),
            by: some(of.by_name).map(|(name, n)| (names[name].to_owned(), n)).collect(),
        };
        let end = |((state, reason), runs)| End { state, reason, runs };
        Forecast {
            started: self.wanted.people.len(),
            live: self.live,
            ends: self.ends.into_iter().map(end).collect(),
            days: self.days.into_iter().map(day).collect(),
            last_at: self.last_at,
            waiting: self.waiting,
            steps: self.steps.clone(),
        }
    }
}

fn earlier(one: Option<DateTime<Utc>>, other: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    [one, other].into_iter().flatten().min()
}

fn add(counts: &mut [usize], others: &[usize]) {
    for (count, other) in counts.iter_mut().zip(others) {
        *count += other;
    }
}
