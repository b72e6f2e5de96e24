//! Calendars of national holidays, computed from the rules in `engine/data/holidays/`.
//!
//! Holds no customer's own days off.

use std::collections::HashMap;
use std::sync::OnceLock;

use chrono::{Datelike, Days, NaiveDate, Weekday};

use super::holiday_rule::{Holiday, Observed};
use super::spelling::did_you_mean;

/// The national holidays of one country.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calendar {
    country: Country,
}

/// The countries whose holidays are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Country {
    Austria,
    Australia,
    Canada,
    Switzerland,
    Germany,
    France,
    UnitedKingdom,
    UnitedStates,
}

/// By their codes of ISO 3166-1, sorted.
const COUNTRIES: [(&str, Country); 8] = [
    ("AT", Country::Austria),
    ("AU", Country::Australia),
    ("CA", Country::Canada),
    ("CH", Country::Switzerland),
    ("DE", Country::Germany),
    ("FR", Country::France),
    ("GB", Country::UnitedKingdom),
    ("US", Country::UnitedStates),
];

/// Years whose holidays are computed once; others are computed at each look.
const TABLE_YEARS: std::ops::RangeInclusive<i32> = 1990..=2089;

/// A country's rules, and its days off in the years of the table.
struct Book {
    holidays: Vec<Holiday>,
    table: HashMap<NaiveDate, String>,
}

impl Calendar {
    /// Reads a country's code (ISO 3166-1), such as `US`, in any case.
    ///
    /// # Errors
    /// A country whose holidays are not known; the message lists those that are.
    pub fn parse(name: &str) -> Result<Self, String> {
        let found = COUNTRIES.iter().find(|(code, _)| code.eq_ignore_ascii_case(name));
        found.map(|(_, country)| Self { country: *country }).ok_or_else(|| {
            let meant = if name.eq_ignore_ascii_case("UK") {
                "; did you mean `GB`?".into()
            } else {
                did_you_mean(name, Self::names())
            };
            let known: Vec<&str> = Self::names().collect();
            format!("unknown holiday calendar `{name}`{meant}; write one of {}", known.join(", "))
        })
    }

    /// Every code that [`Calendar::parse`] reads, sorted.
    pub fn names() -> impl Iterator<Item = &'static str> {
        COUNTRIES.iter().map(|(code, _)| *code)
    }

    /// Its code, such as `US`.
    pub fn name(self) -> &'static str {
        let named = COUNTRIES.iter().find(|(_, country)| *country == self.country);
        named.map(|(code, _)| *code).expect("every country stands in the list")
    }

    /// The name of the holiday that falls on `date`, or is made up for on it.
    pub fn contains(self, date: NaiveDate) -> Option<&'static str> {
        let book = self.country.book();
        if TABLE_YEARS.contains(&date.year()) {
            return book.table.get(&date).map(String::as_str);
        }
        // A New Year's Day on a Saturday is made up for in the year before.
        (date.year() - 1..=date.year() + 1)
            .flat_map(|year| days_off(&book.holidays, year))
            .find(|(day, _)| *day == date)
            .map(|(_, name)| name)
    }
}

impl Country {
    fn book(self) -> &'static Book {
        static BOOKS: [OnceLock<Book>; 8] = [const { OnceLock::new() }; 8];
        let (slot, text) = match self {
            Self::Austria => (0, include_str!("../../data/holidays/AT.csv")),
            Self::Australia => (1, include_str!("../../data/holidays/AU.csv")),
            Self::Canada => (2, include_str!("../../data/holidays/CA.csv")),
            Self::Switzerland => (3, include_str!("../../data/holidays/CH.csv")),
            Self::Germany => (4, include_str!("../../data/holidays/DE.csv")),
            Self::France => (5, include_str!("../../data/holidays/FR.csv")),
            Self::UnitedKingdom => (6, include_str!("../../data/holidays/GB.csv")),
            Self::UnitedStates => (7, include_str!("../../data/holidays/US.csv")),
        };
        BOOKS[slot].get_or_init(|| Book::read(text))
    }
}

impl Book {
    fn read(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let holidays: Vec<Holiday> = lines
            .map(|line| Holiday::parse(line).expect("the files that ship follow the grammar"))
            .collect();
        // One year more on each side, for days off that cross the end of a year.
        let mut table = HashMap::new();
        for year in TABLE_YEARS.start() - 1..=TABLE_YEARS.end() + 1 {
            for (date, name) in days_off(&holidays, year) {
                // Of two holidays on one date the first of the file gives the name.
                table.entry(date).or_insert_with(|| name.to_owned());
            }
        }
        Self { holidays, table }
    }
}

/// The days off that the holidays of `year` give: each on its date, and on the day that makes up for
/// it where that is a weekend.
fn days_off(holidays: &[Holiday], year: i32) -> Vec<(NaiveDate, &str)> {
    let fall = || holidays.iter().filter_map(|holiday| Some((holiday.date_in(year)?, holiday)));
    let mut days: Vec<(NaiveDate, &str)> =
        fall().map(|(date, holiday)| (date, holiday.name.as_str())).collect();
    for (date, holiday) in fall().filter(|(date, _)| is_weekend(*date)) {
        let made_up = match holiday.observed {
            Observed::Never => None,
            Observed::Nearest => nearest_weekday(date),
            Observed::Next => next_free_weekday(date, &days),
        };
        days.extend(made_up.map(|date| (date, holiday.observed_name.as_str())));
    }
    days
}

fn is_weekend(date: NaiveDate) -> bool {
    matches!(date.weekday(), Weekday::Sat | Weekday::Sun)
}

fn nearest_weekday(date: NaiveDate) -> Option<NaiveDate> {
    if date.weekday() == Weekday::Sat { date.pred_opt() } else { date.succ_opt() }
}

/// At most a week on: no country keeps more holidays in a row.
fn next_free_weekday(date: NaiveDate, taken: &[(NaiveDate, &str)]) -> Option<NaiveDate> {
    (1..=7)
        .filter_map(|ahead| date.checked_add_days(Days::new(ahead)))
        .find(|day| !is_weekend(*day) && taken.iter().all(|(date, _)| date != day))
}

#[cfg(test)]
mod tests;
