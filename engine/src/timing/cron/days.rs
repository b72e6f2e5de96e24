//! The days that an expression allows, by the month and by the week.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::error::CronError;
use super::field::Field;

/// A day that has another number each month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moving {
    /// `L`.
    LastDay,
    /// `friL`.
    Last { weekday: u32 },
    /// `fri#2`.
    Nth { weekday: u32, nth: u32 },
}

/// Numbers as a list.
pub(super) fn list(numbers: &BTreeSet<u32>) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Days that one way of an expression allows: both fields hold.
pub(super) struct Days {
    of_month: Option<BTreeSet<u32>>,
    of_week: Option<BTreeSet<u32>>,
    /// How many days later another month begins at the latest, where that is so.
    pub(super) ends_within: Option<u64>,
}

impl Days {
    /// The ways in which a day may be meant; several where both fields restrict it, as either is enough.
    pub(super) fn of(of_month: &Field, of_week: &Field) -> Result<Vec<Self>, CronError> {
        let both = of_month.numbers.is_some() && of_week.numbers.is_some();
        if let Some(column) = of_month.starred_at.or(of_week.starred_at).filter(|_| both) {
            let what = "cron programs differ on a step of `*` beside another restricted day";
            let help = "write the days, such as `1-31/2`, for days that either field allows";
            return Err(CronError::at(column, what, help));
        }
        let mut ways: Vec<Self> = Vec::new();
        let plain = |field: &Field| field.numbers.clone().filter(|numbers| !numbers.is_empty());
        if let Some(days) = plain(of_month) {
            ways.push(Self { of_month: Some(days), of_week: None, ends_within: None });
        }
        if let Some(days) = plain(of_week) {
            ways.push(Self { of_month: None, of_week: Some(days), ends_within: None });
        }
        // A field that allows all says nothing; where it is named beside moving days, those say nothing.
        let restricting = [of_month, of_week].into_iter().filter(|field| field.numbers.is_some());
        ways.extend(restricting.flat_map(|field| &field.moving).map(|day| Self::moving(*day)));
        if ways.is_empty() {
            ways.push(Self { of_month: None, of_week: None, ends_within: None });
        }
        Ok(ways)
    }

    fn moving(day: Moving) -> Self {
        let of = |days: RangeInclusive<u32>, weekday: Option<u32>, ends_within| Self {
            of_month: Some(days.collect()),
            of_week: weekday.map(|weekday| BTreeSet::from([weekday])),
            ends_within,
        };
        match day {
            Moving::LastDay => of(28..=31, None, Some(1)),
            Moving::Last { weekday } => of(22..=31, Some(weekday), Some(7)),
            Moving::Nth { weekday, nth } => {
                of(nth * 7 - 6..=(nth * 7).min(31), Some(weekday), None)
            }
        }
    }

    pub(super) fn of_month(&self) -> String {
        self.of_month.as_ref().map_or_else(|| "*".into(), list)
    }

    /// The crate's Sunday is 1.
    pub(super) fn of_week(&self) -> String {
        let shifted = |days: &BTreeSet<u32>| list(&days.iter().map(|day| day + 1).collect());
        self.of_week.as_ref().map_or_else(|| "*".into(), shifted)
    }
}
