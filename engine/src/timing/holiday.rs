//! Calendars of public holidays, computed from the rules in `engine/data/holidays/`.
//!
//! Holds no customer's own days off. A country's book is computed when it is first asked for.

mod easter;
mod files;
mod rule;
mod season;
mod text;

use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;

use chrono::{Datelike, Days, NaiveDate, Weekday};

use super::spelling;
use files::FILES;
use rule::{Holiday, Observed, Rule};
use text::File;

/// The public holidays of one country, or of a part with holidays of its own, such as Scotland.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Calendar {
    /// Its place in [`FILES`].
    index: usize,
}

/// Years whose holidays are computed once; others are computed at each look.
const TABLE_YEARS: std::ops::RangeInclusive<i32> = 1990..=2089;

/// A country's rules, and its days off in the years of the table.
struct Book {
    file: File,
    table: HashMap<NaiveDate, DayOff>,
}

/// Why a day is off: a holiday by its place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DayOff {
    /// It falls on it.
    Holiday(usize),
    /// It is made up for on it.
    Observed(usize),
}

impl Calendar {
    /// Reads a code of ISO 3166, such as `US` or `GB-SCT`, in any case.
    ///
    /// # Errors
    /// A country whose holidays are not known; the message lists those that are.
    pub fn parse(name: &str) -> Result<Self, String> {
        let found = FILES.iter().position(|(code, _)| code.eq_ignore_ascii_case(name));
        found.map(|index| Self { index }).ok_or_else(|| {
            let known: Vec<&str> = Self::names().collect();
            match Self::nearest(name) {
                Some(meant) => format!(
                    "unknown holiday calendar `{name}`; did you mean `{meant}`? write one of {}",
                    known.join(", ")
                ),
                None => {
                    format!("unknown holiday calendar `{name}`; write one of {}", known.join(", "))
                }
            }
        })
    }

    /// The code that was probably meant.
    pub fn nearest(name: &str) -> Option<&'static str> {
        if name.eq_ignore_ascii_case("UK") {
            return Some("GB");
        }
        spelling::nearest(name, Self::names())
    }

    /// Every code that [`Calendar::parse`] reads, sorted.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FILES.iter().map(|(code, _)| *code)
    }

    /// Its code, such as `US`.
    pub fn name(self) -> &'static str {
        FILES[self.index].0
    }

    /// The last year for which its holidays are known; `None` where the law tells them for every year.
    ///
    /// Beyond it, feasts that follow the moon or are decided year by year are missing, and the others
    /// still stand.
    pub fn complete_until(self) -> Option<i32> {
        self.book().file.complete_until
    }

    /// The name of the holiday that falls on `date`, or is made up for on it.
    pub fn contains(self, date: NaiveDate) -> Option<&'static str> {
        let book = self.book();
        let day_off = if TABLE_YEARS.contains(&date.year()) {
            book.table.get(&date).copied()
        } else {
            // A New Year's Day on a Saturday is made up for in the year before.
            (date.year() - 1..=date.year() + 1)
                .flat_map(|year| days_off(&book.file.holidays, year))
                .find_map(|(day, why)| (day == date).then_some(why))
        };
        day_off.map(|why| match why {
            DayOff::Holiday(index) => book.file.holidays[index].name,
            DayOff::Observed(index) => book.file.holidays[index].observed_name.as_str(),
        })
    }

    fn book(self) -> &'static Book {
        static BOOKS: [OnceLock<Book>; FILES.len()] = [const { OnceLock::new() }; FILES.len()];
        BOOKS[self.index].get_or_init(|| Book::read(FILES[self.index].1))
    }
}

impl fmt::Debug for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Calendar({})", self.name())
    }
}

impl Book {
    fn read(text: &'static str) -> Self {
        let file = File::parse(text).expect("the files that ship follow the grammar");
        let mut table = HashMap::new();
        // One year more on each side, for days off that cross the end of a year.
        for year in TABLE_YEARS.start() - 1..=TABLE_YEARS.end() + 1 {
            for (date, why) in days_off(&file.holidays, year) {
                // Of two holidays on one date the first of the file gives the name.
                table.entry(date).or_insert(why);
            }
        }
        Self { file, table }
    }
}

/// The days off that the holidays of `year` give: each on its date, and on the day that makes up for
/// it where that is a weekend.
fn days_off(holidays: &[Holiday], year: i32) -> Vec<(NaiveDate, DayOff)> {
    let mut days: Vec<(NaiveDate, DayOff)> = Vec::new();
    for (index, holiday) in holidays.iter().enumerate() {
        days.extend(holiday.dates_in(year).into_iter().map(|date| (date, DayOff::Holiday(index))));
    }
    if let Some(index) = holidays.iter().position(|holiday| holiday.rule == Rule::Between) {
        let between = days_between(&days).into_iter();
        days.extend(between.map(|date| (date, DayOff::Holiday(index))));
    }
    let falling: Vec<(NaiveDate, usize)> = days
        .iter()
        .map(|(date, why)| match why {
            DayOff::Holiday(index) | DayOff::Observed(index) => (*date, *index),
        })
        .collect();
    for (date, index) in falling {
        let made_up = match &holidays[index].observed {
            Observed::Never => None,
            Observed::Shifted(shifts) => shifts.apply(date),
            Observed::Next if is_weekend(date) => next_free(date, &days, |day| !is_weekend(day)),
            Observed::Sunday if date.weekday() == Weekday::Sun => next_free(date, &days, |_| true),
            Observed::Next | Observed::Sunday => None,
        };
        days.extend(made_up.map(|date| (date, DayOff::Observed(index))));
    }
    days
}

fn is_weekend(date: NaiveDate) -> bool {
    matches!(date.weekday(), Weekday::Sat | Weekday::Sun)
}

/// The days, none themselves, that have a day off before and behind them.
fn days_between(taken: &[(NaiveDate, DayOff)]) -> Vec<NaiveDate> {
    let off = |day: NaiveDate| taken.iter().any(|(date, _)| *date == day);
    let behind = taken.iter().filter_map(|(date, _)| date.succ_opt());
    behind.filter(|day| !off(*day) && day.succ_opt().is_some_and(off)).collect()
}

/// The next day that is no holiday and is wanted; at most a week on: no country keeps more holidays in a
/// row.
fn next_free(
    date: NaiveDate,
    taken: &[(NaiveDate, DayOff)],
    wanted: impl Fn(NaiveDate) -> bool,
) -> Option<NaiveDate> {
    (1..=7)
        .filter_map(|ahead| date.checked_add_days(Days::new(ahead)))
        .find(|day| wanted(*day) && taken.iter().all(|(date, _)| date != day))
}

#[cfg(test)]
mod tests;
