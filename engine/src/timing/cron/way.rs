//! One way in which an expression is due, as the `cron` crate enumerates it: all of its fields hold.
//!
//! Local times only, handed to the crate as if they were of UTC, where no gap and no fold is.

use std::collections::BTreeSet;

use chrono::{
    Datelike, Days as DayCount, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike,
};
use cron::Schedule;

use super::days::Days;
use super::error::CronError;
use super::field::Field;

/// Fields that hold together.
#[derive(Debug, Clone)]
pub(super) struct Way {
    schedule: Schedule,
    /// How many days later another month begins at the latest; the last days of a month have no number.
    ends_within: Option<u64>,
    /// The years, where they are restricted.
    years: Option<BTreeSet<u32>>,
}

impl Way {
    /// # Errors
    /// What the crate refuses all the same; it would be a mistake of ours.
    pub(super) fn new(
        clock: &[Field],
        days: &Days,
        month: &Field,
        year: &Field,
    ) -> Result<Self, CronError> {
        let mut fields: Vec<String> = clock.iter().map(Field::written).collect();
        fields.extend([days.of_month(), month.written(), days.of_week(), year.written()]);
        let fields = fields.join(" ");
        let schedule = fields.parse().map_err(|error: cron::error::Error| {
            CronError::whole(
                format!("`{fields}` can't be evaluated: {error}"),
                "write it otherwise",
            )
        })?;
        Ok(Self { schedule, ends_within: days.ends_within, years: year.numbers.clone() })
    }

    /// The first local time after another.
    pub(super) fn following(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        let mut from = whole(after);
        loop {
            let found = self.schedule.after(&from.and_utc()).next()?.naive_utc();
            if self.holds(found.date()) {
                return Some(found);
            }
            // No other time of that day holds either.
            from = midnight(found.date().succ_opt()?).checked_sub_signed(SECOND)?;
        }
    }

    /// The last local time before another, which has whole seconds.
    pub(super) fn preceding(&self, before: NaiveDateTime) -> Option<NaiveDateTime> {
        let mut until = self.within_years(before)?;
        loop {
            let found = self.schedule.after(&until.and_utc()).next_back()?.naive_utc();
            if self.holds(found.date()) {
                return Some(found);
            }
            until = self.within_years(midnight(found.date()))?;
        }
    }

    /// The end of the last year that holds, or the time itself in one: going back, the crate (0.17.0) takes the
    /// month of where it began for the first year that holds, whichever that is.
    fn within_years(&self, before: NaiveDateTime) -> Option<NaiveDateTime> {
        let Some(years) = &self.years else { return Some(before) };
        let begins = before.checked_sub_signed(SECOND)?.year();
        let last = years.range(..=u32::try_from(begins).ok()?).next_back()?;
        let last = i32::try_from(*last).ok()?;
        if last == begins {
            return Some(before);
        }
        Some(midnight(NaiveDate::from_ymd_opt(last + 1, 1, 1)?))
    }

    fn holds(&self, date: NaiveDate) -> bool {
        self.ends_within.is_none_or(|days| {
            let later = date.checked_add_days(DayCount::new(days));
            later.is_none_or(|later| later.month() != date.month())
        })
    }
}

const SECOND: TimeDelta = TimeDelta::seconds(1);

fn midnight(date: NaiveDate) -> NaiveDateTime {
    date.and_time(NaiveTime::MIN)
}

/// Without fractions of a second, which no expression names.
pub(super) fn whole(local: NaiveDateTime) -> NaiveDateTime {
    local.with_nanosecond(0).unwrap_or(local)
}
