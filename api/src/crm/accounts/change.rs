//! Changing an account, deleting it, and bringing it back.

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use crm::account::{self, Account, Address, Change};
use crm::change::present;
use crm::custom_field::Entity;
use serde::Deserialize;
use serde_json::{Map, Value};
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::super::custom::{self, Of};
use super::super::references::owner;
use super::{AccountBody, Tagged, check, refused, show, tagged};
use crate::State;
use crate::input::{Body, name, path_id};
use crate::problem::{Kind, Problem};
use crate::revision;
use crate::tenant::{self, Caller};

/// What is to become of an account: what is left out stays, what is `null` is unknown from then on.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AccountChange)]
pub(in super::super) struct Wanted {
    name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    domain: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    industry: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<i32>)]
    employees: Option<Option<i32>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    phone: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    website: Option<Option<String>>,
    address: Option<Address>,
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
    /// Refuses what no two records can share.
    pub(in super::super) fn check_many(&self) -> Result<(), Problem> {
        match &self.name {
            Some(_) => Err(Problem::invalid("set.name", "is one account's alone")),
            None => Ok(()),
        }
    }

    /// The change, where all that it names is there.
    pub(in super::super) async fn read(
        self,
        tx: &mut PgConnection,
        customer_id: Uuid,
    ) -> Result<Change, Problem> {
        fn text(field: &Option<Option<String>>) -> Option<&str> {
            field.as_ref().and_then(Option::as_deref)
        }
        let texts = [
            ("domain", text(&self.domain)),
            ("industry", text(&self.industry)),
            ("phone", text(&self.phone)),
            ("website", text(&self.website)),
        ];
        let tags = self.tags.as_deref().unwrap_or_default();
        check(&texts, self.address.as_ref(), self.employees.flatten(), tags)?;
        let values = self.custom.unwrap_or_default();
        custom::check(&mut *tx, customer_id, Entity::Account, &values, Of::Change).await?;
        let owner_id = match self.owner_id {
            Some(named) => Some(owner(&mut *tx, customer_id, named.as_deref()).await?),
            None => None,
        };
        Ok(Change {
            name: self.name.as_deref().map(name).transpose()?,
            domain: self.domain,
            industry: self.industry,
            employees: self.employees,
            phone: self.phone,
            website: self.website,
            address: self.address,
            owner_id,
            tags: self.tags,
            custom: values,
        })
    }
}

async fn lock(tx: &mut PgConnection, caller: &Caller, text: &str) -> Result<Account, Problem> {
    let account_id = path_id("acc", text)?;
    let found = account::lock(tx, caller.customer_id, account_id).await?;
    found.ok_or_else(|| Problem::new(Kind::NotFound))
}

/// Changes what the body names.
#[utoipa::path(
    patch, path = "/accounts/{id}",
    request_body = Wanted,
    responses((status = 200, description = "As asked", body = AccountBody)),
    security(("bearer" = ["accounts:write"])),
)]
pub(super) async fn change(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(account): Path<String>,
    headers: HeaderMap,
    Body(wanted): Body<Wanted>,
) -> Result<Tagged, Problem> {
    let customer_id = caller.customer_id;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let locked = lock(&mut tx, &caller, &account).await?;
    revision::require(&headers, revision::of(locked.updated_at))?;
    let change = wanted.read(&mut tx, customer_id).await?;
    let changed = account::change(&mut tx, customer_id, locked, change).await;
    Ok(tagged(changed.map_err(refused)?))
}

/// Deletes an account; it can be restored, and its contacts stay.
#[utoipa::path(
    delete, path = "/accounts/{id}",
    responses((status = 204, description = "It is deleted")),
    security(("bearer" = ["accounts:write"])),
)]
pub(super) async fn delete(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(account): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let locked = lock(&mut tx, &caller, &account).await?;
    revision::check(&headers, revision::of(locked.updated_at))?;
    account::delete(&mut tx, caller.customer_id, locked.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Brings a deleted account back.
#[utoipa::path(
    post, path = "/accounts/{id}/restore",
    responses((status = 200, description = "As asked", body = AccountBody)),
    security(("bearer" = ["accounts:write"])),
)]
pub(super) async fn restore(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(account): Path<String>,
) -> Result<Json<AccountBody>, Problem> {
    let account_id = path_id("acc", &account)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = account::restore(&mut tx, caller.customer_id, account_id).await;
    let found = found.map_err(refused)?;
    found.map(|found| Json(show(found))).ok_or_else(|| Problem::new(Kind::NotFound))
}
