//! The timeline: listing it, and changing or taking away what people wrote.

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use chrono::{DateTime, Utc};
use crm::activity::{self, About, Activity, Edit, Filter, Kind as ActivityKind, Words};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::{IntoParams, ToSchema};

use super::log::{check_words, mentions};
use super::{ActivityBody, Named, show};
use crate::State;
use crate::input::{Body, Params, path_id};
use crate::page::{self, Cursors, Page};
use crate::problem::{Kind, Problem};
use crate::revision;
use crate::tenant::{self, Caller};

/// An activity with its revision as its `ETag`.
type Tagged = ([(HeaderName, String); 1], Json<ActivityBody>);

fn revision_of(activity: &Activity) -> String {
    revision::of(activity.updated_at.unwrap_or(activity.created_at))
}

fn tagged(activity: Activity) -> Tagged {
    let tag = revision::tag(revision_of(&activity));
    ([(header::ETAG, tag)], Json(show(activity)))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct List {
    contact_id: Option<String>,
    account_id: Option<String>,
    opportunity_id: Option<String>,
    /// `note call task email meeting system`.
    #[param(value_type = Option<String>)]
    kind: Option<ActivityKind>,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// The timeline, newest first.
#[utoipa::path(
    get, path = "/activities",
    params(List),
    responses((status = 200, description = "As asked", body = Page<ActivityBody>)),
    security(("bearer" = ["activities:read"])),
)]
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    cursors: Cursors,
    Params(wanted): Params<List>,
) -> Result<Json<Page<ActivityBody>>, Problem> {
    let limit = page::limit(wanted.limit)?;
    let List { contact_id, account_id, opportunity_id, .. } = wanted;
    let about: About = Named { contact_id, account_id, opportunity_id }.read()?;
    let filter = Filter {
        about,
        kind: wanted.kind.map(|kind| kind.word().to_owned()),
        before: cursors.read_instant(wanted.cursor.as_deref())?,
    };
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = activity::list(&mut tx, caller.customer_id, &filter, limit).await?;
    let cursor = |activity: &Activity| cursors.after_instant(activity.occurred_at, activity.id);
    Ok(Json(Page::of(found, limit, cursor, show)))
}

/// An activity.
#[utoipa::path(
    get, path = "/activities/{id}",
    responses((status = 200, description = "As asked", body = ActivityBody)),
    security(("bearer" = ["activities:read"])),
)]
pub(super) async fn find(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(activity): Path<String>,
) -> Result<Tagged, Problem> {
    let activity_id = path_id("act", &activity)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = activity::find(&mut *tx, caller.customer_id, activity_id).await?;
    found.map(tagged).ok_or_else(|| Problem::new(Kind::NotFound))
}

/// Locks what a person wrote; what the system tells stays as it is.
async fn lock(tx: &mut PgConnection, caller: &Caller, text: &str) -> Result<Activity, Problem> {
    let activity_id = path_id("act", text)?;
    let found = activity::lock(tx, caller.customer_id, activity_id).await?;
    let found = found.ok_or_else(|| Problem::new(Kind::NotFound))?;
    let by_people = [ActivityKind::Note, ActivityKind::Call].map(ActivityKind::word);
    if !by_people.contains(&found.kind.as_str()) || found.actor.starts_with("workflow:") {
        let detail = "only notes and calls that people wrote are theirs to change";
        return Err(Problem::new(Kind::WrongState).detail(detail));
    }
    Ok(found)
}

/// Other words for a note or a call.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ActivityChange)]
pub(super) struct Change {
    title: Option<String>,
    body: Option<String>,
}

/// Gives a note or a call other words; those of before can be read.
#[utoipa::path(
    patch, path = "/activities/{id}",
    request_body = Change,
    responses((status = 200, description = "As asked", body = ActivityBody)),
    security(("bearer" = ["activities:write"])),
)]
pub(super) async fn change(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(activity): Path<String>,
    headers: HeaderMap,
    Body(wanted): Body<Change>,
) -> Result<Tagged, Problem> {
    let customer_id = caller.customer_id;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let locked = lock(&mut tx, &caller, &activity).await?;
    revision::require(&headers, revision_of(&locked))?;
    let title = wanted.title.unwrap_or_else(|| locked.title.clone());
    let body = wanted.body.or_else(|| locked.body.clone());
    check_words(&title, body.as_deref())?;
    let mut data = locked.data.clone();
    let mentioned = mentions(&mut tx, customer_id, body.as_deref()).await?;
    if data.get("mentions").is_some() || !mentioned.is_empty() {
        data["mentions"] = mentioned.into();
    }
    let words = Words { title: &title, body: body.as_deref(), data: &data };
    activity::edit(&mut tx, customer_id, &locked, words, &caller.actor()).await?;
    let changed = activity::find(&mut *tx, customer_id, locked.id).await?;
    changed.map(tagged).ok_or_else(|| Problem::new(Kind::NotFound))
}

/// Takes a note or a call out of the timeline.
#[utoipa::path(
    delete, path = "/activities/{id}",
    responses((status = 204, description = "It is gone")),
    security(("bearer" = ["activities:write"])),
)]
pub(super) async fn delete(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(activity): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let locked = lock(&mut tx, &caller, &activity).await?;
    revision::check(&headers, revision_of(&locked))?;
    activity::delete(&mut *tx, caller.customer_id, locked.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What an activity said before.
#[derive(Serialize, ToSchema)]
#[schema(as = ActivityEdit)]
pub(super) struct EditBody {
    /// The how-manieth words they were, from 1.
    n: i32,
    title: String,
    body: Option<String>,
    /// Who changed them.
    editor: String,
    edited_at: DateTime<Utc>,
}

fn show_edit(edit: Edit) -> EditBody {
    let Edit { n, title, body, editor, edited_at } = edit;
    EditBody { n, title, body, editor, edited_at }
}

/// What an activity said before it was changed, the oldest first; all on one page.
#[utoipa::path(
    get, path = "/activities/{id}/edits",
    responses((status = 200, description = "As asked", body = Page<EditBody>)),
    security(("bearer" = ["activities:read"])),
)]
pub(super) async fn edits(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(activity): Path<String>,
) -> Result<Json<Page<EditBody>>, Problem> {
    let activity_id = path_id("act", &activity)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = activity::find(&mut *tx, caller.customer_id, activity_id).await?;
    let found = found.ok_or_else(|| Problem::new(Kind::NotFound))?;
    let edits = activity::edits(&mut *tx, caller.customer_id, found.id).await?;
    Ok(Json(Page::ending(edits.into_iter().map(show_edit).collect(), None)))
}
