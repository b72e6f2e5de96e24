//! What is told of what people and workflows log.

use engine::topic::{Described, Topic};
use schemars::JsonSchema;
use serde::Serialize;

use super::ACTIVITY;

pub(crate) const LOGGED: Topic<Logged> = Topic::new(
    "activity.logged",
    1,
    "A person or a workflow wrote a note, a call or another line into a timeline.",
);

pub(super) const TOPICS: [Described; 1] = [LOGGED.describe()];

/// The data of [`LOGGED`].
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Logged {
    /// The activity (`act_…`).
    #[schemars(regex(pattern = ACTIVITY))]
    pub(crate) activity_id: String,
}
