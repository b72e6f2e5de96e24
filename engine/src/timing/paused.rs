//! Delays that people paused: when one is over that stood still for a while.

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, Utc};

use super::delay::{business_day, works};
use super::{DaysOff, Delay, Window, Zone};

/// A stretch during which a wait stood still. One that ends before it begins is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// Its first instant.
    pub from: DateTime<Utc>,
    /// The first instant after it.
    pub until: DateTime<Utc>,
}

/// When a delay is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The instant.
    pub at: DateTime<Utc>,
    /// The local time that is meant by it; `None` for a length of time.
    pub local: Option<NaiveDateTime>,
}

impl Delay {
    /// When the delay is over that began at `from` and stood still during `pauses`, in their order. The other
    /// arguments are those of [`Delay::due`].
    ///
    /// - A length of time keeps its rest.
    /// - Days and business days that were left on the local date of the pause are counted from the local date
    ///   of the resume, to the same local time. So a pause within one date moves nothing, unless the delay
    ///   would have ended during it: then it ends at that time on the next day that counts.
    /// - A weekday or a date of a field is not moved.
    ///
    /// A pause that begins after the delay was over moves nothing.
    pub fn due_after(
        &self,
        pauses: &[Pause],
        from: DateTime<Utc>,
        zone: &Zone,
        window: Option<&Window>,
        date: Option<NaiveDate>,
    ) -> Due {
        let first = Due {
            at: self.due(from, zone, window, date),
            local: self.local(&DaysOff::NONE, from, zone, window, date),
        };
        pauses.iter().fold(first, |due, pause| {
            let pause = Pause { from: pause.from.max(from), until: pause.until };
            if due.at <= pause.from || pause.until <= pause.from {
                return due;
            }
            self.moved(due, pause, zone, window)
        })
    }

    /// When it is over after a pause that begins before that.
    fn moved(&self, due: Due, pause: Pause, zone: &Zone, window: Option<&Window>) -> Due {
        let counts: &dyn Fn(NaiveDate) -> bool = match self {
            Self::Elapsed(_) => {
                let at = due.at.checked_add_signed(pause.until - pause.from);
                return Due { at: at.unwrap_or(DateTime::<Utc>::MAX_UTC), ..due };
            }
            Self::Next { .. } | Self::Date { .. } => return due,
            Self::Days(_) => &|_| true,
            Self::BusinessDays(_) => &|date| works(date, zone, window, &DaysOff::NONE),
        };
        let local = due.local.and_then(|local| continued(local, pause, zone, counts));
        // A fold around midnight may show an earlier date at the resume than at the pause.
        let local = local.max(due.local);
        Due { at: local.map_or(due.at, |local| zone.resolve(local).max(due.at)), local }
    }
}

/// The local time to which the days count, from the resume on, that were left until `local` at the pause.
fn continued(
    local: NaiveDateTime,
    pause: Pause,
    zone: &Zone,
    counts: impl Fn(NaiveDate) -> bool,
) -> Option<NaiveDateTime> {
    let (stopped, resumed) = (zone.wall(pause.from).date(), zone.wall(pause.until).date());
    let day = |ahead| resumed.checked_add_days(Days::new(ahead));
    let left = stopped.iter_days().skip(1).take_while(|date| *date <= local.date());
    let left = left.filter(|date| counts(*date)).count();
    if let Ok(count @ 1..) = u32::try_from(left) {
        return Some(business_day(resumed, count, |date| counts(*date))?.and_time(local.time()));
    }
    // It would have ended on the date of the pause: it ends at the next such time of a day that counts.
    let today = day(0).filter(|date| counts(*date)).map(|date| date.and_time(local.time()));
    let ahead = today.filter(|local| zone.resolve(*local) >= pause.until);
    ahead.or_else(|| Some(business_day(resumed, 1, |date| counts(*date))?.and_time(local.time())))
}

#[cfg(test)]
mod tests;
