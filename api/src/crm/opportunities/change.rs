//! Changing an opportunity, deleting it, and bringing it back.

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use chrono::NaiveDate;
use crm::change::present;
use crm::custom_field::Entity;
use crm::opportunity::{self, Change, Opportunity};
use serde::Deserialize;
use serde_json::{Map, Value};
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::super::custom::{self, Of};
use super::super::references::{account, contacts, owner};
use super::{MoneyBody, OpportunityBody, Tagged, check, refused, show, tagged};
use crate::State;
use crate::input::{Body, field_id, name, optional_id, path_id};
use crate::problem::{Kind, Problem};
use crate::revision;
use crate::tenant::{self, Caller};

/// What is to become of an opportunity: what is left out stays, what is `null` is unknown from then on.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OpportunityChange)]
pub(in super::super) struct Wanted {
    name: Option<String>,
    /// Another pipeline, with one of its stages.
    pipeline_id: Option<String>,
    /// Where it stands from now on; what that stage means is its status.
    stage_id: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    account_id: Option<Option<String>>,
    /// All contacts, in place of those that are there.
    contact_ids: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<MoneyBody>)]
    value: Option<Option<MoneyBody>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<NaiveDate>)]
    close_on: Option<Option<NaiveDate>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    lost_reason: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    owner_id: Option<Option<String>>,
    /// All tags, in place of those that are there.
    tags: Option<Vec<String>>,
    /// Custom fields to set, by their keys; `null` takes one away, the others stay.
    #[schema(value_type = Option<Object>)]
    custom: Option<Map<String, Value>>,
}

impl Wanted {
    /// The change, where all that it names is there.
    pub(in super::super) async fn read(
        self,
        tx: &mut PgConnection,
        customer_id: Uuid,
    ) -> Result<Change, Problem> {
        let lost_reason = self.lost_reason.as_ref().and_then(Option::as_deref);
        let named = self.contact_ids.as_deref().unwrap_or_default();
        check(lost_reason, named, self.tags.as_deref().unwrap_or_default())?;
        let values = self.custom.unwrap_or_default();
        custom::check(&mut *tx, customer_id, Entity::Opportunity, &values, Of::Change).await?;
        let stage = match (&self.pipeline_id, &self.stage_id) {
            (None, None) => None,
            (Some(_), None) => {
                return Err(Problem::invalid(
                    "stage_id",
                    "stands with `pipeline_id`; name one of its stages",
                ));
            }
            (pipeline, Some(stage)) => {
                let pipeline_id = optional_id("pipeline_id", "pip", pipeline.as_deref())?;
                Some((pipeline_id, field_id("stage_id", "stg", stage)?))
            }
        };
        let account_id = match self.account_id {
            Some(named) => {
                Some(account(&mut *tx, customer_id, "account_id", named.as_deref()).await?)
            }
            None => None,
        };
        let contact_ids = match self.contact_ids {
            Some(named) => Some(contacts(&mut *tx, customer_id, "contact_ids", &named).await?),
            None => None,
        };
        let owner_id = match self.owner_id {
            Some(named) => Some(owner(&mut *tx, customer_id, named.as_deref()).await?),
            None => None,
        };
        let value = match self.value {
            Some(Some(value)) => Some(Some(value.read()?)),
            Some(None) => Some(None),
            None => None,
        };
        Ok(Change {
            account_id,
            contact_ids,
            name: self.name.as_deref().map(name).transpose()?,
            stage,
            value,
            close_on: self.close_on,
            lost_reason: self.lost_reason,
            owner_id,
            tags: self.tags,
            custom: values,
        })
    }
}

async fn lock(tx: &mut PgConnection, caller: &Caller, text: &str) -> Result<Opportunity, Problem> {
    let opportunity_id = path_id("opp", text)?;
    let found = opportunity::lock(tx, caller.customer_id, opportunity_id).await?;
    found.ok_or_else(|| Problem::new(Kind::NotFound))
}

/// Changes what the body names.
#[utoipa::path(
    patch, path = "/opportunities/{id}",
    request_body = Wanted,
    responses((status = 200, description = "As asked", body = OpportunityBody)),
    security(("bearer" = ["opportunities:write"])),
)]
pub(super) async fn change(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(deal): Path<String>,
    headers: HeaderMap,
    Body(wanted): Body<Wanted>,
) -> Result<Tagged, Problem> {
    let customer_id = caller.customer_id;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let locked = lock(&mut tx, &caller, &deal).await?;
    revision::require(&headers, revision::of(locked.updated_at))?;
    let change = wanted.read(&mut tx, customer_id).await?;
    let changed = opportunity::change(&mut tx, customer_id, locked, change).await;
    Ok(tagged(changed.map_err(refused)?))
}

/// Deletes an opportunity; it can be restored.
#[utoipa::path(
    delete, path = "/opportunities/{id}",
    responses((status = 204, description = "It is deleted")),
    security(("bearer" = ["opportunities:write"])),
)]
pub(super) async fn delete(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(deal): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let locked = lock(&mut tx, &caller, &deal).await?;
    revision::check(&headers, revision::of(locked.updated_at))?;
    opportunity::delete(&mut tx, caller.customer_id, &locked).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Brings a deleted opportunity back.
#[utoipa::path(
    post, path = "/opportunities/{id}/restore",
    responses((status = 200, description = "As asked", body = OpportunityBody)),
    security(("bearer" = ["opportunities:write"])),
)]
pub(super) async fn restore(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(deal): Path<String>,
) -> Result<Json<OpportunityBody>, Problem> {
    let opportunity_id = path_id("opp", &deal)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = opportunity::restore(&mut tx, caller.customer_id, opportunity_id).await?;
    found.map(|found| Json(show(found))).ok_or_else(|| Problem::new(Kind::NotFound))
}
