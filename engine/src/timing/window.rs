//! Send windows: the days and hours at which windowed steps may act.

use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta, Utc, Weekday};

use super::{Calendar, LocalTime, Zone};

/// How many days ahead an opening is looked for.
const DAYS_AHEAD: u64 = 400;

/// When windowed steps may act, in local time: on `days` that are no holiday, from `from` until just
/// before `to`.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// The days of the week, Monday first, each once.
    pub days: Vec<Weekday>,
    /// The first minute.
    pub from: LocalTime,
    /// The end, itself outside; `24:00` is midnight.
    pub to: LocalTime,
    /// Calendars whose holidays are no business days.
    pub holidays: Vec<Calendar>,
}

/// Whether a window is open at an instant, and when that changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// It is open.
    Open {
        /// The first instant outside.
        closes_at: DateTime<Utc>,
    },
    /// It is closed.
    Opens {
        /// The first instant inside.
        at: DateTime<Utc>,
    },
}

impl Opening {
    /// The first instant from `now` on that is inside: `now` itself while the window is open.
    pub fn first_instant(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Open { .. } => now,
            Self::Opens { at } => at,
        }
    }
}

impl Window {
    /// A window of these days and hours; the days are sorted, and each is kept once.
    ///
    /// # Errors
    /// No day at all, or `from` at or after `to`; the message says what to write.
    pub fn new(
        mut days: Vec<Weekday>,
        from: LocalTime,
        to: LocalTime,
        holidays: Vec<Calendar>,
    ) -> Result<Self, String> {
        if days.is_empty() {
            return Err(
                "a window without days never opens; write `days = [\"mon\", \"tue\"]`".into()
            );
        }
        if from >= to {
            return Err(format!(
                "a window from {from} to {to} never opens; write `from` before `to` of the same \
                 day, with `to = \"24:00\"` for midnight"
            ));
        }
        days.sort_by_key(Weekday::num_days_from_monday);
        days.dedup();
        Ok(Self { days, from, to, holidays })
    }

    /// Whether `date` is one of the window's days and no holiday.
    pub fn is_business_day(&self, date: NaiveDate) -> bool {
        self.days.contains(&date.weekday()) && self.holiday(date).is_none()
    }

    /// The name of the holiday for which the window stays closed on `date`.
    pub fn holiday(&self, date: NaiveDate) -> Option<&'static str> {
        self.holidays.iter().find_map(|calendar| calendar.contains(date))
    }

    /// Whether the window is open at `now` in `zone`, and when that changes.
    ///
    /// An opening that a change to summer time skips is left out. A window that does not open within
    /// 400 days, which [`Window::new`] refuses to make, `Opens` 400 days after `now`, to be asked again
    /// then.
    pub fn opens_at(&self, now: DateTime<Utc>, zone: &Zone) -> Opening {
        let today = zone.wall(now).date();
        let next = (0..=DAYS_AHEAD)
            .map_while(|ahead| today.checked_add_days(Days::new(ahead)))
            .filter(|date| self.is_business_day(*date))
            .map(|date| (zone.resolve(self.from.on(date)), zone.resolve(self.to.on(date))))
            .find(|(opens_at, closes_at)| opens_at < closes_at && now < *closes_at);
        match next {
            Some((opens_at, closes_at)) if opens_at <= now => Opening::Open { closes_at },
            Some((opens_at, _)) => Opening::Opens { at: opens_at },
            None => Opening::Opens { at: much_later(now) },
        }
    }
}

fn much_later(now: DateTime<Utc>) -> DateTime<Utc> {
    let ahead = TimeDelta::try_days(DAYS_AHEAD.cast_signed()).unwrap_or_default();
    now.checked_add_signed(ahead).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests;
