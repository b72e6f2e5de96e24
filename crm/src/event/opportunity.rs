//! What is told of deals.

use std::collections::BTreeSet;

use engine::id;
use engine::topic::{Described, Topic};
use schemars::JsonSchema;
use serde::Serialize;

use super::{ACCOUNT, CONTACT, OPPORTUNITY, STAGE};
use crate::opportunity;

pub(crate) const CREATED: Topic<Opportunity> =
    Topic::new("opportunity.created", 1, "An opportunity was made.");
pub(crate) const LOST: Topic<Lost> =
    Topic::new("opportunity.lost", 1, "An opportunity came to a stage that means lost.");
pub(crate) const STAGE_CHANGED: Topic<StageChanged> =
    Topic::new("opportunity.stage_changed", 1, "An opportunity moved to another stage.");
pub(crate) const UPDATED: Topic<Updated> = Topic::new(
    "opportunity.updated",
    1,
    "Fields of an opportunity changed, or it was deleted or restored.",
);
pub(crate) const WON: Topic<Opportunity> =
    Topic::new("opportunity.won", 1, "An opportunity came to a stage that means won.");

pub(super) const TOPICS: [Described; 5] = [
    CREATED.describe(),
    LOST.describe(),
    STAGE_CHANGED.describe(),
    UPDATED.describe(),
    WON.describe(),
];

/// An opportunity as it stands after what is told: the data of [`CREATED`] and [`WON`], and what all of its events tell.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Opportunity {
    /// The opportunity (`opp_…`).
    #[schemars(regex(pattern = OPPORTUNITY))]
    opportunity_id: String,
    /// With which company (`acc_…`); null where with none.
    #[schemars(regex(pattern = ACCOUNT))]
    account_id: Option<String>,
    /// With whom (`con_…`).
    #[schemars(inner(regex(pattern = CONTACT)))]
    contact_ids: Vec<String>,
    /// At which stage of its pipeline (`stg_…`).
    #[schemars(regex(pattern = STAGE))]
    stage_id: String,
    /// `open`, `won` or `lost`.
    #[schemars(extend("enum" = ["open", "won", "lost"]))]
    status: String,
}

impl Opportunity {
    /// An opportunity as it stands.
    pub(crate) fn of(deal: &opportunity::Opportunity) -> Self {
        Self {
            opportunity_id: id::show("opp", deal.id),
            account_id: deal.account_id.map(|account| id::show("acc", account)),
            contact_ids: deal.contact_ids.iter().map(|one| id::show("con", *one)).collect(),
            stage_id: id::show("stg", deal.stage_id),
            status: deal.status.clone(),
        }
    }
}

/// The data of [`UPDATED`].
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Updated {
    #[serde(flatten)]
    pub(crate) opportunity: Opportunity,
    /// The names of the fields that changed, without their values; `deleted_at` where it was deleted or restored.
    pub(crate) changed: BTreeSet<String>,
}

/// The data of [`STAGE_CHANGED`].
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct StageChanged {
    #[serde(flatten)]
    pub(crate) opportunity: Opportunity,
    /// The stage at which it stood before (`stg_…`).
    #[schemars(regex(pattern = STAGE))]
    pub(crate) from_stage_id: String,
}

/// The data of [`LOST`].
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Lost {
    #[serde(flatten)]
    pub(crate) opportunity: Opportunity,
    /// Why it was lost; null where nobody said.
    pub(crate) reason: Option<String>,
}
