//! The lines of the holiday files.
//!
//! A line is `RULE [WORD=VALUE …],NAME`; names stand in the country's language where it is written in Latin
//! letters, else in English. RULE is one of
//! - `12-25`, every year, or dates one by one: `2025-06-20 2026-07-10`, `2026-02-15..2026-02-23`
//! - `11/4/thu` (the fourth Thursday of November), `5/last/mon`
//! - `mon before 05-25`, `sat from 06-20` (the first one on or after it)
//! - `easter+1`, `orthodox-2` (days from Easter Sunday)
//! - `equinox/03 +09:00`, `solstice/06 -04:00`: where clocks differ from UTC by so much
//! - `seollal-1`, days from a feast of the file's own
//! - `between`: a day between two holidays
//!
//! `since=`, `until=` and `except=YEAR/YEAR` say in which years, `every=5` that it is every fifth from
//! `since` on, and `only=mon/fri` on which weekdays it is a holiday at all. `moved=tue-1/sun+1` moves it off
//! these weekdays by so many days. What falls on a weekend is made up for by `observed=sat-1/sun+1` (so
//! many days off), `observed=next` (on the next weekday that is no holiday) or `observed=sunday` (a Sunday
//! alone, on the next day that is none).
//!
//! `seollal = 2025-01-29 2026-02-17` holds the dates of a feast; it may go on in a further line of that
//! name. `complete until 2029` is the last year for which a file is complete.

use std::collections::HashMap;

use chrono::{Datelike, NaiveDate, Weekday};

use super::rule::{Holiday, Observed, Rule, Shifts, Years};
use super::season::Season;

/// What a file says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct File {
    pub(super) holidays: Vec<Holiday>,
    /// The last year for which it is complete; `None` where its rules hold for every year.
    pub(super) complete_until: Option<i32>,
    /// The dates of its feasts, sorted.
    pub(super) feasts: HashMap<&'static str, Vec<NaiveDate>>,
}

impl File {
    /// Reads a file.
    ///
    /// # Errors
    /// The first line that does not follow the grammar.
    pub(super) fn parse(text: &'static str) -> Result<Self, &'static str> {
        let lines = || text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut file = Self::default();
        for line in lines() {
            if let Some((name, days)) = line.split_once(" = ") {
                file.feasts.entry(name).or_default().extend(dates(days).ok_or(line)?);
            } else if let Some(year) = line.strip_prefix("complete until ") {
                file.complete_until = Some(year.parse().map_err(|_| line)?);
            }
        }
        let of_holidays = lines().filter(|line| line.contains(','));
        file.holidays =
            of_holidays.map(|line| file.holiday(line).ok_or(line)).collect::<Result<_, _>>()?;
        match lines().find(|line| !line.contains([',', '=']) && !line.starts_with("complete ")) {
            Some(stray) => Err(stray),
            None => Ok(file),
        }
    }

    /// Reads a line; `None` when it follows no rule of the grammar.
    fn holiday(&self, line: &'static str) -> Option<Holiday> {
        let (rule, name) = line.split_once(',')?;
        let mut holiday = Holiday {
            name,
            observed_name: format!("{name} (observed)"),
            rule: Rule::Between,
            moved: Shifts::default(),
            observed: Observed::Never,
            years: Years::default(),
            only: Vec::new(),
        };
        let mut words = Vec::new();
        for word in rule.split_whitespace() {
            match word.split_once('=') {
                None => words.push(word),
                Some((key, value)) => set(&mut holiday, key, value)?,
            }
        }
        holiday.rule = self.rule(&words)?;
        Some(holiday)
    }

    fn rule(&self, words: &[&str]) -> Option<Rule> {
        match words {
            ["between"] => Some(Rule::Between),
            [weekday, "before", date] => {
                let (month, day) = month_and_day(date)?;
                Some(Rule::Before { weekday: self::weekday(weekday)?, month, day })
            }
            [weekday, "from", date] => {
                let (month, day) = month_and_day(date)?;
                Some(Rule::From { weekday: self::weekday(weekday)?, month, day })
            }
            [season, offset] if season.contains('/') => {
                Some(Rule::Season { season: self::season(season)?, offset: offset.parse().ok()? })
            }
            [word] if word.starts_with(|first: char| first.is_ascii_alphabetic()) => {
                self.counted(word)
            }
            [word] if word.contains('/') => weekday_of_month(word),
            [word] if word.len() == 5 => {
                month_and_day(word).map(|(month, day)| Rule::Fixed { month, day })
            }
            [] => None,
            words => dates(&words.join(" ")).map(Rule::Dates),
        }
    }

    /// `easter+1`, `orthodox`, `seollal-1`.
    fn counted(&self, word: &str) -> Option<Rule> {
        let (name, offset) = word.split_at(word.find(['+', '-']).unwrap_or(word.len()));
        let offset_days = if offset.is_empty() { 0 } else { offset.parse().ok()? };
        match name {
            "easter" => Some(Rule::Easter { offset_days }),
            "orthodox" => Some(Rule::OrthodoxEaster { offset_days }),
            feast => {
                let dates = self.feasts.get(feast)?.as_slice().into();
                Some(Rule::Feast { dates, offset_days })
            }
        }
    }
}

fn set(holiday: &mut Holiday, key: &str, value: &str) -> Option<()> {
    match key {
        "since" => holiday.years.since = value.parse().ok()?,
        "until" => holiday.years.until = value.parse().ok()?,
        "every" => holiday.years.every = value.parse().ok().filter(|every| *every > 0)?,
        "except" => {
            let years = value.split('/').map(|year| year.parse().ok());
            holiday.years.except = years.collect::<Option<_>>()?;
        }
        "only" => holiday.only = value.split('/').map(weekday).collect::<Option<_>>()?,
        "moved" => holiday.moved = shifts(value)?,
        "observed" => {
            holiday.observed = match value {
                "next" => Observed::Next,
                "sunday" => Observed::Sunday,
                shifted => Observed::Shifted(shifts(shifted)?),
            };
        }
        _ => return None,
    }
    Some(())
}

/// `tue-1/sun+1`.
fn shifts(value: &str) -> Option<Shifts> {
    let one = |part: &str| {
        let (day, days) = part.split_at_checked(3)?;
        let signed = days.starts_with(['+', '-']);
        Some((weekday(day)?, days.parse().ok().filter(|_| signed)?))
    };
    value.split('/').map(one).collect::<Option<_>>().map(Shifts)
}

fn weekday(word: &str) -> Option<Weekday> {
    crate::timing::weekday(word).ok()
}

fn season(word: &str) -> Option<Season> {
    match word {
        "equinox/03" => Some(Season::MarchEquinox),
        "solstice/06" => Some(Season::JuneSolstice),
        "equinox/09" => Some(Season::SeptemberEquinox),
        "solstice/12" => Some(Season::DecemberSolstice),
        _ => None,
    }
}

/// Dates, and ranges of them with both ends.
fn dates(text: &str) -> Option<Vec<NaiveDate>> {
    let mut dates = Vec::new();
    for word in text.split_whitespace() {
        let (first, last) = word.split_once("..").unwrap_or((word, word));
        let (first, last): (NaiveDate, NaiveDate) = (first.parse().ok()?, last.parse().ok()?);
        if last < first || dates.last().is_some_and(|before| *before >= first) {
            return None;
        }
        dates.extend(first.iter_days().take_while(|date| *date <= last));
    }
    Some(dates)
}

fn weekday_of_month(word: &str) -> Option<Rule> {
    let [month, nth, weekday] = word.split('/').collect::<Vec<_>>().try_into().ok()?;
    let month = month.parse().ok().filter(|month| (1..=12).contains(month))?;
    let weekday = self::weekday(weekday)?;
    if nth == "last" {
        return Some(Rule::Last { month, weekday });
    }
    let nth = nth.parse().ok().filter(|nth| (1..=4).contains(nth))?;
    Some(Rule::Nth { month, nth, weekday })
}

/// `12-25`; a leap year lends its days to the check.
fn month_and_day(word: &str) -> Option<(u32, u32)> {
    let date: NaiveDate = format!("2000-{word}").parse().ok()?;
    Some((date.month(), date.day()))
}

#[cfg(test)]
mod tests;
