//! Lists: filters that somebody saved under a name.

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use chrono::{DateTime, Utc};
use crm::custom_field::{self, Entity};
use crm::filter::{Checked, Field, Filter};
use crm::saved_list::{self, SavedList};
use engine::id;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::State;
use crate::input::{Body, Params, name, path_id};
use crate::listing::refuse;
use crate::page::{self, Cursors, Page, Paging};
use crate::problem::{Kind, Problem};
use crate::revision;
use crate::tenant::{self, Caller};

/// The routes.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(find, change, delete))
}

/// A list as people read it.
#[derive(Serialize, ToSchema)]
#[schema(as = List)]
struct ListBody {
    #[schema(example = "lst_01h455vb4pex5vsknk084sn02q")]
    id: String,
    name: String,
    /// `account`, `contact` or `opportunity`.
    entity: String,
    filter: Filter,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

fn show(list: SavedList) -> ListBody {
    ListBody {
        id: id::show("lst", list.id),
        name: list.name,
        entity: list.entity,
        filter: list.filter.0,
        created_at: list.created_at,
        updated_at: list.updated_at,
    }
}

type Tagged = ([(HeaderName, String); 1], Json<ListBody>);

fn tagged(list: SavedList) -> Tagged {
    let tag = revision::tag(revision::of(list.updated_at));
    ([(header::ETAG, tag)], Json(show(list)))
}

/// What may be asked of records.
pub(super) fn fields(entity: Entity) -> &'static [Field] {
    match entity {
        Entity::Account => crm::account::FIELDS,
        Entity::Contact => crm::contact::LISTED,
        Entity::Opportunity => crm::opportunity::FIELDS,
    }
}

/// Reads a filter of a body against what the records have.
pub(super) async fn checked(
    tx: &mut PgConnection,
    customer_id: Uuid,
    entity: Entity,
    filter: &Filter,
) -> Result<Checked, Problem> {
    let custom = custom_field::of(tx, customer_id, entity).await?;
    Checked::read(filter, fields(entity), &custom).map_err(|refused| refuse("", &refused))
}

/// A list to save.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewList)]
struct Create {
    name: String,
    /// Of contacts by default.
    #[serde(default = "contacts")]
    entity: Entity,
    filter: Filter,
}

fn contacts() -> Entity {
    Entity::Contact
}

/// Saves a filter.
#[utoipa::path(
    post, path = "/lists",
    request_body = Create,
    responses((status = 201, description = "Made", body = ListBody)),
    security(("bearer" = ["lists:write"])),
)]
async fn create(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(new): Body<Create>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<ListBody>), Problem> {
    let name = name(&new.name)?;
    let customer_id = caller.customer_id;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    checked(&mut tx, customer_id, new.entity, &new.filter).await?;
    let made = saved_list::create(&mut *tx, customer_id, new.entity, &name, &new.filter).await?;
    let made = show(made);
    let location = format!("/api/v1/lists/{}", made.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(made)))
}

/// A list.
#[utoipa::path(
    get, path = "/lists/{id}",
    responses((status = 200, description = "As asked", body = ListBody)),
    security(("bearer" = ["lists:read"])),
)]
async fn find(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(list): Path<String>,
) -> Result<Tagged, Problem> {
    let list_id = path_id("lst", &list)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = saved_list::find(&mut *tx, caller.customer_id, list_id).await?;
    found.map(tagged).ok_or_else(|| Problem::new(Kind::NotFound))
}

/// Lists, newest first.
#[utoipa::path(
    get, path = "/lists",
    params(Paging),
    responses((status = 200, description = "As asked", body = Page<ListBody>)),
    security(("bearer" = ["lists:read"])),
)]
async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    cursors: Cursors,
    Params(wanted): Params<Paging>,
) -> Result<Json<Page<ListBody>>, Problem> {
    let limit = page::limit(wanted.limit)?;
    let before = cursors.read_id(wanted.cursor.as_deref())?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = saved_list::list(&mut *tx, caller.customer_id, before, limit).await?;
    Ok(Json(Page::of(found, limit, |list| cursors.after_id(list.id), show)))
}

/// What is to become of a list.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ListChange)]
struct Change {
    name: Option<String>,
    filter: Option<Filter>,
}

async fn lock(tx: &mut PgConnection, caller: &Caller, text: &str) -> Result<SavedList, Problem> {
    let list_id = path_id("lst", text)?;
    let found = saved_list::lock(tx, caller.customer_id, list_id).await?;
    found.ok_or_else(|| Problem::new(Kind::NotFound))
}

/// Changes what the body names.
#[utoipa::path(
    patch, path = "/lists/{id}",
    request_body = Change,
    responses((status = 200, description = "As asked", body = ListBody)),
    security(("bearer" = ["lists:write"])),
)]
async fn change(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(list): Path<String>,
    headers: HeaderMap,
    Body(wanted): Body<Change>,
) -> Result<Tagged, Problem> {
    let customer_id = caller.customer_id;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let locked = lock(&mut tx, &caller, &list).await?;
    revision::require(&headers, revision::of(locked.updated_at))?;
    let name = wanted.name.as_deref().map_or(Ok(locked.name), name)?;
    let filter = match wanted.filter {
        None => locked.filter.0,
        Some(filter) => {
            checked(&mut tx, customer_id, Entity::read(&locked.entity), &filter).await?;
            filter
        }
    };
    let changed = saved_list::change(&mut *tx, customer_id, locked.id, &name, &filter).await?;
    Ok(tagged(changed))
}

/// Takes a list away; the records that it shows stay.
#[utoipa::path(
    delete, path = "/lists/{id}",
    responses((status = 204, description = "It is gone")),
    security(("bearer" = ["lists:write"])),
)]
async fn delete(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(list): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let locked = lock(&mut tx, &caller, &list).await?;
    revision::check(&headers, revision::of(locked.updated_at))?;
    saved_list::delete(&mut *tx, caller.customer_id, locked.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
