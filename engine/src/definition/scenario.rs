//! A definition's own tests: what happens to somebody, and what must have been done by when. Playing them is
//! `rehearsal`'s part; they are no part of what the definition says, so its hash leaves them out.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::{Map, Value};

use crate::timing::{Delay, Zone};

/// A test of a definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// What it shows.
    pub name: String,
    /// When the run starts, in the local time of `zone`.
    pub start: NaiveDateTime,
    /// Where the person lives.
    pub zone: Zone,
    /// The subject's fields.
    pub subject: Map<String, Value>,
    /// What happens, in any order.
    pub when: Vec<Happening>,
    /// What must come of it.
    pub then: Vec<Expectation>,
}

/// When something happens or must have happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Moment {
    /// So long after the start, such as `3 business days`.
    After(Delay),
    /// At a local time.
    At(NaiveDateTime),
}

/// Something that happens.
#[derive(Debug, Clone, PartialEq)]
pub struct Happening {
    /// When.
    pub at: Moment,
    /// What.
    pub what: Event,
}

/// What happens to a run from outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A signal comes.
    Signal {
        /// Its name.
        name: String,
        /// What it carries; without a `key` it is the one that the run waits for, if it waits for one.
        data: Value,
    },
    /// Something comes to be known of an earlier step, which expressions read as `steps.<id>.<field>`.
    Observed {
        /// The step's id.
        step: String,
        /// The fields.
        fields: Map<String, Value>,
    },
}

/// What must come of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    /// What.
    pub what: Expected,
    /// By when at the latest.
    pub by: Option<Moment>,
    /// At which minute.
    pub at: Option<Moment>,
}

/// What must come, or must not.
#[derive(Debug, Clone, PartialEq)]
pub enum Expected {
    /// A step is done.
    Done {
        /// Its id.
        step: String,
    },
    /// A step is not done.
    Never {
        /// Its id.
        step: String,
    },
    /// The run ends, or is held.
    Ends {
        /// `completed`, `exited` or `held`.
        state: String,
        /// Why, where that matters.
        reason: Option<String>,
    },
}

impl Moment {
    /// The instant that is meant, for somebody who started then.
    pub fn instant(
        &self,
        start: DateTime<Utc>,
        zone: &Zone,
        window: Option<&crate::timing::Window>,
    ) -> DateTime<Utc> {
        match self {
            Self::After(delay) => delay.due(start, zone, window, None),
            Self::At(local) => zone.resolve(*local),
        }
    }
}
