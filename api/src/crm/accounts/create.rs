//! Making an account.

use axum::Json;
use axum::extract::State as Shared;
use axum::http::{HeaderName, StatusCode, header};
use crm::account::{self, Address, NewAccount};
use crm::custom_field::Entity;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::super::custom::{self, Of};
use super::super::references::owner;
use super::{AccountBody, check, refused, show};
use crate::State;
use crate::input::{Body, name};
use crate::problem::Problem;
use crate::tenant::{self, Caller};

/// An account to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewAccount)]
pub(super) struct Create {
    #[schema(example = "Acme GmbH")]
    name: String,
    #[schema(example = "acme.example")]
    domain: Option<String>,
    industry: Option<String>,
    employees: Option<i32>,
    phone: Option<String>,
    website: Option<String>,
    #[serde(default)]
    address: Address,
    owner_id: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    /// Custom fields, by their keys.
    #[schema(value_type = Option<Object>)]
    #[serde(default)]
    custom: Map<String, Value>,
}

/// Makes an account.
#[utoipa::path(
    post, path = "/accounts",
    request_body = Create,
    responses((status = 201, description = "Made", body = AccountBody)),
    security(("bearer" = ["accounts:write"])),
)]
pub(super) async fn create(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(new): Body<Create>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<AccountBody>), Problem> {
    let texts = [
        ("domain", new.domain.as_deref()),
        ("industry", new.industry.as_deref()),
        ("phone", new.phone.as_deref()),
        ("website", new.website.as_deref()),
    ];
    check(&texts, Some(&new.address), new.employees, &new.tags)?;
    let name = name(&new.name)?;
    let customer_id = caller.customer_id;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    custom::check(&mut tx, customer_id, Entity::Account, &new.custom, Of::New).await?;
    let record = NewAccount {
        name,
        domain: new.domain,
        industry: new.industry,
        employees: new.employees,
        phone: new.phone,
        website: new.website,
        address: new.address,
        owner_id: owner(&mut tx, customer_id, new.owner_id.as_deref()).await?,
        tags: new.tags,
        custom: new.custom,
    };
    let made = show(account::create(&mut tx, customer_id, record).await.map_err(refused)?);
    let location = format!("/api/v1/accounts/{}", made.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(made)))
}
