//! Who of a cohort may stand in the way of whom: people whom no limit counts together go on without each other.

use std::collections::{HashMap, HashSet};

use super::Person;
use crate::definition::{Definition, StepDefinition};
use crate::limit::{self, Rule};

/// How many people are rehearsed together, unless limits count more of them together: what of them is looked at
/// again and again fits into a processor's cache then.
const TOGETHER: usize = 1_000;

/// People who are rehearsed together.
#[derive(Default)]
pub(super) struct Group {
    /// Their places in the cohort, ascending.
    pub(super) people: Vec<usize>,
    /// The rules that count them.
    pub(super) rules: HashMap<(String, String), Rule>,
}

/// Parts a cohort so that no rule counts people of two groups.
pub(super) fn groups(
    definition: &Definition,
    people: &[Person],
    rules: &HashMap<(String, String), Rule>,
) -> Vec<Group> {
    let rules: Vec<(&(String, String), &Rule)> = rules.iter().collect();
    let mut numbers: HashMap<&str, HashMap<&str, usize>> = HashMap::new();
    for (number, ((kind, name), _)) in rules.iter().enumerate() {
        numbers.entry(kind).or_default().insert(name, number);
    }
    let limited = limited(definition);
    let mut sets = Sets::new(rules.len());
    let mut of_people: Vec<Option<usize>> = Vec::with_capacity(people.len());
    for person in people {
        let mut first = None;
        let keys = limited.iter().flat_map(|step| limit::keys(step, &person.limit_keys));
        for number in keys.filter_map(|[kind, name]| numbers.get(kind)?.get(name).copied()) {
            sets.unite(*first.get_or_insert(number), number);
        }
        of_people.push(first);
    }
    let mut parts: Vec<Vec<usize>> = Vec::new();
    let mut part_of: HashMap<usize, usize> = HashMap::new();
    for (person, first) in of_people.into_iter().enumerate() {
        // Whom no rule counts stands with its neighbours.
        let part = first.map_or(rules.len() + person / TOGETHER, |number| sets.root(number));
        let place = *part_of.entry(part).or_insert(parts.len());
        if place == parts.len() {
            parts.push(Vec::new());
        }
        parts[place].push(person);
    }
    let mut groups: Vec<Group> = Vec::new();
    let mut group_of = vec![0; parts.len()];
    for (place, part) in parts.into_iter().enumerate() {
        match groups.last_mut() {
            Some(last) if last.people.len() + part.len() <= TOGETHER => last.people.extend(part),
            _ => groups.push(Group { people: part, rules: HashMap::new() }),
        }
        group_of[place] = groups.len() - 1;
    }
    for group in &mut groups {
        group.people.sort_unstable();
    }
    for (number, (key, rule)) in rules.into_iter().enumerate() {
        if let Some(place) = part_of.get(&sets.root(number)) {
            groups[group_of[*place]].rules.insert(key.clone(), rule.clone());
        }
    }
    groups
}

/// The steps that take turns, one for all that are counted alike.
fn limited(definition: &Definition) -> Vec<&StepDefinition> {
    let mut known = HashSet::new();
    let steps = definition.steps.iter().filter(|step| !step.limits.is_empty());
    steps.filter(|step| known.insert((step.kind, &step.limits))).collect()
}

/// Sets of numbers that are united one by one; each has a root.
struct Sets(Vec<usize>);

impl Sets {
    fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    fn root(&mut self, mut number: usize) -> usize {
        while self.0[number] != number {
            self.0[number] = self.0[self.0[number]];
            number = self.0[number];
        }
        number
    }

    fn unite(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.0[other.max(one)] = one.min(other);
    }
}
