//! Writing opportunities, each with the events that tell of it.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use engine::outbox::{self, NewEvent};
use engine::{clock, id};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::PgConnection;

use uuid::Uuid;

use super::{Opportunity, find};
use crate::change::present;
use crate::custom_field;
use crate::event::opportunity::{self as event, Lost, StageChanged, Updated};
use crate::pipeline::Kind;
use crate::reach::Refusal;

/// Why an opportunity was not written.
#[derive(Debug, thiserror::Error)]
pub enum OpportunityError {
    /// The pipeline has no such stage.
    #[error("the pipeline has no such stage")]
    UnknownStage,
    /// The customer has no such account.
    #[error("there is no such account")]
    UnknownAccount,
    /// The customer has no such contact.
    #[error("there is no such contact")]
    UnknownContact,
    /// The customer has no such user.
    #[error("there is no such user")]
    UnknownOwner,
    /// The owner's records are out of the caller's reach.
    #[error("the owner belongs to another team")]
    OutOfReach,
    /// Only what was lost has a reason for that.
    #[error("stands only at a stage that means lost")]
    NotLost,
    /// The database refused.
    #[error(transparent)]
    Database(sqlx::Error),
}

impl From<sqlx::Error> for OpportunityError {
    fn from(error: sqlx::Error) -> Self {
        if Refusal::of(&error) == Some(Refusal::OutOfReach) {
            return Self::OutOfReach;
        }
        match error.as_database_error().and_then(|error| error.constraint()) {
            Some("opportunity_stage") => Self::UnknownStage,
            Some("opportunities_customer_id_account_id_fkey") => Self::UnknownAccount,
            Some("opportunities_customer_id_owner_id_fkey") => Self::UnknownOwner,
            Some("opportunity_contacts_customer_id_contact_id_fkey") => Self::UnknownContact,
            Some(_) | None => Self::Database(error),
        }
    }
}

/// A sum in a currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// Decimal digits, at most two after the point; it was read.
    pub amount: String,
    /// ISO 4217, three capital letters.
    pub currency: String,
}

/// An opportunity to make.
#[derive(Debug, Clone, PartialEq)]
pub struct NewOpportunity {
    /// See [`Opportunity`].
    pub account_id: Option<Uuid>,
    /// See [`Opportunity`].
    pub contact_ids: Vec<Uuid>,
    /// See [`Opportunity`].
    pub name: String,
    /// See [`Opportunity`].
    pub pipeline_id: Uuid,
    /// See [`Opportunity`].
    pub stage_id: Uuid,
    /// What it is worth.
    pub value: Option<Money>,
    /// See [`Opportunity`].
    pub close_on: Option<NaiveDate>,
    /// See [`Opportunity`].
    pub lost_reason: Option<String>,
    /// See [`Opportunity`].
    pub owner_id: Option<Uuid>,
    /// See [`Opportunity`].
    pub tags: Vec<String>,
    /// See [`Opportunity`].
    pub custom: Map<String, Value>,
}

/// What is to become of an opportunity; what is `None` stays, and an inner `None` is unknown from then on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Change {
    /// See [`Opportunity`].
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub account_id: Option<Option<Uuid>>,
    /// See [`Opportunity`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact_ids: Option<Vec<Uuid>>,
    /// See [`Opportunity`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The pipeline and one of its stages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<(Option<Uuid>, Uuid)>,
    /// What it is worth.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub value: Option<Option<Money>>,
    /// See [`Opportunity`].
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub close_on: Option<Option<NaiveDate>>,
    /// See [`Opportunity`].
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub lost_reason: Option<Option<String>>,
    /// See [`Opportunity`].
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub owner_id: Option<Option<Uuid>>,
    /// See [`Opportunity`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// The customer's own fields to set, by key; `null` takes one away, the others stay.
    pub custom: Map<String, Value>,
}

/// Makes an opportunity, and the event `opportunity.created`.
///
/// # Errors
/// What of it the customer does not have, or what the statements returned.
pub async fn create(
    tx: &mut PgConnection,
    customer_id: Uuid,
    new: NewOpportunity,
) -> Result<Opportunity, OpportunityError> {
    let kind = kind(&mut *tx, customer_id, new.pipeline_id, new.stage_id).await?;
    if new.lost_reason.is_some() && kind != Kind::Lost {
        return Err(OpportunityError::NotLost);
    }
    let id = clock::new_id();
    let (amount, currency) = new.value.map(|value| (value.amount, value.currency)).unzip();
    sqlx::query!(
        "insert into opportunities (customer_id, id, account_id, name, pipeline_id, stage_id, amount, currency, close_on,
           status, lost_reason, owner_id, tags, custom, closed_at, event_sequence)
         values ($1, $2, $3, $4, $5, $6, $7::text::numeric, $8, $9, $10::text, $11, $12, $13, $14,
           case when $10::text <> 'open' then engine.now() end, 1)",
        customer_id,
        id,
        new.account_id,
        new.name,
        new.pipeline_id,
        new.stage_id,
        amount,
        currency,
        new.close_on,
        kind.word(),
        new.lost_reason,
        new.owner_id,
        &new.tags,
        Value::Object(new.custom),
    )
    .execute(&mut *tx)
    .await?;
    link(&mut *tx, customer_id, id, &new.contact_ids).await?;
    let made = find(&mut *tx, customer_id, id).await?;
    let made = made.ok_or(OpportunityError::OutOfReach)?;
    let mut told = vec![What::Created];
    told.extend(closed(&made));
    tell(tx, customer_id, &made, 1, told).await?;
    Ok(made)
}

/// What it means to stand at a stage.
async fn kind(
    tx: &mut PgConnection,
    customer_id: Uuid,
    pipeline_id: Uuid,
    stage_id: Uuid,
) -> Result<Kind, OpportunityError> {
    let found = crate::pipeline::find(tx, customer_id, pipeline_id).await?;
    let mut stages = found.into_iter().flat_map(|pipeline| pipeline.stages);
    let stage = stages.find(|stage| stage.id == stage_id);
    stage.map(|stage| stage.kind).ok_or(OpportunityError::UnknownStage)
}

/// Puts these contacts in place of those that were there.
async fn link(
    tx: &mut PgConnection,
    customer_id: Uuid,
    id: Uuid,
    contacts: &[Uuid],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from opportunity_contacts
         where customer_id = $1 and opportunity_id = $2 and contact_id <> all($3)",
        customer_id,
        id,
        contacts,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "insert into opportunity_contacts (customer_id, opportunity_id, contact_id)
         select $1, $2, contact_id from unnest($3::uuid[]) as c(contact_id) on conflict do nothing",
        customer_id,
        id,
        contacts,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A live opportunity by id, locked against other changes.
///
/// # Errors
/// What the statements returned.
pub async fn lock(
    tx: &mut PgConnection,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Opportunity>, sqlx::Error> {
    sqlx::query!(
        "select from opportunities where customer_id = $1 and id = $2 and deleted_at is null for update",
        customer_id,
        id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    find(tx, customer_id, id).await
}

/// Changes an opportunity that [`lock`] gave. `opportunity.updated` tells of it, and `opportunity.stage_changed`, `won`
/// and `lost` where it moved.
///
/// # Errors
/// As [`create`].
pub async fn change(
    tx: &mut PgConnection,
    customer_id: Uuid,
    locked: Opportunity,
    change: Change,
) -> Result<Opportunity, OpportunityError> {
    let contact_ids = change.contact_ids.clone();
    let (mut wanted, changed) = apply(locked.clone(), change);
    if changed.is_empty() {
        return Ok(locked);
    }
    let moved = wanted.stage_id != locked.stage_id;
    if moved {
        let kind = kind(&mut *tx, customer_id, wanted.pipeline_id, wanted.stage_id).await?;
        wanted.status = kind.word().into();
        if kind != Kind::Lost && wanted.lost_reason == locked.lost_reason {
            wanted.lost_reason = None;
        }
    }
    if wanted.lost_reason.is_some() && wanted.status != Kind::Lost.word() {
        return Err(OpportunityError::NotLost);
    }
    let count = i64::from(moved) + i64::from(moved && wanted.status != "open") + 1;
    let sequence = update(&mut *tx, customer_id, &wanted, moved, count).await?;
    if let Some(contacts) = contact_ids {
        link(&mut *tx, customer_id, wanted.id, &contacts).await?;
    }
    let now = find(&mut *tx, customer_id, wanted.id).await?;
    let now = now.ok_or(OpportunityError::OutOfReach)?;
    let mut told = vec![What::Updated(changed)];
    if moved {
        told.push(What::Moved { from_stage_id: locked.stage_id });
        told.extend(closed(&now));
    }
    tell(tx, customer_id, &now, sequence - count + 1, told).await?;
    Ok(now)
}

async fn update(
    tx: &mut PgConnection,
    customer_id: Uuid,
    wanted: &Opportunity,
    moved: bool,
    told: i64,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        "update opportunities set account_id = $3, name = $4, pipeline_id = $5, stage_id = $6,
           amount = $7::text::numeric, currency = $8, close_on = $9, status = $10::text, lost_reason = $11,
           owner_id = $12, tags = $13, custom = $14,
           stage_changed_at = case when $15 then engine.now() else stage_changed_at end,
           closed_at = case when $10::text = 'open' then null when $15 then engine.now() else closed_at end,
           event_sequence = event_sequence + $16, updated_at = engine.now()
         where customer_id = $1 and id = $2 returning event_sequence",
        customer_id,
        wanted.id,
        wanted.account_id,
        wanted.name,
        wanted.pipeline_id,
        wanted.stage_id,
        wanted.amount,
        wanted.currency,
        wanted.close_on,
        wanted.status,
        wanted.lost_reason,
        wanted.owner_id,
        &wanted.tags,
        &wanted.custom as _,
        moved,
        told,
    )
    .fetch_one(tx)
    .await
}

/// Makes a change; gives the names of the fields that are others than before.
fn apply(mut deal: Opportunity, change: Change) -> (Opportunity, BTreeSet<String>) {
    let mut changed = BTreeSet::new();
    let mut note = |name: &str, is_another: bool| {
        if is_another {
            changed.insert(name.to_owned());
        }
    };
    if let Some(account_id) = change.account_id {
        note("account_id", account_id != deal.account_id);
        deal.account_id = account_id;
    }
    if let Some(contact_ids) = change.contact_ids {
        note("contact_ids", contact_ids != deal.contact_ids);
        deal.contact_ids = contact_ids;
    }
    if let Some(name) = change.name {
        note("name", name != deal.name);
        deal.name = name;
    }
    if let Some((pipeline_id, stage_id)) = change.stage {
        note("stage_id", stage_id != deal.stage_id);
        deal.pipeline_id = pipeline_id.unwrap_or(deal.pipeline_id);
        deal.stage_id = stage_id;
    }
    if let Some(value) = change.value {
        let (amount, currency) = value.map(|value| (value.amount, value.currency)).unzip();
        note("value", (&amount, &currency) != (&deal.amount, &deal.currency));
        (deal.amount, deal.currency) = (amount, currency);
    }
    if let Some(close_on) = change.close_on {
        note("close_on", close_on != deal.close_on);
        deal.close_on = close_on;
    }
    if let Some(lost_reason) = change.lost_reason {
        note("lost_reason", lost_reason != deal.lost_reason);
        deal.lost_reason = lost_reason;
    }
    if let Some(owner_id) = change.owner_id {
        note("owner_id", owner_id != deal.owner_id);
        deal.owner_id = owner_id;
    }
    if let Some(tags) = change.tags {
        note("tags", tags != deal.tags);
        deal.tags = tags;
    }
    for name in custom_field::set(&mut deal.custom, change.custom) {
        note(&name, true);
    }
    (deal, changed)
}

/// Deletes an opportunity that [`lock`] gave; it can be restored. `opportunity.updated` tells of it.
///
/// # Errors
/// What the statements returned.
pub async fn delete(
    tx: &mut PgConnection,
    customer_id: Uuid,
    locked: &Opportunity,
) -> Result<(), sqlx::Error> {
    let sequence = sqlx::query_scalar!(
        "update opportunities set deleted_at = engine.now(), updated_at = engine.now(),
           event_sequence = event_sequence + 1
         where customer_id = $1 and id = $2 and deleted_at is null returning event_sequence",
        customer_id,
        locked.id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(sequence) = sequence else { return Ok(()) };
    let told = vec![What::Updated(BTreeSet::from(["deleted_at".to_owned()]))];
    tell(tx, customer_id, locked, sequence, told).await
}

/// Restores a deleted opportunity, or gives the live one; `None` where there is none.
///
/// # Errors
/// What the statements returned.
pub async fn restore(
    tx: &mut PgConnection,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Opportunity>, sqlx::Error> {
    let sequence = sqlx::query_scalar!(
        "update opportunities set deleted_at = null, updated_at = engine.now(), event_sequence = event_sequence + 1
         where customer_id = $1 and id = $2 and deleted_at is not null returning event_sequence",
        customer_id,
        id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let found = find(&mut *tx, customer_id, id).await?;
    if let (Some(sequence), Some(found)) = (sequence, &found) {
        let told = vec![What::Updated(BTreeSet::from(["deleted_at".to_owned()]))];
        tell(tx, customer_id, found, sequence, told).await?;
    }
    Ok(found)
}

/// Something to tell of an opportunity.
enum What {
    Created,
    Updated(BTreeSet<String>),
    Moved { from_stage_id: Uuid },
    Won,
    Lost { reason: Option<String> },
}

impl What {
    /// The event of it, of an opportunity of which it is the one of this sequence.
    fn event(self, customer_id: Uuid, deal: &Opportunity, sequence: i64) -> NewEvent {
        let key = id::show("opp", deal.id);
        let opportunity = event::Opportunity::of(deal);
        match self {
            Self::Created => event::CREATED.event(customer_id, key, sequence, &opportunity),
            Self::Won => event::WON.event(customer_id, key, sequence, &opportunity),
            Self::Updated(changed) => {
                event::UPDATED.event(customer_id, key, sequence, &Updated { opportunity, changed })
            }
            Self::Moved { from_stage_id } => {
                let from_stage_id = id::show("stg", from_stage_id);
                let told = StageChanged { opportunity, from_stage_id };
                event::STAGE_CHANGED.event(customer_id, key, sequence, &told)
            }
            Self::Lost { reason } => {
                event::LOST.event(customer_id, key, sequence, &Lost { opportunity, reason })
            }
        }
    }
}

/// What else to tell of an opportunity that is decided.
fn closed(deal: &Opportunity) -> Option<What> {
    match deal.status.as_str() {
        "won" => Some(What::Won),
        "lost" => Some(What::Lost { reason: deal.lost_reason.clone() }),
        _open => None,
    }
}

/// Tells of an opportunity, in order, from this sequence on.
async fn tell(
    tx: &mut PgConnection,
    customer_id: Uuid,
    deal: &Opportunity,
    first: i64,
    told: Vec<What>,
) -> Result<(), sqlx::Error> {
    let event = |(sequence, what): (i64, What)| what.event(customer_id, deal, sequence);
    outbox::publish(tx, &(first..).zip(told).map(event).collect::<Vec<_>>()).await
}
