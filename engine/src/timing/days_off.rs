//! Days and times off beyond public holidays: a customer's own days off, and the absences of a person.
//!
//! Where they are kept is not known here; whoever asks hands them in, and [`DaysOff::NONE`] is none.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

use super::Zone;

/// Days and times off beyond public holidays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DaysOff {
    dates: BTreeSet<NaiveDate>,
    absences: Vec<Absence>,
}

/// When a person is away. One that ends before it begins is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// On whole local dates, both included.
    Dates {
        /// The first.
        first: NaiveDate,
        /// The last.
        last: NaiveDate,
    },
    /// From one instant until just before another.
    Instants {
        /// The first instant away.
        from: DateTime<Utc>,
        /// The first instant back.
        until: DateTime<Utc>,
    },
}

/// A stretch of time: its first instant, and the first after it.
pub(super) type Span = (DateTime<Utc>, DateTime<Utc>);

impl DaysOff {
    /// Nothing but public holidays.
    pub const NONE: Self = Self { dates: BTreeSet::new(), absences: Vec::new() };

    /// A customer's own days off, as local dates, and absences, in any order.
    pub fn new(dates: impl IntoIterator<Item = NaiveDate>, absences: Vec<Absence>) -> Self {
        Self { dates: dates.into_iter().collect(), absences }
    }

    /// Whether `date` is one of the customer's own days off.
    pub fn contains(&self, date: NaiveDate) -> bool {
        self.dates.contains(&date)
    }

    /// The end of the absences that hold at `at` and follow each other without a break.
    pub(super) fn absent_until(&self, at: DateTime<Utc>, zone: &Zone) -> Option<DateTime<Utc>> {
        let mut back = at;
        while let Some(later) = self.absent(zone, |(from, until)| from <= back && back < until) {
            back = later.1;
        }
        (back > at).then_some(back)
    }

    /// The first stretch of `span` that no absence holds.
    pub(super) fn first_free(&self, span: Span, zone: &Zone) -> Option<Span> {
        let (opens_at, closes_at) = span;
        let free = self.absent_until(opens_at, zone).unwrap_or(opens_at);
        let starts = self.absences.iter().map(|absence| absence.span(zone));
        let next =
            starts.filter(|(from, until)| *from > free && from < until).map(|(from, _)| from);
        (free < closes_at).then(|| (free, next.min().map_or(closes_at, |next| next.min(closes_at))))
    }

    fn absent(&self, zone: &Zone, holds: impl Fn(Span) -> bool) -> Option<Span> {
        self.absences.iter().map(|absence| absence.span(zone)).find(|span| holds(*span))
    }
}

impl Absence {
    fn span(self, zone: &Zone) -> Span {
        match self {
            Self::Dates { first, last } => (
                midnight(first, zone),
                last.succ_opt().map_or(DateTime::<Utc>::MAX_UTC, |next| midnight(next, zone)),
            ),
            Self::Instants { from, until } => (from, until),
        }
    }
}

/// The first instant of a local date.
pub(super) fn midnight(date: NaiveDate, zone: &Zone) -> DateTime<Utc> {
    zone.resolve(date.and_time(NaiveTime::MIN))
}
