//! Schedules: make one, change it, pause it, and read what became of its times.

mod plan;
mod preview;

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use engine::id;
use engine::schedule::{self, Fire, Schedule};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::State;
use crate::input::{Body, Params, path_id};
use crate::page::{self, Cursors, Page, Paging};
use crate::problem::{Kind, Problem};
use crate::revision;
use crate::tenant::{self, Asker, Caller};
use plan::{Change, Create};

/// The routes.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(preview::preview))
        .routes(routes!(find, change, remove))
        .routes(routes!(fires))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(fire))
}

/// A schedule as people read it.
#[derive(Serialize, ToSchema)]
#[schema(as = Schedule)]
struct ScheduleBody {
    id: String,
    customer_id: String,
    name: String,
    cron: String,
    zone: String,
    jitter: Option<String>,
    start: Option<StartBody>,
    #[schema(value_type = Object)]
    data: Value,
    overlap: String,
    catch_up: String,
    catch_up_limit: i32,
    state: String,
    next_at: Option<DateTime<Utc>>,
    last_fired_at: Option<DateTime<Utc>>,
    waiting: i32,
    revision: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ScheduleStart)]
struct StartBody {
    workflow: String,
    contact_id: String,
}

fn show(schedule: Schedule) -> ScheduleBody {
    let jitter = schedule.jitter_text();
    let start = schedule.workflow.zip(schedule.subject_id);
    ScheduleBody {
        id: id::show("sch", schedule.id),
        customer_id: id::show("cus", schedule.customer_id),
        name: schedule.name,
        cron: schedule.cron,
        zone: schedule.zone,
        jitter,
        start: start.map(|(workflow, subject_id)| StartBody {
            workflow,
            contact_id: id::show("con", subject_id),
        }),
        data: schedule.data,
        overlap: schedule.overlap,
        catch_up: schedule.catch_up,
        catch_up_limit: schedule.catch_up_limit,
        state: schedule.state,
        next_at: schedule.next_at,
        last_fired_at: schedule.last_fired_at,
        waiting: schedule.waiting,
        revision: schedule.revision,
        created_at: schedule.created_at,
        updated_at: schedule.updated_at,
    }
}

/// A schedule with its revision as its `ETag`.
type Tagged = ([(HeaderName, String); 1], Json<ScheduleBody>);

fn answer(schedule: Schedule) -> Tagged {
    let tag = revision::tag(schedule.revision);
    ([(header::ETAG, tag)], Json(show(schedule)))
}

/// Locks a schedule that the asker may see, and sees its customer's rows from here on.
async fn lock(tx: &mut PgConnection, asker: &Asker, text: &str) -> Result<Schedule, Problem> {
    let schedule_id = path_id("sch", text)?;
    let found = schedule::lock(tx, asker.customer_id, schedule_id).await?;
    let found = found.ok_or_else(|| Problem::new(Kind::NotFound))?;
    tenant::enter(tx, found.customer_id).await?;
    Ok(found)
}

/// Makes a schedule.
#[utoipa::path(
    post, path = "/ops/schedules",
    request_body = Create,
    responses((status = 201, description = "Made", body = ScheduleBody)),
    security(("bearer" = ["ops:write"])),
)]
async fn create(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(new): Body<Create>,
) -> Result<Response, Problem> {
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let plan = new.plan(&mut tx, caller.customer_id).await?;
    let made = schedule::create(&mut tx, caller.customer_id, &plan, &caller.actor()).await;
    let made = made.map_err(plan::refused)?;
    let location = format!("/api/v1/ops/schedules/{}", id::show("sch", made.id));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], answer(made)).into_response())
}

/// A schedule.
#[utoipa::path(
    get, path = "/ops/schedules/{id}",
    responses((status = 200, description = "As asked", body = ScheduleBody)),
    security(("bearer" = ["ops:read"])),
)]
async fn find(
    Shared(state): Shared<State>,
    asker: Asker,
    Path(schedule): Path<String>,
) -> Result<Response, Problem> {
    let schedule_id = path_id("sch", &schedule)?;
    let mut tx = tenant::begin(&state.pool, &asker).await?;
    let found = schedule::find(&mut *tx, asker.customer_id, schedule_id).await?;
    found.map(|found| answer(found).into_response()).ok_or_else(|| Problem::new(Kind::NotFound))
}

/// Schedules, newest first.
#[utoipa::path(
    get, path = "/ops/schedules",
    params(Paging),
    responses((status = 200, description = "As asked", body = Page<ScheduleBody>)),
    security(("bearer" = ["ops:read"])),
)]
async fn list(
    Shared(state): Shared<State>,
    asker: Asker,
    cursors: Cursors,
    Params(wanted): Params<Paging>,
) -> Result<Json<Page<ScheduleBody>>, Problem> {
    let limit = page::limit(wanted.limit)?;
    let before = cursors.read_id(wanted.cursor.as_deref())?;
    let mut tx = tenant::begin(&state.pool, &asker).await?;
    let found = schedule::list(&mut *tx, asker.customer_id, before, limit).await?;
    Ok(Json(Page::of(found, limit, |schedule| cursors.after_id(schedule.id), show)))
}

/// Changes what the body names.
#[utoipa::path(
    patch, path = "/ops/schedules/{id}",
    request_body = Change,
    responses((status = 200, description = "As asked", body = ScheduleBody)),
    security(("bearer" = ["ops:write"])),
)]
async fn change(
    Shared(state): Shared<State>,
    asker: Asker,
    Path(schedule): Path<String>,
    headers: HeaderMap,
    Body(wanted): Body<Change>,
) -> Result<Response, Problem> {
    let mut tx = tenant::begin(&state.pool, &asker).await?;
    let locked = lock(&mut tx, &asker, &schedule).await?;
    revision::require(&headers, locked.revision)?;
    let plan = wanted.plan(&mut tx, &locked).await?;
    let changed = schedule::change(&mut tx, &locked, &plan, &asker.actor()).await;
    let changed = changed.map_err(plan::refused)?;
    Ok(answer(changed).into_response())
}

/// Takes it away.
#[utoipa::path(
    delete, path = "/ops/schedules/{id}",
    responses((status = 204, description = "It is gone")),
    security(("bearer" = ["ops:write"])),
)]
async fn remove(
    Shared(state): Shared<State>,
    asker: Asker,
    Path(schedule): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let mut tx = tenant::begin(&state.pool, &asker).await?;
    let locked = lock(&mut tx, &asker, &schedule).await?;
    revision::check(&headers, locked.revision)?;
    schedule::remove(&mut tx, locked.customer_id, locked.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets it fire no more until it is resumed.
#[utoipa::path(
    post, path = "/ops/schedules/{id}/pause",
    responses((status = 200, description = "As asked", body = ScheduleBody)),
    security(("bearer" = ["ops:write"])),
)]
async fn pause(
    Shared(state): Shared<State>,
    asker: Asker,
    Path(schedule): Path<String>,
) -> Result<Tagged, Problem> {
    let mut tx = tenant::begin(&state.pool, &asker).await?;
    let locked = lock(&mut tx, &asker, &schedule).await?;
    Ok(answer(schedule::pause(&mut tx, &locked, &asker.actor()).await?))
}

/// Lets it fire again.
#[utoipa::path(
    post, path = "/ops/schedules/{id}/resume",
    responses((status = 200, description = "As asked", body = ScheduleBody)),
    security(("bearer" = ["ops:write"])),
)]
async fn resume(
    Shared(state): Shared<State>,
    asker: Asker,
    Path(schedule): Path<String>,
) -> Result<Tagged, Problem> {
    let mut tx = tenant::begin(&state.pool, &asker).await?;
    let locked = lock(&mut tx, &asker, &schedule).await?;
    let timing = locked.timing().map_err(|error| Problem::invalid("cron", error))?;
    Ok(answer(schedule::resume(&mut tx, &locked, &timing, &asker.actor()).await?))
}

/// Fires once, now.
#[utoipa::path(
    post, path = "/ops/schedules/{id}/fire",
    responses((status = 200, description = "As asked", body = ScheduleBody)),
    security(("bearer" = ["ops:write"])),
)]
async fn fire(
    Shared(state): Shared<State>,
    asker: Asker,
    Path(schedule): Path<String>,
) -> Result<Tagged, Problem> {
    let mut tx = tenant::begin(&state.pool, &asker).await?;
    let locked = lock(&mut tx, &asker, &schedule).await?;
    if locked.state == "paused" {
        return Err(Problem::new(Kind::WrongState).detail("it is paused; resume it first"));
    }
    if !schedule::fire(&mut tx, &locked).await? {
        let detail = "too many of its fires wait already for the run before";
        return Err(Problem::new(Kind::WrongState).detail(detail));
    }
    Ok(answer(lock(&mut tx, &asker, &schedule).await?))
}

/// What became of an occurrence, as people read it.
#[derive(Serialize, ToSchema)]
#[schema(as = ScheduleFire)]
struct FireBody {
    id: String,
    #[serde(flatten)]
    fire: Fire,
    run_id: Option<String>,
}

fn show_fire(fire: Fire) -> FireBody {
    FireBody {
        id: id::show("fire", fire.id),
        run_id: fire.run_id.map(|run| id::show("run", run)),
        fire,
    }
}

/// What became of its occurrences, newest first.
#[utoipa::path(
    get, path = "/ops/schedules/{id}/fires",
    params(Paging),
    responses((status = 200, description = "As asked", body = Page<FireBody>)),
    security(("bearer" = ["ops:read"])),
)]
async fn fires(
    Shared(state): Shared<State>,
    asker: Asker,
    Path(schedule): Path<String>,
    cursors: Cursors,
    Params(wanted): Params<Paging>,
) -> Result<Json<Page<FireBody>>, Problem> {
    let schedule_id = path_id("sch", &schedule)?;
    let limit = page::limit(wanted.limit)?;
    let before = cursors.read_instant(wanted.cursor.as_deref())?.map(|(at, _)| at);
    let mut tx = tenant::begin(&state.pool, &asker).await?;
    let found = schedule::find(&mut *tx, asker.customer_id, schedule_id).await?;
    let Some(found) = found else { return Err(Problem::new(Kind::NotFound)) };
    let fires = schedule::fires(&mut *tx, found.id, before, limit).await?;
    let cursor = |fire: &Fire| cursors.after_instant(fire.occurrence_at, fire.id);
    Ok(Json(Page::of(fires, limit, cursor, show_fire)))
}
