//! What a cohort will do, counted: by day and step, by whom limits count it, and how runs come out.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

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
}

/// What a cohort will do.
#[derive(Debug, Clone, PartialEq, Serialize)]
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

/// How some runs come out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct End {
    /// `completed`, `exited` or `held`.
    pub state: String,
    /// Why.
    pub reason: String,
    /// How many.
    pub runs: usize,
}

/// What one step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Day {
    /// The local date.
    pub date: NaiveDate,
    /// By step, only those of the counted types.
    pub steps: BTreeMap<String, usize>,
    /// By whom the limits count it, such as a mailbox; at most 1,000 of them.
    pub by: BTreeMap<String, usize>,
}

/// How many names a day is counted by.
const NAMES: usize = 1_000;

/// Looks ahead over a cohort; `trace` is told every act.
pub fn forecast(wanted: &Wanted<'_>, mut trace: impl FnMut(&Act)) -> Forecast {
    let Wanted { definition, people, .. } = wanted;
    let mut counts = Counts::new(wanted);
    let mut rehearsal =
        Rehearsal::new(Arc::clone(definition), people, wanted.rules.clone(), wanted.outlook);
    rehearsal.go_on(wanted.until, |act| {
        counts.add(act);
        trace(act);
    });
    let (mut live, mut waiting) = (0, 0);
    for person in 0..people.len() {
        let standing = rehearsal.standing(person);
        live += usize::from(standing.state == "live");
        waiting += usize::from(rehearsal.is_in_line(person));
    }
    counts.forecast(live, waiting)
}

struct Counts<'a> {
    wanted: &'a Wanted<'a>,
    counted: Vec<bool>,
    steps: Vec<StepCount>,
    days: BTreeMap<NaiveDate, (Vec<usize>, HashMap<usize, usize>)>,
    /// By whom each name of limits is counted.
    names: HashMap<String, usize>,
    ends: BTreeMap<(String, String), usize>,
    last_at: Option<DateTime<Utc>>,
}

impl<'a> Counts<'a> {
    fn new(wanted: &'a Wanted<'a>) -> Self {
        let steps = wanted.definition.steps.iter();
        Self {
            wanted,
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
            names: HashMap::new(),
            ends: BTreeMap::new(),
            last_at: None,
        }
    }

    fn add(&mut self, act: &Act) {
        let step = &mut self.steps[act.step];
        match act.kind {
            "step.done" => {
                step.done += 1;
                step.first_at.get_or_insert(act.at);
                step.last_at = Some(act.at);
                if self.counted[act.step] {
                    self.last_at = Some(act.at);
                    self.count(act);
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

    fn count(&mut self, act: &Act) {
        let date = self.wanted.zone.wall(act.at).date();
        let steps = self.counted.len();
        let (by_step, by_name) =
            self.days.entry(date).or_insert_with(|| (vec![0; steps], HashMap::new()));
        by_step[act.step] += 1;
        let name = self.wanted.people[act.person].limit_keys.get(self.wanted.by);
        let Some(name) = name.and_then(serde_json::Value::as_str) else { return };
        let number = match self.names.get(name) {
            Some(number) => *number,
            None if self.names.len() >= NAMES => return,
            None => {
                let number = self.names.len();
                self.names.insert(name.to_owned(), number);
                number
            }
        };
        *by_name.entry(number).or_default() += 1;
    }

    fn forecast(self, live: usize, waiting: usize) -> Forecast {
        let mut names = vec![String::new(); self.names.len()];
        for (name, number) in self.names {
            names[number] = name;
        }
        let steps = &self.steps;
        let day = |(date, (by_step, by_name)): (NaiveDate, (Vec<usize>, HashMap<usize, usize>))| {
            let done = by_step.iter().enumerate().filter(|(_, count)| **count > 0);
            Day {
                date,
                steps: done.map(|(step, count)| (steps[step].step.clone(), *count)).collect(),
                by: by_name.into_iter().map(|(name, n)| (names[name].clone(), n)).collect(),
            }
        };
        let end = |((state, reason), runs)| End { state, reason, runs };
        Forecast {
            started: self.wanted.people.len(),
            live,
            ends: self.ends.into_iter().map(end).collect(),
            days: self.days.into_iter().map(day).collect(),
            last_at: self.last_at,
            waiting,
            steps: self.steps.clone(),
        }
    }
}
