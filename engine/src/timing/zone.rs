//! IANA time zones by name.

use std::fmt;

use jiff::tz::TimeZone;

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

    /// The rules that turn local times into instants.
    #[expect(dead_code, reason = "delays and windows resolve by it")]
    pub(crate) fn rules(&self) -> &TimeZone {
        &self.0
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.name())
    }
}
