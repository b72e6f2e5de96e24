//! A score at an instant from the facts that are kept: a pure function of rules, facts and instant.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// The events that can count.
pub const COUNTABLE: [&str; 9] = [
    "email.opened",
    "email.clicked",
    "email.replied",
    "email.bounced",
    "email.complained",
    "contact.unsubscribed",
    "meeting.booked",
    "meeting.no_show",
    "page.visited",
];

/// How much a contact shows that it cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Little, or not for long.
    Cold,
    /// Some.
    Warm,
    /// Much.
    Hot,
}

impl Level {
    /// The stored word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Warm => "warm",
            Self::Hot => "hot",
        }
    }

    /// Reads the stored word.
    pub fn read(word: &str) -> Self {
        match word {
            "hot" => Self::Hot,
            "warm" => Self::Warm,
            _cold => Self::Cold,
        }
    }
}

/// What an event is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EngagementRule)]
pub struct Rule {
    /// Points, -1000 to 1000; fewer than none takes away.
    pub points: i32,
    /// How many of them count a day (of UTC); all where nothing stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_day: Option<u32>,
}

/// The rules of a customer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EngagementRules)]
pub struct Rules {
    /// After how many days points count half.
    pub half_life_days: f64,
    /// From this score on a contact is warm.
    pub warm: f64,
    /// From this score on a contact is hot.
    pub hot: f64,
    /// How far a score falls below either before the level falls, so that it does not go back and forth.
    pub hysteresis: f64,
    /// What each event is worth; one that is missing is worth nothing.
    pub events: BTreeMap<String, Rule>,
}

impl Default for Rules {
    fn default() -> Self {
        let rule = |points, per_day| Rule { points, per_day };
        let events = [
            ("email.opened", rule(1, Some(3))),
            ("email.clicked", rule(5, Some(3))),
            ("email.replied", rule(20, Some(2))),
            ("email.bounced", rule(-10, Some(1))),
            ("email.complained", rule(-40, Some(1))),
            ("contact.unsubscribed", rule(-20, Some(1))),
            ("meeting.booked", rule(30, Some(2))),
            ("meeting.no_show", rule(-10, Some(1))),
            ("page.visited", rule(2, Some(5))),
        ];
        let events = events.into_iter().map(|(event, rule)| (event.to_owned(), rule)).collect();
        Self { half_life_days: 30.0, warm: 5.0, hot: 20.0, hysteresis: 2.0, events }
    }
}

impl Rules {
    /// Says what is wrong with rules, by the field.
    ///
    /// # Errors
    /// The field, and what to write.
    pub fn check(&self) -> Result<(), (String, String)> {
        let wrong = |field: &str, message: &str| Err((field.to_owned(), message.to_owned()));
        if !(0.1..=3_650.0).contains(&self.half_life_days) {
            return wrong("half_life_days", "is 0.1 to 3650");
        }
        if !(self.warm > 0.0 && self.warm < self.hot && self.hot <= 100_000.0) {
            return wrong("warm", "is over 0 and under `hot`, which is 100000 at most");
        }
        if !(self.hysteresis >= 0.0 && self.hysteresis < self.warm) {
            return wrong("hysteresis", "is 0 or more, and under `warm`");
        }
        for (event, rule) in &self.events {
            if !COUNTABLE.contains(&event.as_str()) {
                let message = format!("is none of {}", COUNTABLE.join(", "));
                return wrong(&format!("events.{event}"), &message);
            }
            if !(-1_000..=1_000).contains(&rule.points) {
                return wrong(&format!("events.{event}.points"), "is -1000 to 1000");
            }
        }
        Ok(())
    }

    pub(super) fn half_life_seconds(&self) -> f64 {
        self.half_life_days * 86_400.0
    }

    /// The level of a score that came from another one.
    fn level(&self, before: Level, score: f64) -> Level {
        if score >= self.hot || (before == Level::Hot && score > self.hot - self.hysteresis) {
            Level::Hot
        } else if score >= self.warm
            || (before >= Level::Warm && score > self.warm - self.hysteresis)
        {
            Level::Warm
        } else {
            Level::Cold
        }
    }
}

/// Something that counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// Names it, once.
    pub id: Uuid,
    /// The event.
    pub event: String,
    /// Points that were given by hand; else the rules say what the event is worth.
    pub given: Option<i32>,
    /// Why, of points that were given.
    pub reason: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// What a fact is worth.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The fact.
    pub fact: Fact,
    /// Its points; none where as many as count had come that day.
    pub points: i32,
    /// What is left of them.
    pub decayed: f64,
}

/// A score at an instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// The sum of its parts.
    pub sum: f64,
    /// What it means, by how it came about.
    pub level: Level,
    /// When the level falls if nothing comes.
    pub falls_at: Option<DateTime<Utc>>,
    /// Its parts, oldest first.
    pub parts: Vec<Part>,
}

/// The score at an instant, of facts in any order; those after it don't count.
pub fn score(rules: &Rules, facts: &[Fact], at: DateTime<Utc>) -> Score {
    let mut facts: Vec<&Fact> = facts.iter().filter(|fact| fact.at <= at).collect();
    facts.sort_by_key(|fact| (fact.at, fact.id));
    let mut counted: HashMap<(&str, NaiveDate), u32> = HashMap::new();
    let (mut sum, mut level, mut last) = (0.0, Level::Cold, DateTime::<Utc>::MIN_UTC);
    let mut parts = Vec::with_capacity(facts.len());
    for fact in facts {
        let points = fact.given.unwrap_or_else(|| worth(rules, fact, &mut counted));
        sum *= left(rules, fact.at - last);
        // All halves alike, so that a level falls but once between two facts.
        level = rules.level(level, sum);
        sum += f64::from(points);
        level = rules.level(level, sum);
        last = fact.at;
        let decayed = f64::from(points) * left(rules, at - fact.at);
        parts.push(Part { fact: fact.clone(), points, decayed });
    }
    sum *= left(rules, at - last);
    level = rules.level(level, sum);
    Score { sum, level, falls_at: falls_at(rules, level, sum, at), parts }
}

fn worth<'a>(
    rules: &Rules,
    fact: &'a Fact,
    counted: &mut HashMap<(&'a str, NaiveDate), u32>,
) -> i32 {
    let Some(rule) = rules.events.get(&fact.event) else { return 0 };
    let today = counted.entry((&fact.event, fact.at.date_naive())).or_default();
    *today += 1;
    if rule.per_day.is_some_and(|most| *today > most) { 0 } else { rule.points }
}

/// How much of points is left after so long.
fn left(rules: &Rules, passed: TimeDelta) -> f64 {
    let half_lives = passed.as_seconds_f64() / rules.half_life_seconds();
    (-half_lives).exp2()
}

fn falls_at(rules: &Rules, level: Level, sum: f64, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let threshold = match level {
        Level::Hot => rules.hot - rules.hysteresis,
        Level::Warm => rules.warm - rules.hysteresis,
        Level::Cold => return None,
    };
    let seconds = (sum / threshold).log2() * rules.half_life_seconds();
    // A second later, so that the rounding of either side does not find it a hair above.
    at.checked_add_signed(TimeDelta::try_milliseconds(milliseconds(seconds.max(0.0) + 1.0))?)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a century of milliseconds fits, and more is cut off"
)]
fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1_000.0).min(3.2e12) as i64
}

#[cfg(test)]
#[path = "score_tests.rs"]
mod tests;
