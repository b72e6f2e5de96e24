//! Turns under limits in a rehearsal: the same rules, and the same order, by which the worker's statement grants
//! them (`worker::grant`, `engine.room` and `engine.opens_at` in the migrations).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::turn::Run;
use super::{Due, What};
use crate::limit::{self, Rule};

/// How many of a line are looked at together, as the worker does.
const BATCH: usize = 200;
/// What a limit lets through that does not count.
const PLENTY: usize = 10_000;
/// When a line is looked at again that let nobody through and does not say when it will.
const AGAIN: TimeDelta = TimeDelta::seconds(1);

/// How a run stands in line.
pub(super) struct Entry<'a> {
    /// The limits that count it, by kind and name.
    pub(super) keys: Vec<[&'a str; 2]>,
    /// How much of each gap's jitter it adds, 0 to 1.
    pub(super) share: f32,
    /// When its send window closes; after that it is looked at anew.
    pub(super) closes_at: Option<DateTime<Utc>>,
}

/// All limits that have a rule, with those who wait under them.
pub(super) struct Lines {
    /// By kind and name.
    by_key: HashMap<String, HashMap<String, u32>>,
    lines: Vec<Line>,
    entered: u64,
}

/// A limit: its rule, what decides by it, and its line.
struct Line {
    rule: Rule,
    /// The first day of a ramp.
    ramp_from: Option<NaiveDate>,
    next_at: Option<DateTime<Utc>>,
    budget_left: Option<usize>,
    budget_until: Option<DateTime<Utc>>,
    /// When it last let somebody through, as often as its rate counts.
    grants: VecDeque<DateTime<Utc>>,
    line: VecDeque<Waiting>,
    /// How many in it still wait.
    waiting: usize,
    /// When it is looked at again.
    wake_at: Option<DateTime<Utc>>,
}

/// Somebody in line. Who left it stays behind, with a turn that is over.
#[derive(Clone)]
struct Waiting {
    person: usize,
    turn: u32,
    /// Its place among all who ever lined up.
    place: u64,
    keys: Vec<u32>,
    share: f32,
}

impl Lines {
    pub(super) fn new(rules: HashMap<(String, String), Rule>) -> Self {
        let mut lines = Self { by_key: HashMap::new(), lines: Vec::new(), entered: 0 };
        for ((kind, name), rule) in rules {
            let number = u32::try_from(lines.lines.len()).unwrap_or(u32::MAX);
            lines.by_key.entry(kind).or_default().insert(name, number);
            lines.lines.push(Line {
                rule,
                ramp_from: None,
                next_at: None,
                budget_left: None,
                budget_until: None,
                grants: VecDeque::new(),
                line: VecDeque::new(),
                waiting: 0,
                wake_at: None,
            });
        }
        lines
    }

    /// Puts a run in line; says whether there is one, as a limit without a rule limits nothing.
    pub(super) fn enter(
        &mut self,
        person: usize,
        run: &mut Run,
        entry: Entry<'_>,
        now: DateTime<Utc>,
        due: &mut BinaryHeap<Reverse<Due>>,
    ) -> bool {
        let keys = entry.keys.iter();
        let keys: Vec<u32> =
            keys.filter_map(|[kind, name]| self.by_key.get(*kind)?.get(*name).copied()).collect();
        let Some(&number) = keys.first() else { return false };
        run.line = Some(number);
        if let Some(closes_at) = entry.closes_at {
            due.push(Reverse((closes_at.max(now), What::Run, person, run.turn)));
        }
        let place = self.entered;
        self.entered += 1;
        let line = &mut self.lines[number as usize];
        line.line.push_back(Waiting { person, turn: run.turn, place, keys, share: entry.share });
        line.waiting += 1;
        let opens_at = line.next_at.map_or(now, |at| at.max(now));
        if line.wake_at.is_none_or(|at| at > opens_at) {
            line.wake_at = Some(opens_at);
            due.push(Reverse((opens_at, What::Line, number as usize, 0)));
        }
        true
    }

    /// Takes a run out of the line in which it stands, if it stands in one.
    pub(super) fn leave(&mut self, run: &mut Run) {
        if let Some(number) = run.line.take() {
            self.lines[number as usize].waiting -= 1;
        }
    }

    /// Decides who takes a turn now, of those in these lines; the caller gives it to them.
    pub(super) fn grant(
        &mut self,
        looked: &[usize],
        runs: &[Run],
        now: DateTime<Utc>,
        due: &mut BinaryHeap<Reverse<Due>>,
    ) -> Vec<usize> {
        let mut looked: Vec<usize> = looked.to_vec();
        looked.retain(|number| self.lines[*number].wake_at.is_some_and(|at| at <= now));
        looked.dedup();
        let mut heads = Vec::new();
        for &number in &looked {
            self.lines[number].begin_day(now);
            let room = self.lines[number].room(now).min(BATCH);
            let line = &mut self.lines[number];
            while line.line.front().is_some_and(|waiting| !waiting.waits(runs)) {
                line.line.pop_front();
            }
            let waits = line.line.iter().filter(|waiting| waiting.waits(runs));
            heads.extend(waits.take(room).map(|waiting| (number, waiting.clone())));
        }
        heads.sort_by_key(|(_, waiting)| waiting.place);
        let mut asked: HashMap<u32, (usize, usize)> = HashMap::new();
        let mut blocked: HashMap<usize, DateTime<Utc>> = HashMap::new();
        let mut granted: Vec<(usize, Waiting)> = Vec::new();
        for (number, waiting) in heads {
            let mut free = true;
            for key in &waiting.keys {
                let line = &mut self.lines[*key as usize];
                let (place, room) = asked.entry(*key).or_insert_with(|| {
                    line.begin_day(now);
                    (0, line.room(now))
                });
                *place += 1;
                free &= *place <= *room;
                if *room == 0 {
                    let opens_at = self.lines[*key as usize].opens_at(now);
                    let until = blocked.entry(number).or_insert(opens_at);
                    *until = opens_at.max(*until);
                }
            }
            if free {
                granted.push((number, waiting));
            }
        }
        for (number, waiting) in &granted {
            self.lines[*number].waiting -= 1;
            for key in &waiting.keys {
                self.lines[*key as usize].spend(now, waiting.share);
            }
        }
        for number in looked {
            let line = &mut self.lines[number];
            line.wake_at = None;
            if line.waiting > 0 {
                let open = line.opens_at(now).max(blocked.get(&number).copied().unwrap_or(now));
                let stuck = granted.is_empty() && open <= now;
                let wake_at = if stuck { now + AGAIN } else { open };
                line.wake_at = Some(wake_at);
                due.push(Reverse((wake_at, What::Line, number, 0)));
            }
        }
        granted.into_iter().map(|(_, waiting)| waiting.person).collect()
    }
}

impl Waiting {
    fn waits(&self, runs: &[Run]) -> bool {
        let run = &runs[self.person];
        run.turn == self.turn && run.line.is_some()
    }
}

impl Line {
    /// Gives the day that it is now its budget, where the one before is over.
    fn begin_day(&mut self, now: DateTime<Utc>) {
        let Some(daily) = &self.rule.daily else { return };
        if self.budget_until.is_some_and(|until| until > now) {
            return;
        }
        let from = *self.ramp_from.get_or_insert_with(|| daily.zone.wall(now).date());
        let (until, budget) = limit::day(
            now,
            &daily.zone,
            daily.cap.cast_signed(),
            daily.ramp.map(u32::cast_signed),
            Some(from),
        );
        self.budget_left = Some(usize::try_from(budget).unwrap_or_default());
        self.budget_until = Some(until);
    }

    /// How many it lets through now, as `engine.room`.
    fn room(&self, now: DateTime<Utc>) -> usize {
        let by_gap = match self.rule.gap {
            _ if self.next_at.is_some_and(|at| at > now) => 0,
            Some(gap) if !gap.least.is_zero() => 1,
            Some(_) | None => PLENTY,
        };
        let by_rate = self.rule.rate.map_or(PLENTY, |rate| {
            let since = now - TimeDelta::from_std(rate.per).unwrap_or(TimeDelta::MAX);
            let within = self.grants.iter().filter(|at| **at > since).count();
            (rate.cap as usize).saturating_sub(within)
        });
        let at_once = self.rule.at_once.map_or(PLENTY, |count| count as usize);
        by_gap.min(by_rate).min(at_once).min(self.budget_left.unwrap_or(PLENTY))
    }

    /// When it is to be looked at again, as `engine.opens_at`.
    fn opens_at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let by_budget = self.budget_until.filter(|_| self.budget_left == Some(0));
        let by_rate = self.rule.rate.and_then(|rate| {
            let oldest = self.grants.len().checked_sub(rate.cap as usize)?;
            self.grants.get(oldest)?.checked_add_signed(TimeDelta::from_std(rate.per).ok()?)
        });
        [Some(now), self.next_at, by_budget, by_rate].into_iter().flatten().max().unwrap_or(now)
    }

    /// Lets one through.
    fn spend(&mut self, now: DateTime<Utc>, share: f32) {
        if let Some(left) = &mut self.budget_left {
            *left = left.saturating_sub(1);
        }
        if let Some(gap) = self.rule.gap
            && !gap.least.is_zero()
        {
            let length = gap.least.mul_f64(1.0 + f64::from(gap.jitter * share));
            self.next_at = now.checked_add_signed(TimeDelta::from_std(length).unwrap_or_default());
        }
        if let Some(rate) = self.rule.rate {
            self.grants.push_back(now);
            while self.grants.len() > rate.cap as usize {
                self.grants.pop_front();
            }
        }
    }
}
