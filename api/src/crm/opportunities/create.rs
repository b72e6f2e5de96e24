//! Making an opportunity.

use axum::Json;
use axum::extract::State as Shared;
use axum::http::{HeaderName, StatusCode, header};
use chrono::NaiveDate;
use crm::custom_field::Entity;
use crm::opportunity::{self, NewOpportunity};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::super::custom::{self, Of};
use super::super::references::{account, contacts, owner};
use super::{MoneyBody, OpportunityBody, check, refused, show};
use crate::State;
use crate::input::{Body, field_id, name};
use crate::problem::Problem;
use crate::tenant::{self, Caller};

/// An opportunity to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewOpportunity)]
pub(super) struct Create {
    #[schema(example = "Acme: 200 seats")]
    name: String,
    pipeline_id: String,
    /// A stage of the pipeline.
    stage_id: String,
    account_id: Option<String>,
    #[serde(default)]
    contact_ids: Vec<String>,
    value: Option<MoneyBody>,
    close_on: Option<NaiveDate>,
    /// Only at a stage that means lost.
    lost_reason: Option<String>,
    owner_id: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    /// Custom fields, by their keys.
    #[schema(value_type = Option<Object>)]
    #[serde(default)]
    custom: Map<String, Value>,
}

/// Makes an opportunity.
#[utoipa::path(
    post, path = "/opportunities",
    request_body = Create,
    responses((status = 201, description = "Made", body = OpportunityBody)),
    security(("bearer" = ["opportunities:write"])),
)]
pub(super) async fn create(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(new): Body<Create>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<OpportunityBody>), Problem> {
    check(new.lost_reason.as_deref(), &new.contact_ids, &new.tags)?;
    let name = name(&new.name)?;
    let customer_id = caller.customer_id;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    custom::check(&mut tx, customer_id, Entity::Opportunity, &new.custom, Of::New).await?;
    let record = NewOpportunity {
        account_id: account(&mut tx, customer_id, "account_id", new.account_id.as_deref()).await?,
        contact_ids: contacts(&mut tx, customer_id, "contact_ids", &new.contact_ids).await?,
        name,
        pipeline_id: field_id("pipeline_id", "pip", &new.pipeline_id)?,
        stage_id: field_id("stage_id", "stg", &new.stage_id)?,
        value: new.value.map(MoneyBody::read).transpose()?,
        close_on: new.close_on,
        lost_reason: new.lost_reason,
        owner_id: owner(&mut tx, customer_id, new.owner_id.as_deref()).await?,
        tags: new.tags,
        custom: new.custom,
    };
    let made = show(opportunity::create(&mut tx, customer_id, record).await.map_err(refused)?);
    let location = format!("/api/v1/opportunities/{}", made.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(made)))
}
