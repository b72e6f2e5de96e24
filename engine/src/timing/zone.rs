//! IANA time zones by name, and the one rule for local times that a zone skips or repeats.

use std::fmt;
use std::sync::OnceLock;

use chrono::{DateTime, NaiveDateTime, Timelike, Utc};
use jiff::Timestamp;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use super::spelling;

/// The version of the tz database that offsets come from, such as `2026f`.
///
/// jiff bundles the database but does not tell its version, so it is pinned here; a test fails when
/// the locked bundle changes.
pub const TZDB_VERSION: &str = "2026f";

/// The version of the tz database that offsets come from, to be stamped on what was planned by it.
pub fn tzdb_version() -> &'static str {
    TZDB_VERSION
}

/// An IANA time zone, such as `Europe/Vienna`.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// A name that the tz database does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown time zone `{0}`; write an IANA name such as `Europe/Vienna`")]
pub struct UnknownZone(pub String);

impl Zone {
    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// Reads an IANA name.
    ///
    /// # Errors
    /// A name that the bundled tz database does not hold; abbreviations such as `CEST` are none.
    pub fn parse(name: &str) -> Result<Self, UnknownZone> {
        TimeZone::get(name).map(Self).map_err(|_| UnknownZone(name.into()))
    }

    /// Its IANA name, `UTC` for universal time.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// Every IANA name that [`Zone::parse`] reads, sorted.
    pub fn names() -> impl Iterator<Item = &'static str> {
        all_names().iter().map(String::as_str)
    }

    /// The name that was probably meant: a typo, a city alone, or a space in place of `_`.
    pub fn nearest(name: &str) -> Option<&'static str> {
        let name = name.trim().replace(' ', "_");
        let city = |full: &'static str| full.rsplit('/').next().unwrap_or(full);
        let same_city = || Self::names().find(|full| city(full).eq_ignore_ascii_case(&name));
        let close_city = || {
            let near = spelling::nearest(&name, Self::names().map(city))?;
            Self::names().find(|full| city(full) == near)
        };
        spelling::nearest(&name, Self::names().filter(|full| full.contains('/')))
            .or_else(same_city)
            .or_else(close_city)
    }

    /// How people read an instant here, such as `2026-11-24 09:30 +01:00 Europe/Vienna`.
    pub fn local(&self, at: DateTime<Utc>) -> String {
        let seconds = self.0.to_offset(to_timestamp(at)).seconds();
        let sign = if seconds < 0 { '-' } else { '+' };
        let minutes = seconds.unsigned_abs() / 60;
        let wall = self.wall(at).format("%Y-%m-%d %H:%M");
        format!("{wall} {sign}{:02}:{:02} {}", minutes / 60, minutes % 60, self.name())
    }

    /// What a clock on the wall shows here at an instant.
    pub fn wall(&self, at: DateTime<Utc>) -> NaiveDateTime {
        let seconds = self.0.to_offset(to_timestamp(at)).seconds();
        let shift = chrono::TimeDelta::seconds(seconds.into());
        let utc = at.naive_utc();
        utc.checked_add_signed(shift).unwrap_or(utc)
    }

    /// The instant at which a clock on the wall shows `local`: the first of two in a fold, the first
    /// instant after a gap.
    pub fn resolve(&self, local: NaiveDateTime) -> DateTime<Utc> {
        let Some(civil) = to_civil(local) else {
            return local.and_utc();
        };
        match self.0.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } => shifted(local, offset),
            AmbiguousOffset::Fold { before, .. } => shifted(local, before),
            AmbiguousOffset::Gap { after, .. } => self.end_of_gap(local, after),
        }
    }

    /// Read by the offset after the gap, a skipped time is an instant before the transition; the next
    /// transition is then the end of the gap. jiff itself would add the gap's length.
    fn end_of_gap(&self, local: NaiveDateTime, after: Offset) -> DateTime<Utc> {
        let inside = shifted(local, after);
        let end = self.0.following(to_timestamp(inside)).next();
        end.map_or(inside, |transition| from_timestamp(transition.timestamp()))
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.name())
    }
}

fn all_names() -> &'static [String] {
    static NAMES: OnceLock<Vec<String>> = OnceLock::new();
    NAMES.get_or_init(|| {
        let mut names: Vec<String> =
            jiff::tz::db().available().map(|name| name.to_string()).collect();
        // "Factory" marks a machine without a zone; nobody lives there.
        names.retain(|name| name != "Factory");
        names.sort();
        names
    })
}

fn shifted(local: NaiveDateTime, offset: Offset) -> DateTime<Utc> {
    let shift = chrono::TimeDelta::seconds(offset.seconds().into());
    local.checked_sub_signed(shift).unwrap_or(local).and_utc()
}

/// Instants outside jiff's years -9999 to 9999 take the offset of its first or last instant.
fn to_timestamp(at: DateTime<Utc>) -> Timestamp {
    let nanosecond = i32::try_from(at.nanosecond().min(999_999_999)).unwrap_or_default();
    let bound = if at.timestamp() < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::new(at.timestamp(), nanosecond).unwrap_or(bound)
}

fn from_timestamp(at: Timestamp) -> DateTime<Utc> {
    let nanosecond = u32::try_from(at.subsec_nanosecond()).unwrap_or_default();
    DateTime::from_timestamp(at.as_second(), nanosecond)
        .expect("every instant of jiff's is one of chrono's")
}

/// The same local time as jiff writes it; `None` outside its years.
fn to_civil(local: NaiveDateTime) -> Option<jiff::civil::DateTime> {
    use chrono::Datelike;
    jiff::civil::DateTime::new(
        local.year().try_into().ok()?,
        local.month().try_into().ok()?,
        local.day().try_into().ok()?,
        local.hour().try_into().ok()?,
        local.minute().try_into().ok()?,
        local.second().try_into().ok()?,
        i32::try_from(local.nanosecond().min(999_999_999)).ok()?,
    )
    .ok()
}

#[cfg(test)]
mod tests;
