//! Enrollments: read them, their history, and what a person does to one.

use axum::Json;
use axum::extract::{Path, State as Shared};
use chrono::{DateTime, Utc};
use crm::enrollment::{self, Enrollment, Filter};
use engine::definition_store::LoadError;
use engine::explain::{self, Explanation};
use engine::id;
use engine::run::{self, Action, Change, HistoryRow, State as RunState};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::State;
use crate::input::{Body, Params, optional_id, path_id};
use crate::page::{self, Cursors, Page, Paging};
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Caller};

/// The routes.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(find))
        .routes(routes!(history))
        .routes(routes!(explain))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(cancel))
        .routes(routes!(skip))
        .routes(routes!(jump))
        .routes(routes!(undo))
}

/// An enrollment as people read it.
#[derive(Serialize, ToSchema)]
#[schema(as = Enrollment)]
pub(super) struct EnrollmentBody {
    #[schema(example = "enr_01h455vb4pex5vsknk084sn02q")]
    id: String,
    sequence_id: String,
    version: i32,
    contact_id: String,
    mailbox_id: String,
    state: String,
    step: String,
    next_at: Option<DateTime<Utc>>,
    exit_reason: Option<String>,
    hold_reason: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

pub(super) fn show(enrollment: Enrollment) -> EnrollmentBody {
    EnrollmentBody {
        id: id::show("enr", enrollment.id),
        sequence_id: id::show("seq", enrollment.sequence_id),
        version: enrollment.version,
        contact_id: id::show("con", enrollment.contact_id),
        mailbox_id: id::show("epa", enrollment.mailbox_id),
        state: enrollment.state,
        step: enrollment.step,
        next_at: enrollment.next_at,
        exit_reason: enrollment.exit_reason,
        hold_reason: enrollment.hold_reason,
        created_at: enrollment.created_at,
        updated_at: enrollment.updated_at,
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct List {
    sequence_id: Option<String>,
    contact_id: Option<String>,
    state: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// Enrollments, newest first.
#[utoipa::path(
    get, path = "/enrollments",
    params(List),
    responses((status = 200, description = "As asked", body = Page<EnrollmentBody>)),
    security(("bearer" = ["enrollments:read"])),
)]
async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    cursors: Cursors,
    Params(wanted): Params<List>,
) -> Result<Json<Page<EnrollmentBody>>, Problem> {
    let limit = page::limit(wanted.limit)?;
    let filter = Filter {
        sequence_id: optional_id("sequence_id", "seq", wanted.sequence_id.as_deref())?,
        contact_id: optional_id("contact_id", "con", wanted.contact_id.as_deref())?,
        state: wanted.state,
        before: cursors.read_id(wanted.cursor.as_deref())?,
    };
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = enrollment::list(&mut *tx, caller.customer_id, &filter, limit).await?;
    Ok(Json(Page::of(found, limit, |enrollment| cursors.after_id(enrollment.id), show)))
}

/// An enrollment.
#[utoipa::path(
    get, path = "/enrollments/{id}",
    responses((status = 200, description = "As asked", body = EnrollmentBody)),
    security(("bearer" = ["enrollments:read"])),
)]
async fn find(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(enrollment): Path<String>,
) -> Result<Json<EnrollmentBody>, Problem> {
    let enrollment_id = path_id("enr", &enrollment)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = enrollment::find(&mut *tx, caller.customer_id, enrollment_id).await?;
    found.map(|found| Json(show(found))).ok_or_else(|| Problem::new(Kind::NotFound))
}

/// What an enrollment did, oldest first.
#[utoipa::path(
    get, path = "/enrollments/{id}/history",
    params(Paging),
    responses((status = 200, description = "As asked", body = Page<HistoryRow>)),
    security(("bearer" = ["enrollments:read"])),
)]
async fn history(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(enrollment): Path<String>,
    cursors: Cursors,
    Params(wanted): Params<Paging>,
) -> Result<Json<Page<HistoryRow>>, Problem> {
    let enrollment_id = path_id("enr", &enrollment)?;
    let limit = page::limit(wanted.limit)?;
    let after = cursors.read_number(wanted.cursor.as_deref())?;
    let after = i32::try_from(after).unwrap_or(i32::MAX);
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = enrollment::find(&mut *tx, caller.customer_id, enrollment_id).await?;
    found.ok_or_else(|| Problem::new(Kind::NotFound))?;
    let mut rows = run::history(&mut *tx, Some(caller.customer_id), enrollment_id, after).await?;
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(Json(Page::of(rows, limit, |row| cursors.after_number(row.seq.into()), |row| row)))
}

/// Why an enrollment has not continued yet: what it waits for, until when, and what would change it.
#[utoipa::path(
    get, path = "/enrollments/{id}/explain",
    responses((status = 200, description = "As asked", body = Explanation)),
    security(("bearer" = ["enrollments:read"])),
)]
async fn explain(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(enrollment): Path<String>,
) -> Result<Json<Explanation>, Problem> {
    let enrollment_id = path_id("enr", &enrollment)?;
    let missing = || Problem::new(Kind::NotFound);
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    enrollment::find(&mut *tx, caller.customer_id, enrollment_id).await?.ok_or_else(missing)?;
    let run = run::find(&mut *tx, Some(caller.customer_id), enrollment_id).await?;
    let forgotten = || missing().detail("its run has ended and was deleted after RETENTION_RUNS");
    let run = run.ok_or_else(forgotten)?;
    match explain::explain_in(&mut tx, &state.definitions, &run).await {
        Ok(explained) => Ok(Json(explained)),
        Err(LoadError::Database(error)) => Err(error.into()),
        Err(error @ (LoadError::Foreign(_) | LoadError::Unreadable(_))) => {
            Err(Problem::new(Kind::WrongState).detail(error.to_string()))
        }
    }
}

/// Pauses it; a pause moves no date for which it waits, and a length of time keeps its rest.
#[utoipa::path(
    post, path = "/enrollments/{id}/pause",
    responses((status = 200, description = "As asked", body = EnrollmentBody)),
    security(("bearer" = ["enrollments:write"])),
)]
async fn pause(
    shared: Shared<State>,
    caller: Caller,
    path: Path<String>,
) -> Result<Json<EnrollmentBody>, Problem> {
    act(shared, caller, path, Action::Pause).await
}

/// Goes on with a paused or held one.
#[utoipa::path(
    post, path = "/enrollments/{id}/resume",
    responses((status = 200, description = "As asked", body = EnrollmentBody)),
    security(("bearer" = ["enrollments:write"])),
)]
async fn resume(
    shared: Shared<State>,
    caller: Caller,
    path: Path<String>,
) -> Result<Json<EnrollmentBody>, Problem> {
    act(shared, caller, path, Action::Resume).await
}

/// Ends it.
#[utoipa::path(
    post, path = "/enrollments/{id}/cancel",
    responses((status = 200, description = "As asked", body = EnrollmentBody)),
    security(("bearer" = ["enrollments:write"])),
)]
async fn cancel(
    shared: Shared<State>,
    caller: Caller,
    path: Path<String>,
) -> Result<Json<EnrollmentBody>, Problem> {
    act(shared, caller, path, Action::Cancel).await
}

/// Skips its current step.
#[utoipa::path(
    post, path = "/enrollments/{id}/skip",
    responses((status = 200, description = "As asked", body = EnrollmentBody)),
    security(("bearer" = ["enrollments:write"])),
)]
async fn skip(
    shared: Shared<State>,
    caller: Caller,
    path: Path<String>,
) -> Result<Json<EnrollmentBody>, Problem> {
    act(shared, caller, path, Action::Skip).await
}

/// Undoes what it did, last step first, and ends it.
#[utoipa::path(
    post, path = "/enrollments/{id}/undo",
    responses((status = 200, description = "As asked", body = EnrollmentBody)),
    security(("bearer" = ["enrollments:write"])),
)]
async fn undo(
    shared: Shared<State>,
    caller: Caller,
    path: Path<String>,
) -> Result<Json<EnrollmentBody>, Problem> {
    act(shared, caller, path, Action::Undo).await
}

/// Where to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Jump {
    step: String,
}

/// Goes to another step.
#[utoipa::path(
    post, path = "/enrollments/{id}/jump",
    request_body = Jump,
    responses((status = 200, description = "As asked", body = EnrollmentBody)),
    security(("bearer" = ["enrollments:write"])),
)]
async fn jump(
    shared: Shared<State>,
    caller: Caller,
    path: Path<String>,
    Body(wanted): Body<Jump>,
) -> Result<Json<EnrollmentBody>, Problem> {
    act(shared, caller, path, Action::Jump { step: wanted.step }).await
}

/// Does what a person wants of an enrollment; one that stands there already stays as it is.
async fn act(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(enrollment): Path<String>,
    action: Action,
) -> Result<Json<EnrollmentBody>, Problem> {
    let enrollment_id = path_id("enr", &enrollment)?;
    let missing = || Problem::new(Kind::NotFound);
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    // A run that is no enrollment is not for this route.
    enrollment::find(&mut *tx, caller.customer_id, enrollment_id).await?.ok_or_else(missing)?;
    let actor = caller.actor();
    let (customer, definitions) = (caller.customer_id, &state.definitions);
    let ids = [enrollment_id];
    let changes = enrollment::act(&mut tx, definitions, customer, &ids, &action, &actor).await?;
    match changes.into_iter().next().ok_or_else(missing)? {
        Change::Changed { .. } => {}
        Change::Unchanged(stands) if Some(stands) == goal(&action) => {}
        Change::Unchanged(stands) => {
            let detail = format!("the enrollment is {}", stands.word());
            return Err(Problem::new(Kind::WrongState).detail(detail));
        }
        Change::Refused(reason) => return Err(Problem::new(Kind::WrongState).detail(reason)),
        Change::NotFound => return Err(missing()),
    }
    let found = enrollment::find(&mut *tx, caller.customer_id, enrollment_id).await?;
    let found = found.ok_or_else(missing)?;
    Ok(Json(show(found)))
}

/// The state to which an action leads, where that is all that it does.
fn goal(action: &Action) -> Option<RunState> {
    match action {
        Action::Pause => Some(RunState::Paused),
        Action::Resume | Action::Retry => Some(RunState::Live),
        Action::Cancel => Some(RunState::Cancelled),
        Action::Skip | Action::Jump { .. } | Action::Undo => None,
    }
}
