//! Delays as intent, and the instant at which one is due.

use std::time::Duration;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, TimeDelta, Utc, Weekday};

use super::days_off::midnight;
use super::window::DAYS_AHEAD;
use super::{DaysOff, LocalTime, Window, Zone};

/// How far a business day is looked for, for each one that is to pass, beside [`DAYS_AHEAD`] for all: the
/// longest run of days off is shorter.
const DAYS_PER_BUSINESS_DAY: u64 = 28;

/// How long a run waits, as its document says it.
#[derive(Debug, Clone, PartialEq)]
pub enum Delay {
    /// So much time passes.
    Elapsed(Duration),
    /// The same local time, so many days later.
    Days(u32),
    /// The same local time on the so-manieth business day after the local date.
    BusinessDays(u32),
    /// The first such local time after the instant.
    Next {
        /// The day of the week.
        weekday: Weekday,
        /// The local time on it.
        at: LocalTime,
    },
    /// A local time relative to the date that a field holds.
    Date {
        /// The field, such as `contact.renewal_on`.
        path: String,
        /// Days after the field's date; negative is before.
        offset_days: i32,
        /// The local time on that day.
        at: LocalTime,
    },
}

impl Delay {
    /// The instant at which the delay is over that began at `from`; never before `from`.
    ///
    /// A business day is a day of `window` that is no holiday, or Monday to Friday without a window.
    /// `date` is the value of a [`Delay::Date`]'s field and is ignored by the others: without a value,
    /// or when the local time is past, it is due at once, at `from`. A local time in a gap is the first
    /// instant after it; in a fold the first counts.
    pub fn due(
        &self,
        from: DateTime<Utc>,
        zone: &Zone,
        window: Option<&Window>,
        date: Option<NaiveDate>,
    ) -> DateTime<Utc> {
        self.due_around(&DaysOff::NONE, from, zone, window, date)
    }

    /// As [`Delay::due`], where days off and absences are no business days either: an absence takes a day
    /// when it leaves nothing of the day's window, or of the day without a window.
    pub fn due_around(
        &self,
        days_off: &DaysOff,
        from: DateTime<Utc>,
        zone: &Zone,
        window: Option<&Window>,
        date: Option<NaiveDate>,
    ) -> DateTime<Utc> {
        let due = match self {
            Self::Elapsed(duration) => elapsed(from, *duration),
            Self::Days(_) | Self::BusinessDays(_) | Self::Next { .. } | Self::Date { .. } => {
                self.local(days_off, from, zone, window, date).map(|local| zone.resolve(local))
            }
        };
        due.map_or(from, |due| due.max(from))
    }

    /// The local time that is meant, be it skipped or shown twice there; `None` for a length of time, and
    /// without the value of a field. The arguments are those of [`Delay::due_around`].
    pub fn local(
        &self,
        days_off: &DaysOff,
        from: DateTime<Utc>,
        zone: &Zone,
        window: Option<&Window>,
        date: Option<NaiveDate>,
    ) -> Option<NaiveDateTime> {
        let wall = zone.wall(from);
        match self {
            Self::Elapsed(_) => None,
            Self::Days(count) => later(wall, *count),
            Self::BusinessDays(count) => {
                let works = |date: &NaiveDate| works(*date, zone, window, days_off);
                Some(business_day(wall.date(), *count, works)?.and_time(wall.time()))
            }
            Self::Next { weekday, at } => next_weekday(from, zone, *weekday, *at),
            Self::Date { offset_days, at, .. } => {
                date.and_then(|date| relative(date, *offset_days)).map(|date| at.on(date))
            }
        }
    }
}

fn elapsed(from: DateTime<Utc>, duration: Duration) -> Option<DateTime<Utc>> {
    from.checked_add_signed(TimeDelta::from_std(duration).ok()?)
}

fn later(wall: NaiveDateTime, days: u32) -> Option<NaiveDateTime> {
    wall.checked_add_days(Days::new(days.into()))
}

fn relative(date: NaiveDate, offset_days: i32) -> Option<NaiveDate> {
    date.checked_add_signed(TimeDelta::try_days(offset_days.into())?)
}

/// Whether `date` is a business day here. A date that the zone skips is none, also where its window would go on past
/// midnight.
pub(super) fn works(
    date: NaiveDate,
    zone: &Zone,
    window: Option<&Window>,
    days_off: &DaysOff,
) -> bool {
    let day = date.succ_opt().map(|next| (midnight(date, zone), midnight(next, zone)));
    let Some(day) = day.filter(|(begins, ends)| begins < ends) else { return false };
    match window {
        Some(window) => window.is_working_day(date, zone, days_off),
        None if matches!(date.weekday(), Weekday::Sat | Weekday::Sun) => false,
        None if days_off.contains(date) => false,
        None => days_off.first_free(day, zone).is_some(),
    }
}

/// The `count`th business day after `date`; the last day looked at where there is none.
pub(super) fn business_day(
    date: NaiveDate,
    count: u32,
    works: impl Fn(&NaiveDate) -> bool,
) -> Option<NaiveDate> {
    let furthest = u64::from(count) * DAYS_PER_BUSINESS_DAY + DAYS_AHEAD;
    let skipped = usize::try_from(count.checked_sub(1)?).ok()?;
    let day = |ahead| date.checked_add_days(Days::new(ahead));
    (1..=furthest).map_while(day).filter(works).nth(skipped).or_else(|| day(furthest))
}

/// Two weeks are enough: a week's occurrence may be past already, and the next may lie in a skipped day.
fn next_weekday(
    from: DateTime<Utc>,
    zone: &Zone,
    weekday: Weekday,
    at: LocalTime,
) -> Option<NaiveDateTime> {
    let today = zone.wall(from).date();
    (0..=14)
        .filter_map(|ahead| today.checked_add_days(Days::new(ahead)))
        .filter(|date| date.weekday() == weekday)
        .map(|date| at.on(date))
        .find(|local| zone.resolve(*local) > from)
}

#[cfg(test)]
mod tests;
