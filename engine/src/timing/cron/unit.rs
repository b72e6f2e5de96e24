//! What the fields of an expression count, and how people name it.

use std::ops::RangeInclusive;

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const LONG_MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const LONG_WEEKDAYS: [&str; 7] =
    ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

/// What a field counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Second,
    Minute,
    Hour,
    DayOfMonth,
    Month,
    DayOfWeek,
    Year,
}

impl Unit {
    /// In the order in which they are written.
    pub(super) const ALL: &'static [Self] = &[
        Self::Second,
        Self::Minute,
        Self::Hour,
        Self::DayOfMonth,
        Self::Month,
        Self::DayOfWeek,
        Self::Year,
    ];

    /// Every number that it has; Sunday is also 7.
    pub(super) fn range(self) -> RangeInclusive<u32> {
        match self {
            Self::Second | Self::Minute => 0..=59,
            Self::Hour => 0..=23,
            Self::DayOfMonth => 1..=31,
            Self::Month => 1..=12,
            Self::DayOfWeek => 0..=6,
            Self::Year => 1970..=2100,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day of the month",
            Self::Month => "month",
            Self::DayOfWeek => "day of the week",
            Self::Year => "year",
        }
    }

    /// What may be written, for whoever wrote something else.
    pub(super) fn allowed(self) -> &'static str {
        match self {
            Self::Second | Self::Minute => "write 0 to 59",
            Self::Hour => "write 0 to 23, where 0 is midnight",
            Self::DayOfMonth => "write 1 to 31, or `L` for the last",
            Self::Month => "write 1 to 12, or jan to dec",
            Self::DayOfWeek => "write 0 to 7, where 0 and 7 are Sunday, or sun to sat",
            Self::Year => "write 1970 to 2100",
        }
    }

    pub(super) fn is_day(self) -> bool {
        matches!(self, Self::DayOfMonth | Self::DayOfWeek)
    }

    /// The number that a word stands for.
    pub(super) fn named(self, word: &str) -> Option<u32> {
        let (first, short, long): (u32, &[&str], &[&str]) = match self {
            Self::Month => (1, &MONTHS, &LONG_MONTHS),
            Self::DayOfWeek => (0, &WEEKDAYS, &LONG_WEEKDAYS),
            Self::Second | Self::Minute | Self::Hour | Self::DayOfMonth | Self::Year => {
                return None;
            }
        };
        let position = |names: &[&str]| names.iter().position(|name| *name == word);
        let at = position(short).or_else(|| position(long))?;
        u32::try_from(at).ok().map(|at| first + at)
    }

    pub(super) fn names(self) -> impl Iterator<Item = &'static str> {
        let (short, long): (&[&str], &[&str]) = match self {
            Self::Month => (&MONTHS, &LONG_MONTHS),
            Self::DayOfWeek => (&WEEKDAYS, &LONG_WEEKDAYS),
            Self::Second | Self::Minute | Self::Hour | Self::DayOfMonth | Self::Year => (&[], &[]),
        };
        short.iter().chain(long).copied()
    }
}
