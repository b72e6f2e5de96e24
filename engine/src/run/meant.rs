//! What a timer was resolved from, so that it can be resolved again when the rules of its zone change.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::timing::tzdb_version;

/// The local time from which a timer was resolved; the `meant` of its run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meant {
    /// What the clock on the wall was to show.
    pub(crate) local: NaiveDateTime,
    /// The instant that it was resolved to.
    pub(crate) until: DateTime<Utc>,
    /// The version of the tz database that resolved it.
    pub(crate) tz: String,
}

impl Meant {
    pub(crate) fn now(local: NaiveDateTime, until: DateTime<Utc>) -> Self {
        Self { local, until, tz: tzdb_version().into() }
    }
}
