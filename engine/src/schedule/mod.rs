//! Schedules: what comes again by the calendar of a zone. Each time a run of a workflow is started, or only an
//! event `schedule.fired` told, exactly once by any number of processes.
//!
//! Owns `engine.schedules` and `engine.schedule_fires`. When something is due is `timing::Cron`'s to say, what
//! becomes of it `decide`'s, and `worker::schedule` does it; people's wishes are statements here.

mod change;
mod decide;
mod due;
mod read;
mod record;
mod told;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

pub use change::{change, create, fire, lock, pause, remove, resume};
pub(crate) use decide::{Decision, decide};
pub use decide::{Planned, Timing};
pub(crate) use due::{Due, fired, look, open_runs, take, take_waiting, waiting_fire};
pub use read::{find, find_named, fires, list};
pub(crate) use record::{
    Way, fail_waiting, forget_fires, nothing_waits, put_back, replan, settle, write, write_waited,
};
pub use told::{FIRED, Fired};

use crate::timing::{Cron, Zone};

/// On which the workers are told of changes; apart from the runs' channel, on which much is told.
pub(crate) const CHANNEL: &str = "schedules";
/// The most schedules of a customer.
pub const MOST: i64 = 1_000;
/// The longest jitter.
pub const LONGEST_JITTER: Duration = Duration::from_secs(24 * 3_600);
/// The most missed occurrences that are caught up with.
pub const MOST_CAUGHT_UP: u16 = 100;
/// The most bytes of JSON that an event of it tells.
const MOST_DATA: usize = 16 * 1024;
/// How many fires may wait for the run before.
pub(crate) const MOST_WAITING: i32 = 100;

/// What becomes of a fire while a run of an earlier one has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It is left out.
    Skip,
    /// It waits until that run has ended, with at most 100 others, in their order.
    Queue,
    /// That run is cancelled.
    Replace,
    /// Both run.
    Allow,
}

impl Overlap {
    /// All of them, by their words.
    pub const WORDS: [&str; 4] = ["skip", "queue", "replace", "allow"];

    /// The one of a word.
    pub fn named(word: &str) -> Option<Self> {
        [Self::Skip, Self::Queue, Self::Replace, Self::Allow]
            .into_iter()
            .find(|overlap| overlap.word() == word)
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Queue => "queue",
            Self::Replace => "replace",
            Self::Allow => "allow",
        }
    }
}

/// What becomes of occurrences that nobody was there to fire, for over a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// They are left out.
    Skip,
    /// The last of them fires.
    Last,
    /// As many of the last as the limit says fire, in their order.
    All,
}

impl CatchUp {
    /// All of them, by their words.
    pub const WORDS: [&str; 3] = ["skip", "last", "all"];

    /// The one of a word.
    pub fn named(word: &str) -> Option<Self> {
        [Self::Skip, Self::Last, Self::All].into_iter().find(|policy| policy.word() == word)
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Last => "last",
            Self::All => "all",
        }
    }
}

/// What a schedule starts: the newest version of a workflow, about a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The workflow's name.
    pub workflow: String,
    /// What the runs are about.
    pub subject_id: Uuid,
}

/// All that people decide about a schedule.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Lowercase letters, digits, `-`, `_` and `.`; at most 100. Unique for the customer.
    pub name: String,
    /// When.
    pub cron: Cron,
    /// Where its local times count.
    pub zone: Zone,
    /// By how much at the most a fire is put off, drawn for each; never beyond the next occurrence. At most a
    /// day.
    pub jitter: Duration,
    /// What is started; where nothing is, it is only told.
    pub start: Option<Start>,
    /// A JSON object that is told with every fire; at most 16 KiB.
    pub data: Value,
    /// What becomes of a fire while a run of an earlier one has not ended.
    pub overlap: Overlap,
    /// What becomes of what was missed.
    pub catch_up: CatchUp,
    /// How many missed occurrences fire by `CatchUp::All`: 1 to 100.
    pub catch_up_limit: u16,
}

/// Why a schedule can't be so.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// A value is not allowed.
    #[error("{message}")]
    Invalid {
        /// Which field of the plan.
        field: &'static str,
        /// What is wrong, and what to write.
        message: String,
    },
    /// The customer has one of this name.
    #[error("there is a schedule `{0}` already; choose another name, or remove it first")]
    NameTaken(String),
    /// The customer has as many as there may be.
    #[error("there are {MOST} schedules, which is the most; remove one first")]
    TooMany,
    /// The database refused.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl Plan {
    /// Refuses what no schedule may be.
    fn check(&self) -> Result<(), ScheduleError> {
        let invalid = |field, message: String| Err(ScheduleError::Invalid { field, message });
        let plain = |letter: u8| {
            letter.is_ascii_lowercase() || letter.is_ascii_digit() || b"-_.".contains(&letter)
        };
        let begins = self.name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
        if !begins || self.name.len() > 100 || !self.name.bytes().all(plain) {
            let message =
                "is 1 to 100 lowercase letters, digits, `-`, `_` or `.`, such as `monday-review`";
            return invalid("name", message.into());
        }
        if self.jitter > LONGEST_JITTER || self.jitter.subsec_nanos() > 0 {
            return invalid("jitter", "is whole seconds up to a day, such as `10 minutes`".into());
        }
        if !self.data.is_object() || self.data.to_string().len() > MOST_DATA {
            return invalid("data", format!("is a JSON object of at most {MOST_DATA} bytes"));
        }
        if !(1..=MOST_CAUGHT_UP).contains(&self.catch_up_limit) {
            return invalid("catch_up_limit", format!("is a number from 1 to {MOST_CAUGHT_UP}"));
        }
        Ok(())
    }

    /// When it fires.
    pub fn timing(&self) -> Timing {
        Timing { cron: self.cron.clone(), zone: self.zone.clone(), jitter: self.jitter }
    }
}

/// A schedule as people read it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Schedule {
    /// Its id.
    #[serde(skip)]
    pub id: Uuid,
    /// Whose it is.
    #[serde(skip)]
    pub customer_id: Uuid,
    /// Its name.
    pub name: String,
    /// Its cron expression.
    pub cron: String,
    /// Its IANA zone.
    pub zone: String,
    /// By how much at the most a fire is put off.
    pub jitter_seconds: i32,
    /// The workflow that it starts, where it starts one.
    pub workflow: Option<String>,
    /// What its runs are about.
    #[serde(skip)]
    pub subject_id: Option<Uuid>,
    /// What its events tell.
    pub data: Value,
    /// `skip queue replace allow`.
    pub overlap: String,
    /// `skip last all`.
    pub catch_up: String,
    /// How many missed occurrences fire by `all`.
    pub catch_up_limit: i32,
    /// `live paused over`; over is one that no occurrence is left of.
    pub state: String,
    /// When it fires next, its share of the jitter added.
    pub next_at: Option<DateTime<Utc>>,
    /// When it fired last.
    pub last_fired_at: Option<DateTime<Utc>>,
    /// How many fires wait for the run before.
    pub waiting: i32,
    /// Counts what people changed, from 1.
    pub revision: i32,
    /// Who changed it last.
    pub actor: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When people changed it last.
    pub updated_at: DateTime<Utc>,
}

/// Whether a schedule may fire.
pub const STATES: [&str; 3] = ["live", "paused", "over"];
/// What may become of an occurrence.
pub const OUTCOMES: [&str; 6] = ["started", "told", "queued", "skipped", "missed", "failed"];

/// What became of an occurrence.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Fire {
    /// Its id.
    #[serde(skip)]
    pub id: Uuid,
    /// When it was due, without jitter; of those missed in a row, the first.
    pub occurrence_at: DateTime<Utc>,
    /// When that was decided, or when a fire that waited began.
    pub at: DateTime<Utc>,
    /// `started told queued skipped missed failed`.
    pub outcome: String,
    /// The run that it started.
    #[serde(skip)]
    pub run_id: Option<Uuid>,
    /// How many occurrences in a row were missed, counted up to 1,000.
    pub missed: Option<i32>,
    /// Why it was left out.
    pub reason: Option<String>,
}
