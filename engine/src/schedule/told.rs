//! What a fire tells.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::topic::Topic;

/// The topic of the event that every fire tells.
pub const FIRED: Topic<Fired> = Topic::new(
    "schedule.fired",
    1,
    "A schedule fired: by its expression, or since a person wished it.",
);

/// The data of [`FIRED`].
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Fired {
    /// The schedule's name.
    pub name: String,
    /// Which occurrence it is, without jitter; the instant of the wish where a person had it fire.
    pub occurrence_at: DateTime<Utc>,
    /// The workflow of which a run was to start; null where the schedule only tells.
    pub workflow: Option<String>,
    /// The run that was started (`run_…`); null where none was.
    #[schemars(regex(pattern = r"^run_[0-7][0-9a-hjkmnp-tv-z]{25}$"))]
    pub run_id: Option<String>,
    /// The JSON object that the schedule was given.
    #[schemars(with = "Map<String, Value>")]
    pub data: Value,
}
