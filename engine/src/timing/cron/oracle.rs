//! An oracle of another kind: a clock on the wall, looked at every minute, and expressions drawn together with
//! what they mean.

use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Utc};
use proptest::prelude::*;

use super::super::Zone;

const MINUTE: TimeDelta = TimeDelta::minutes(1);

/// What a field of a day means.
#[derive(Debug, Clone)]
pub(super) enum Meant {
    Any,
    Numbers(Vec<u32>),
    LastDay,
    Last(u32),
    Nth(u32, u32),
}

impl Meant {
    fn allows(&self, number: u32, date: NaiveDate) -> bool {
        let in_month = |days| (date + Days::new(days)).month() == date.month();
        match self {
            Self::Any => true,
            Self::Numbers(numbers) => numbers.contains(&number),
            Self::LastDay => !in_month(1),
            Self::Last(weekday) => number == *weekday && !in_month(7),
            Self::Nth(weekday, nth) => number == *weekday && (date.day() - 1) / 7 + 1 == *nth,
        }
    }
}

/// An expression of five fields, with what each means.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) text: String,
    minutes: Meant,
    hours: Meant,
    day_of_month: Meant,
    months: Meant,
    day_of_week: Meant,
}

impl Written {
    fn allows(&self, local: NaiveDateTime) -> bool {
        let date = local.date();
        let of_month = self.day_of_month.allows(date.day(), date);
        let of_week = self.day_of_week.allows(date.weekday().num_days_from_sunday(), date);
        let day = match (&self.day_of_month, &self.day_of_week) {
            (Meant::Any, _) => of_week,
            (_, Meant::Any) => of_month,
            (_, _) => of_month || of_week,
        };
        day && self.minutes.allows(local.minute(), date)
            && self.hours.allows(local.hour(), date)
            && self.months.allows(date.month(), date)
    }

    /// The instants in a span of days at which a clock on the wall first shows an allowed minute, or one behind
    /// it. A minute that it shows again counts no more, one that it leaps over counts where it lands.
    pub(super) fn walk(&self, from: DateTime<Utc>, days: i64, zone: &Zone) -> Vec<DateTime<Utc>> {
        // Long enough before for the first half of any fold.
        let mut at = from - TimeDelta::hours(26);
        let mut shown = zone.wall(at);
        let mut due = Vec::new();
        while at < from + TimeDelta::days(days) {
            at += MINUTE;
            let wall = zone.wall(at);
            let mut allowed = false;
            while shown < wall {
                shown += MINUTE;
                allowed |= self.allows(shown);
            }
            if allowed && at > from {
                due.push(at);
            }
        }
        due
    }
}

/// `*`, numbers, ranges and steps of a unit.
fn numbers(range: RangeInclusive<u32>) -> BoxedStrategy<(String, Meant)> {
    let (first, last) = (*range.start(), *range.end());
    let several = prop::collection::btree_set(range.clone(), 1..4).prop_map(|numbers| {
        let text: Vec<String> = numbers.iter().map(u32::to_string).collect();
        (text.join(","), Meant::Numbers(numbers.into_iter().collect()))
    });
    let between = (range.clone(), range.clone(), 1..5_u32).prop_map(|(one, other, step)| {
        let (from, to) = (one.min(other), one.max(other));
        let text = if step == 1 { format!("{from}-{to}") } else { format!("{from}-{to}/{step}") };
        let stepped = (from..=to).filter(|number| (number - from).is_multiple_of(step));
        (text, Meant::Numbers(stepped.collect()))
    });
    prop_oneof![2 => Just(("*".to_owned(), Meant::Any)), 3 => several, 2 => between]
        // A range over everything restricts nothing.
        .prop_map(move |(text, meant)| {
            let of = |numbers: &Vec<u32>| (first..=last).all(|number| numbers.contains(&number));
            let all = matches!(&meant, Meant::Numbers(numbers) if of(numbers));
            (text, if all { Meant::Any } else { meant })
        })
        .boxed()
}

const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

fn weekday() -> impl Strategy<Value = (String, u32)> {
    let name = |day: u32| WEEKDAYS[usize::try_from(day).unwrap_or_default()].to_owned();
    prop_oneof![
        (0..7_u32).prop_map(move |day| (name(day), day)),
        (0..8_u32).prop_map(|day| (day.to_string(), day % 7)),
    ]
}

fn days_of_week() -> impl Strategy<Value = (String, Meant)> {
    // From one day on to another, around the end of the week where need be.
    let span = (weekday(), 1..6_u32, 0..7_usize).prop_map(|((text, first), more, name)| {
        let last = (first + more) % 7;
        let days = (0..=more).map(|ahead| (first + ahead) % 7).collect();
        let end = if name == 0 { last.to_string() } else { day_name(last) };
        (format!("{text}-{end}"), Meant::Numbers(days))
    });
    prop_oneof![
        3 => Just(("*".to_owned(), Meant::Any)),
        3 => weekday().prop_map(|(text, day)| (text, Meant::Numbers(vec![day]))),
        2 => span,
        1 => weekday().prop_map(|(text, day)| (format!("{text}L"), Meant::Last(day))),
        1 => (weekday(), 1..6_u32)
            .prop_map(|((text, day), nth)| (format!("{text}#{nth}"), Meant::Nth(day, nth))),
    ]
}

fn day_name(day: u32) -> String {
    WEEKDAYS[usize::try_from(day).unwrap_or_default()].to_owned()
}

/// Expressions of five fields.
pub(super) fn written() -> impl Strategy<Value = Written> {
    let days_of_month = prop_oneof![
        3 => Just(("*".to_owned(), Meant::Any)),
        2 => numbers(1..=31),
        1 => Just(("L".to_owned(), Meant::LastDay)),
    ];
    let months = prop_oneof![4 => Just(("*".to_owned(), Meant::Any)), 1 => numbers(1..=12)];
    let fields = (numbers(0..=59), numbers(0..=23), days_of_month, months, days_of_week());
    fields.prop_map(|(minutes, hours, day_of_month, months, day_of_week)| Written {
        text: [&minutes.0, &hours.0, &day_of_month.0, &months.0, &day_of_week.0]
            .map(String::as_str)
            .join(" "),
        minutes: minutes.1,
        hours: hours.1,
        day_of_month: day_of_month.1,
        months: months.1,
        day_of_week: day_of_week.1,
    })
}
