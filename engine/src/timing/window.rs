//! Send windows: the days and hours at which windowed steps may act.

use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta, Utc, Weekday};

use super::days_off::{Span, midnight};
use super::{Calendar, DaysOff, LocalTime, Zone};

/// How many days ahead an opening is looked for.
pub(super) const DAYS_AHEAD: u64 = 400;

/// When windowed steps may act, in local time: on `days` that are no holiday, from `from` until just
/// before `to`.
///
/// A `to` before `from` is one of the next day: the night belongs to the day on which it begins, so that
/// a window of Fridays from 22:00 to 06:00 is open until Saturday morning, and is closed for the holiday
/// on which it begins.
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
        /// The last rule that keeps it closed until then; [`Window::closures`] names all.
        closed_by: Closed,
    },
}

/// The rule by which a window is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// Its own days and hours.
    Window,
    /// A public holiday, by its name.
    Holiday(&'static str),
    /// One of the customer's own days off.
    OwnDayOff,
    /// The absence of a person.
    Absence,
}

/// A rule that keeps a window closed, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closure {
    /// Which.
    pub rule: Closed,
    /// The first instant at which it no longer does.
    pub until: DateTime<Utc>,
}

impl Opening {
    /// The first instant from `now` on that is inside: `now` itself while the window is open.
    pub fn first_instant(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Open { .. } => now,
            Self::Opens { at, .. } => at,
        }
    }
}

impl Window {
    /// A window of these days and hours; the days are sorted, and each is kept once.
    ///
    /// # Errors
    /// No day at all, `from` equal to `to`, or `from` at the end of the day; the message says what to write.
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
        if from == LocalTime::END_OF_DAY {
            return Err(
                "a window does not begin at the end of a day; write `from = \"00:00\"` and the days \
                 after"
                    .into(),
            );
        }
        if from == to {
            return Err(format!(
                "a window from {from} to {to} never opens; write another `to`, or `from = \"00:00\"` and \
                 `to = \"24:00\"` for the whole day"
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

    /// Whether `date` is a business day that is no day off either, and on which no absence takes all of the
    /// window.
    pub(super) fn is_working_day(&self, date: NaiveDate, zone: &Zone, days_off: &DaysOff) -> bool {
        self.is_business_day(date)
            && !days_off.contains(date)
            && days_off.first_free(self.span(date, zone), zone).is_some()
    }

    /// The name of the holiday for which the window stays closed on `date`.
    pub fn holiday(&self, date: NaiveDate) -> Option<&'static str> {
        self.holidays.iter().find_map(|calendar| calendar.contains(date))
    }

    /// The calendars that don't hold all holidays of a date's year, since those are not known yet.
    pub fn incomplete(&self, date: NaiveDate) -> impl Iterator<Item = Calendar> {
        let ended = move |calendar: &Calendar| {
            calendar.complete_until().is_some_and(|year| year < date.year())
        };
        self.holidays.iter().copied().filter(ended)
    }

    /// Whether the window is open at `now` in `zone`, and when that changes, with public holidays alone.
    pub fn opens_at(&self, now: DateTime<Utc>, zone: &Zone) -> Opening {
        self.opening(now, zone, &DaysOff::NONE)
    }

    /// Whether the window is open at `now` in `zone`, and when that changes.
    ///
    /// An opening that a change to summer time skips is left out. A window that does not open within
    /// 400 days `Opens` 400 days after `now`, to be asked again then.
    pub fn opening(&self, now: DateTime<Utc>, zone: &Zone, days_off: &DaysOff) -> Opening {
        let mut closed_by = Closed::Window;
        match self.search(now, zone, days_off, |closure| closed_by = closure.rule) {
            Some((opens_at, closes_at)) if opens_at <= now => Opening::Open { closes_at },
            Some((opens_at, _)) => Opening::Opens { at: opens_at, closed_by },
            None => Opening::Opens { at: much_later(now), closed_by },
        }
    }

    /// Every rule that keeps the window closed from `now` until it opens, in the order in which they end;
    /// none while it is open.
    pub fn closures(&self, now: DateTime<Utc>, zone: &Zone, days_off: &DaysOff) -> Vec<Closure> {
        let mut closures = Vec::new();
        let mut note = |closure: Closure| {
            if closures.last() != Some(&closure) {
                closures.push(closure);
            }
        };
        let found = self.search(now, zone, days_off, &mut note);
        let opens_at = found.map_or_else(|| much_later(now), |(opens_at, _)| opens_at);
        if opens_at <= now {
            return Vec::new();
        }
        if closures.last().is_none_or(|last| last.until < opens_at) {
            closures.push(Closure { rule: Closed::Window, until: opens_at });
        }
        closures
    }

    /// The first stretch that is open at `now` or later; each rule that takes one before it is noted.
    fn search(
        &self,
        now: DateTime<Utc>,
        zone: &Zone,
        days_off: &DaysOff,
        mut note: impl FnMut(Closure),
    ) -> Option<Span> {
        let today = zone.wall(now).date();
        // The night of yesterday may go on.
        let first = if self.crosses_midnight() { today.pred_opt()? } else { today };
        let dates =
            (0..=DAYS_AHEAD + 1).map_while(|ahead| first.checked_add_days(Days::new(ahead)));
        for date in dates.filter(|date| self.days.contains(&date.weekday())) {
            let (opens_at, closes_at) = self.span(date, zone);
            if opens_at >= closes_at || closes_at <= now {
                continue;
            }
            let off =
                || date.succ_opt().map_or(closes_at, |next| midnight(next, zone).max(closes_at));
            if let Some(name) = self.holiday(date) {
                note(Closure { rule: Closed::Holiday(name), until: off() });
                continue;
            }
            if days_off.contains(date) {
                note(Closure { rule: Closed::OwnDayOff, until: off() });
                continue;
            }
            let ahead = (opens_at.max(now), closes_at);
            if let Some(until) = days_off.absent_until(ahead.0, zone) {
                note(Closure { rule: Closed::Absence, until });
            }
            if let Some(free) = days_off.first_free(ahead, zone) {
                return Some(free);
            }
        }
        None
    }

    fn crosses_midnight(&self) -> bool {
        self.to < self.from
    }

    /// When the window of `date` opens and closes, whatever the date is; not before it opens where a
    /// change of the clock takes all of it.
    fn span(&self, date: NaiveDate, zone: &Zone) -> Span {
        let end = if self.crosses_midnight() { date.succ_opt().unwrap_or(date) } else { date };
        (zone.resolve(self.from.on(date)), zone.resolve(self.to.on(end)))
    }
}

fn much_later(now: DateTime<Utc>) -> DateTime<Utc> {
    let ahead = TimeDelta::try_days(DAYS_AHEAD.cast_signed()).unwrap_or_default();
    now.checked_add_signed(ahead).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests;
