//! Rules by which a holiday falls.

use std::sync::Arc;

use chrono::{Datelike, Days, FixedOffset, NaiveDate, TimeDelta, Weekday};

use super::easter;
use super::season::Season;

/// One line of a holiday file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holiday {
    pub(super) name: &'static str,
    /// The name of the day off that makes up for it.
    pub(super) observed_name: String,
    pub(super) rule: Rule,
    pub(super) moved: Shifts,
    pub(super) observed: Observed,
    pub(super) years: Years,
    /// The days of the week to which it is bound; none is all.
    pub(super) only: Vec<Weekday>,
}

/// On which dates of a year a holiday falls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rule {
    Fixed {
        month: u32,
        day: u32,
    },
    /// Dates that were published one by one.
    Dates(Vec<NaiveDate>),
    Nth {
        month: u32,
        nth: u8,
        weekday: Weekday,
    },
    Last {
        month: u32,
        weekday: Weekday,
    },
    Before {
        weekday: Weekday,
        month: u32,
        day: u32,
    },
    From {
        weekday: Weekday,
        month: u32,
        day: u32,
    },
    Easter {
        offset_days: i64,
    },
    OrthodoxEaster {
        offset_days: i64,
    },
    /// Counted from a feast whose dates a table of the file holds.
    Feast {
        dates: Arc<[NaiveDate]>,
        offset_days: i64,
    },
    Season {
        season: Season,
        offset: FixedOffset,
    },
    /// A day that stands between two holidays.
    Between,
}

/// By how many days a holiday moves from a day of the week; those not named stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shifts(pub(super) Vec<(Weekday, i64)>);

/// What happens when a holiday falls on a weekend: it stays, and may be made up for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Observed {
    /// It is lost.
    Never,
    /// On the day so many days off.
    Shifted(Shifts),
    /// A Saturday or Sunday on the next weekday that is no holiday itself.
    Next,
    /// A Sunday on the next day that is no holiday itself.
    Sunday,
}

/// The years in which a holiday is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Years {
    pub(super) since: i32,
    pub(super) until: i32,
    /// Every so many years from `since` on.
    pub(super) every: i32,
    pub(super) except: Vec<i32>,
}

impl Default for Years {
    fn default() -> Self {
        Self { since: i32::MIN, until: i32::MAX, every: 1, except: Vec::new() }
    }
}

impl Years {
    fn contains(&self, year: i32) -> bool {
        (self.since..=self.until).contains(&year)
            && !self.except.contains(&year)
            && year.wrapping_sub(self.since) % self.every == 0
    }
}

impl Shifts {
    /// Where a date moves; `None` where it stays.
    pub(super) fn apply(&self, date: NaiveDate) -> Option<NaiveDate> {
        let (_, days) = self.0.iter().find(|(weekday, _)| *weekday == date.weekday())?;
        shifted(date, *days)
    }
}

impl Holiday {
    /// The dates on which it falls that the rule counts to `year`, weekends or not; a feast's last day may
    /// lie in the year after. A day between two holidays is not known here.
    pub(super) fn dates_in(&self, year: i32) -> Vec<NaiveDate> {
        if !self.years.contains(year) {
            return Vec::new();
        }
        let bound = |date: &NaiveDate| self.only.is_empty() || self.only.contains(&date.weekday());
        let dates = self.rule.dates_in(year).into_iter().filter(bound);
        dates.map(|date| self.moved.apply(date).unwrap_or(date)).collect()
    }
}

impl Rule {
    fn dates_in(&self, year: i32) -> Vec<NaiveDate> {
        let of_year = |dates: &[NaiveDate]| -> Vec<NaiveDate> {
            dates.iter().copied().filter(|date| date.year() == year).collect()
        };
        let date = match self {
            Self::Dates(dates) => return of_year(dates),
            Self::Feast { dates, offset_days } => {
                let of_year = of_year(dates).into_iter();
                return of_year.filter_map(|date| shifted(date, *offset_days)).collect();
            }
            Self::Fixed { month, day } => NaiveDate::from_ymd_opt(year, *month, *day),
            Self::Nth { month, nth, weekday } => {
                NaiveDate::from_weekday_of_month_opt(year, *month, *weekday, *nth)
            }
            Self::Last { month, weekday } => (4..=5)
                .rev()
                .find_map(|nth| NaiveDate::from_weekday_of_month_opt(year, *month, *weekday, nth)),
            Self::Before { weekday, month, day } => {
                let end = NaiveDate::from_ymd_opt(year, *month, *day);
                end.and_then(|end| {
                    let mut back = (1..=7).filter_map(|back| end.checked_sub_days(Days::new(back)));
                    back.find(|date| date.weekday() == *weekday)
                })
            }
            Self::From { weekday, month, day } => {
                let start = NaiveDate::from_ymd_opt(year, *month, *day);
                start.and_then(|start| {
                    start.iter_days().take(7).find(|date| date.weekday() == *weekday)
                })
            }
            Self::Easter { offset_days } => {
                easter::western(year).and_then(|easter| shifted(easter, *offset_days))
            }
            Self::OrthodoxEaster { offset_days } => {
                easter::orthodox(year).and_then(|easter| shifted(easter, *offset_days))
            }
            Self::Season { season, offset } => season.date_in(year, *offset),
            Self::Between => None,
        };
        date.into_iter().collect()
    }
}

fn shifted(date: NaiveDate, days: i64) -> Option<NaiveDate> {
    date.checked_add_signed(TimeDelta::try_days(days)?)
}
