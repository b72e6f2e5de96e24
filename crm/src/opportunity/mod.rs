//! Opportunities: the deals that a customer works on. Owns `opportunities` and `opportunity_contacts`. A deal's status
//! is what its stage means.

mod list;
mod write;

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Map, Value};
use sqlx::types::Json;
use sqlx::{FromRow, PgExecutor};
use uuid::Uuid;

pub use list::{FIELDS, SORTS, STATUSES, list};
pub use write::{
    Change, Money, NewOpportunity, OpportunityError, change, create, delete, lock, restore,
};

/// An opportunity.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct Opportunity {
    /// Its id (`opp_…`).
    pub id: Uuid,
    /// With which company.
    pub account_id: Option<Uuid>,
    /// With whom.
    pub contact_ids: Vec<Uuid>,
    /// What people call it.
    pub name: String,
    /// In which pipeline.
    pub pipeline_id: Uuid,
    /// At which of its stages.
    pub stage_id: Uuid,
    /// What it is worth, in decimal digits; with its currency, or neither.
    pub amount: Option<String>,
    /// ISO 4217.
    pub currency: Option<String>,
    /// When it is thought to be decided.
    pub close_on: Option<NaiveDate>,
    /// `open`, `won` or `lost`.
    pub status: String,
    /// Why it was lost.
    pub lost_reason: Option<String>,
    /// Whose it is.
    pub owner_id: Option<Uuid>,
    /// Free words.
    pub tags: Vec<String>,
    /// The customer's own fields.
    pub custom: Json<Map<String, Value>>,
    /// Since when it stands at its stage.
    pub stage_changed_at: DateTime<Utc>,
    /// When it was won or lost.
    pub closed_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// A live opportunity by id.
///
/// # Errors
/// What the statement returned.
pub async fn find(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Opportunity>, sqlx::Error> {
    sqlx::query_as!(
        Opportunity,
        r#"select o.id, o.account_id,
             array(select contact_id from opportunity_contacts p
               where p.customer_id = o.customer_id and p.opportunity_id = o.id order by contact_id) as "contact_ids!",
             o.name, o.pipeline_id, o.stage_id, o.amount::text as amount, o.currency, o.close_on, o.status,
             o.lost_reason, o.owner_id, o.tags, o.custom as "custom: Json<Map<String, Value>>", o.stage_changed_at,
             o.closed_at, o.created_at, o.updated_at
           from opportunities o where o.customer_id = $1 and o.id = $2 and o.deleted_at is null"#,
        customer_id,
        id,
    )
    .fetch_optional(db)
    .await
}
