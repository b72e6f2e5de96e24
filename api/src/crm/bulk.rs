//! The same change to many records: those of some ids at once, those that a filter matches in the background.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use crm::bulk_change::{self, BulkChange, NewBulkChange, Wanted};
use crm::custom_field::Entity;
use crm::filter::Filter;
use engine::id;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::background::{self, Work};
use super::lists::checked;
use super::{accounts, contacts, opportunities};
use crate::State;
use crate::input::{Body, field_id, names_nothing, names_twice, path_id};
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Caller};

/// The most records of one request by id.
const MOST: usize = 500;

/// The routes.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(change_accounts))
        .routes(routes!(change_contacts))
        .routes(routes!(change_opportunities))
        .routes(routes!(find))
        .routes(routes!(stop))
}

/// Which accounts, and what is to become of them.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BulkAccounts {
    ids: Option<Vec<String>>,
    filter: Option<Filter>,
    /// As in a PATCH, without the name.
    set: accounts::Wanted,
    /// Only say which.
    #[serde(default)]
    preview: bool,
}

/// Which contacts, and what is to become of them.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BulkContacts {
    ids: Option<Vec<String>>,
    filter: Option<Filter>,
    /// As in a PATCH, without the address.
    set: contacts::Wanted,
    /// Only say which.
    #[serde(default)]
    preview: bool,
}

/// Which opportunities, and what is to become of them.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BulkOpportunities {
    ids: Option<Vec<String>>,
    filter: Option<Filter>,
    /// As in a PATCH; one whose pipeline has no such stage stays as it is.
    set: opportunities::Wanted,
    /// Only say which.
    #[serde(default)]
    preview: bool,
}

/// A bulk change as people read it.
#[derive(Serialize, ToSchema)]
#[schema(as = BulkChange)]
struct BulkBody {
    #[schema(example = "blk_01h455vb4pex5vsknk084sn02q")]
    id: String,
    /// `account`, `contact` or `opportunity`.
    entity: String,
    /// `queued running done failed stopped`.
    status: String,
    /// How many matched when it was ordered, counted up to 10,000.
    total: i64,
    /// How many became others.
    changed: i64,
    /// How many stayed as they were.
    skipped: i64,
    /// Why it failed, or why the first of those that were refused stayed as it was.
    error: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
}

fn show(change: BulkChange) -> BulkBody {
    BulkBody {
        id: id::show("blk", change.id),
        entity: change.entity,
        status: change.status,
        total: change.total,
        changed: change.changed,
        skipped: change.skipped,
        error: change.error,
        created_at: change.created_at,
        updated_at: change.updated_at,
        ended_at: change.ended_at,
    }
}

/// What a request by id changed, or what a preview matches.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Bulk {
    Changed {
        changed: usize,
        skipped: usize,
        /// Why the first of those that were refused stayed as it was.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    Matched {
        /// Counted up to 10,000.
        matched: i64,
        more: bool,
        sample: Vec<String>,
    },
}

/// Which records a request names.
struct Asked {
    entity: Entity,
    ids: Option<Vec<String>>,
    filter: Option<Filter>,
    preview: bool,
}

/// Changes accounts, by id at once or by filter in the background.
#[utoipa::path(
    post, path = "/accounts/bulk",
    request_body = BulkAccounts,
    responses((status = 200, description = "What changed, or what a filter matches", body = Bulk), (status = 202, description = "Ordered", body = BulkBody)),
    security(("bearer" = ["accounts:write"])),
)]
async fn change_accounts(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(BulkAccounts { ids, filter, set, preview }): Body<BulkAccounts>,
) -> Result<Response, Problem> {
    set.check_many()?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let wanted = Wanted::Account(set.read(&mut tx, caller.customer_id).await?);
    let asked = Asked { entity: Entity::Account, ids, filter, preview };
    order(&state, &mut tx, &caller, asked, wanted).await
}

/// Changes contacts, by id at once or by filter in the background.
#[utoipa::path(
    post, path = "/contacts/bulk",
    request_body = BulkContacts,
    responses((status = 200, description = "What changed, or what a filter matches", body = Bulk), (status = 202, description = "Ordered", body = BulkBody)),
    security(("bearer" = ["contacts:write"])),
)]
async fn change_contacts(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(BulkContacts { ids, filter, set, preview }): Body<BulkContacts>,
) -> Result<Response, Problem> {
    set.check_many()?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let wanted = Wanted::Contact(set.read(&mut tx, caller.customer_id).await?);
    let asked = Asked { entity: Entity::Contact, ids, filter, preview };
    order(&state, &mut tx, &caller, asked, wanted).await
}

/// Changes opportunities, by id at once or by filter in the background.
#[utoipa::path(
    post, path = "/opportunities/bulk",
    request_body = BulkOpportunities,
    responses((status = 200, description = "What changed, or what a filter matches", body = Bulk), (status = 202, description = "Ordered", body = BulkBody)),
    security(("bearer" = ["opportunities:write"])),
)]
async fn change_opportunities(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(BulkOpportunities { ids, filter, set, preview }): Body<BulkOpportunities>,
) -> Result<Response, Problem> {
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let wanted = Wanted::Opportunity(set.read(&mut tx, caller.customer_id).await?);
    let asked = Asked { entity: Entity::Opportunity, ids, filter, preview };
    order(&state, &mut tx, &caller, asked, wanted).await
}

async fn order(
    state: &State,
    tx: &mut PgConnection,
    caller: &Caller,
    asked: Asked,
    wanted: Wanted,
) -> Result<Response, Problem> {
    let Asked { entity, ids, filter, preview } = asked;
    let customer_id = caller.customer_id;
    match (ids, filter) {
        (Some(ids), None) => {
            let ids = read(entity, &ids)?;
            if preview {
                let ids = bulk_change::reached(tx, customer_id, entity, &ids).await?;
                let sample = ids.iter().map(|one| id::show(prefix(entity), *one)).collect();
                let matched = i64::try_from(ids.len()).unwrap_or(i64::MAX);
                return Ok(Json(Bulk::Matched { matched, more: false, sample }).into_response());
            }
            let applied = bulk_change::apply(tx, customer_id, &ids, &wanted).await?;
            let skipped = ids.len() - applied.changed;
            let answer =
                Bulk::Changed { changed: applied.changed, skipped, error: applied.refused };
            Ok(Json(answer).into_response())
        }
        (None, Some(filter)) if !filter.is_empty() => {
            let matching = checked(&mut *tx, customer_id, entity, &filter).await?;
            let found = bulk_change::preview(&mut *tx, customer_id, entity, &matching).await?;
            if preview {
                let sample =
                    found.sample.iter().map(|one| id::show(prefix(entity), *one)).collect();
                let matched = Bulk::Matched { matched: found.matched, more: found.more, sample };
                return Ok(Json(matched).into_response());
            }
            let (actor, reach) = (caller.actor(), caller.reach());
            let new = NewBulkChange {
                filter: &filter,
                wanted: &wanted,
                actor: &actor,
                reach: reach.as_ref(),
                total: found.matched,
            };
            let ordered = bulk_change::order(&mut *tx, customer_id, &new).await?;
            background::start(&mut *tx, state, customer_id, ordered, Work::BulkChange).await?;
            let made = bulk_change::find(tx, customer_id, ordered).await?;
            let made = made.ok_or_else(|| Problem::new(Kind::Internal))?;
            Ok((StatusCode::ACCEPTED, Json(show(made))).into_response())
        }
        (None, Some(_)) => {
            let message = "is empty; name at least one field";
            Err(Problem::invalid("filter", message))
        }
        (Some(_), Some(_)) => Err(names_twice()),
        (None, None) => Err(names_nothing()),
    }
}

fn prefix(entity: Entity) -> &'static str {
    match entity {
        Entity::Account => "acc",
        Entity::Contact => "con",
        Entity::Opportunity => "opp",
    }
}

/// Sorted, so that two requests for the same records wait for each other instead of locking each other out.
fn read(entity: Entity, ids: &[String]) -> Result<Vec<Uuid>, Problem> {
    if !(1..=MOST).contains(&ids.len()) {
        let message = format!("has {} entries; give 1 to {MOST}, or use a filter", ids.len());
        return Err(Problem::invalid("ids", message));
    }
    let one = |(at, text): (usize, &String)| field_id(&format!("ids[{at}]"), prefix(entity), text);
    let read: BTreeSet<Uuid> = ids.iter().enumerate().map(one).collect::<Result<_, Problem>>()?;
    Ok(read.into_iter().collect())
}

/// A bulk change, and how far it is.
#[utoipa::path(
    get, path = "/bulk-changes/{id}",
    responses((status = 200, description = "As asked", body = BulkBody)),
    security(("bearer" = ["contacts:read"])),
)]
async fn find(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(change): Path<String>,
) -> Result<Json<BulkBody>, Problem> {
    let change_id = path_id("blk", &change)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    seen(&mut tx, &caller, change_id).await.map(|found| Json(show(found)))
}

/// A bulk change that the caller ordered; an admin's is everybody's.
async fn seen(
    tx: &mut PgConnection,
    caller: &Caller,
    change_id: Uuid,
) -> Result<BulkChange, Problem> {
    let found = bulk_change::find(tx, caller.customer_id, change_id).await?;
    let own = |found: &BulkChange| !caller.owns_only("ops:write") || found.actor == caller.actor();
    found.filter(own).ok_or_else(|| Problem::new(Kind::NotFound))
}

/// Stops a bulk change; what is changed stays.
#[utoipa::path(
    post, path = "/bulk-changes/{id}/stop",
    responses((status = 200, description = "As asked", body = BulkBody)),
    security(("bearer" = ["contacts:write"])),
)]
async fn stop(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(change): Path<String>,
) -> Result<Json<BulkBody>, Problem> {
    let change_id = path_id("blk", &change)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    seen(&mut tx, &caller, change_id).await?;
    bulk_change::stop(&mut *tx, caller.customer_id, change_id).await?;
    seen(&mut tx, &caller, change_id).await.map(|found| Json(show(found)))
}
