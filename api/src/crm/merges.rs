//! Contacts that are one person: who they may be, making them one, and parting them again.

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderName, StatusCode, header};
use chrono::{DateTime, Utc};
use crm::merge::{self, Duplicate, Merge, MergeError};
use engine::id;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::State;
use crate::input::{Body, field_id, path_id};
use crate::page::Page;
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Caller};

/// The routes.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(duplicates))
        .routes(routes!(merge_contacts))
        .routes(routes!(find))
        .routes(routes!(undo))
}

/// A contact that may be the same person.
#[derive(Serialize, ToSchema)]
#[schema(as = Duplicate)]
struct DuplicateBody {
    contact_id: String,
    /// How sure that is, of 100.
    score: i32,
    /// `address name similar_name domain phone`.
    reasons: Vec<String>,
}

/// Contacts that may be the same person, the surest first, at most 20 on one page.
#[utoipa::path(
    get, path = "/contacts/{id}/duplicates",
    responses((status = 200, description = "As asked", body = Page<DuplicateBody>)),
    security(("bearer" = ["contacts:read"])),
)]
async fn duplicates(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(contact): Path<String>,
) -> Result<Json<Page<DuplicateBody>>, Problem> {
    let contact_id = path_id("con", &contact)?;
    let customer_id = caller.customer_id;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = crm::contact::find(&mut *tx, customer_id, contact_id).await?;
    found.ok_or_else(|| Problem::new(Kind::NotFound))?;
    let found = merge::duplicates(&mut *tx, customer_id, contact_id).await?;
    let show = |Duplicate { contact_id, score, reasons }| {
        let contact_id = id::show("con", contact_id);
        DuplicateBody { contact_id, score, reasons }
    };
    Ok(Json(Page::ending(found.into_iter().map(show).collect(), None)))
}

/// Which contact becomes a part of the one in the path.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MergeWanted)]
struct Wanted {
    from_id: String,
}

/// Two contacts that were made one.
#[derive(Serialize, ToSchema)]
#[schema(as = Merge)]
struct MergeBody {
    #[schema(example = "mrg_01h455vb4pex5vsknk084sn02q")]
    id: String,
    contact_id: String,
    /// Who became a part of it.
    from_id: String,
    actor: String,
    created_at: DateTime<Utc>,
    /// When it was undone, else when it was made.
    updated_at: DateTime<Utc>,
    undone_at: Option<DateTime<Utc>>,
}

fn show(merge: Merge) -> MergeBody {
    MergeBody {
        id: id::show("mrg", merge.id),
        contact_id: id::show("con", merge.contact_id),
        from_id: id::show("con", merge.from_id),
        actor: merge.actor,
        created_at: merge.created_at,
        updated_at: merge.undone_at.unwrap_or(merge.created_at),
        undone_at: merge.undone_at,
    }
}

fn refused(error: MergeError) -> Problem {
    let message = error.to_string();
    match error {
        MergeError::NotFound => Problem::new(Kind::NotFound),
        MergeError::Same => Problem::invalid("from_id", message),
        MergeError::BothEnrolled(_) | MergeError::Undone => {
            Problem::new(Kind::WrongState).detail(message)
        }
        MergeError::Database(error) => error.into(),
    }
}

/// Makes another contact a part of this one: its activities, mails, tasks, enrollments and deals move here, and what this
/// one does not know is filled from it. It can be undone.
#[utoipa::path(
    post, path = "/contacts/{id}/merge",
    request_body = Wanted,
    responses((status = 201, description = "Made", body = MergeBody)),
    security(("bearer" = ["contacts:write"])),
)]
async fn merge_contacts(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(contact): Path<String>,
    Body(wanted): Body<Wanted>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<MergeBody>), Problem> {
    let contact_id = path_id("con", &contact)?;
    let from_id = field_id("from_id", "con", &wanted.from_id)?;
    let customer_id = caller.customer_id;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = crm::contact::find(&mut *tx, customer_id, contact_id).await?;
    found.ok_or_else(|| Problem::new(Kind::NotFound))?;
    let other = crm::contact::find(&mut *tx, customer_id, from_id).await?;
    other.ok_or_else(|| Problem::invalid("from_id", "there is no such contact"))?;
    let merged = merge::merge(&mut tx, customer_id, (contact_id, from_id), &caller.actor()).await;
    let merged = show(merged.map_err(refused)?);
    let location = format!("/api/v1/merges/{}", merged.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(merged)))
}

/// A merge.
#[utoipa::path(
    get, path = "/merges/{id}",
    responses((status = 200, description = "As asked", body = MergeBody)),
    security(("bearer" = ["contacts:read"])),
)]
async fn find(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(merged): Path<String>,
) -> Result<Json<MergeBody>, Problem> {
    let merge_id = path_id("mrg", &merged)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = merge::find(&mut *tx, caller.customer_id, merge_id).await?;
    found.map(|found| Json(show(found))).ok_or_else(|| Problem::new(Kind::NotFound))
}

/// Parts two contacts again: what moved goes back, and both are as they were, but for what was changed since.
#[utoipa::path(
    post, path = "/merges/{id}/undo",
    responses((status = 200, description = "As asked", body = MergeBody)),
    security(("bearer" = ["contacts:write"])),
)]
async fn undo(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(merged): Path<String>,
) -> Result<Json<MergeBody>, Problem> {
    let merge_id = path_id("mrg", &merged)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let undone = merge::undo(&mut tx, caller.customer_id, merge_id).await;
    Ok(Json(show(undone.map_err(refused)?)))
}
