//! What is told of how much contacts care.

use engine::topic::{Described, Topic};
use schemars::JsonSchema;
use serde::Serialize;

use super::CONTACT;

pub(crate) const SCORED: Topic<Scored> =
    Topic::new("engagement.scored", 1, "A contact's engagement is at another level than before.");

pub(super) const TOPICS: [Described; 1] = [SCORED.describe()];

/// The data of [`SCORED`].
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Scored {
    /// The contact (`con_…`).
    #[schemars(regex(pattern = CONTACT))]
    pub(crate) contact_id: String,
    /// The score by which it has its level.
    pub(crate) score: i32,
    /// The level that it has now, by the customer's rules.
    pub(crate) level: String,
    /// The level that it had before.
    pub(crate) from_level: String,
}
