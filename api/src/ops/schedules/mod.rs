//! Schedules: make one, change it, pause it, and read what became of its times.

mod plan;
mod preview;
mod revision;

use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use engine::id;
use engine::schedule::{self, Fire, Schedule};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;

use crate::State;
use crate::input::{Body, Params, path_id};
use crate::page::{self, Page};
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Admin, Caller};
use plan::{Change, Create};

/// The routes: whoever logs in reads, owners and admins write.
pub(super) fn router() -> Router<State> {
    Router::new()
        .route("/ops/schedules", get(list).post(create))
        .route("/ops/schedules/preview", post(preview::preview))
        .route("/ops/schedules/{id}", get(find).patch(change).delete(remove))
        .route("/ops/schedules/{id}/fires", get(fires))
        .route("/ops/schedules/{id}/{action}", post(act))
}

/// A schedule as people read it.
#[derive(Serialize)]
struct ScheduleBody {
    id: String,
    name: String,
    cron: String,
    zone: String,
    jitter: Option<String>,
    start: Option<StartBody>,
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

#[derive(Serialize)]
struct StartBody {
    workflow: String,
    contact_id: String,
}

fn show(schedule: Schedule) -> ScheduleBody {
    let jitter = schedule.jitter_text();
    let start = schedule.workflow.zip(schedule.subject_id);
    ScheduleBody {
        id: id::show("sch", schedule.id),
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
fn answer(schedule: Schedule) -> ([(HeaderName, String); 1], Json<ScheduleBody>) {
    let tag = revision::tag(schedule.revision);
    ([(header::ETAG, tag)], Json(show(schedule)))
}

/// Locks a schedule of the caller's customer.
async fn lock(tx: &mut PgConnection, caller: Caller, text: &str) -> Result<Schedule, Problem> {
    let schedule_id = path_id("sch", text)?;
    let found = schedule::lock(tx, caller.customer_id, schedule_id).await?;
    found.ok_or_else(|| Problem::new(Kind::NotFound))
}

async fn create(
    Shared(state): Shared<State>,
    Admin(caller): Admin,
    Body(new): Body<Create>,
) -> Result<Response, Problem> {
    let mut tx = tenant::begin(&state.pool, caller.customer_id).await?;
    let plan = new.plan(&mut tx, caller.customer_id).await?;
    let made = schedule::create(&mut tx, caller.customer_id, &plan, &caller.actor()).await;
    let made = made.map_err(plan::refused)?;
    tx.commit().await?;
    let location = format!("/api/v1/ops/schedules/{}", id::show("sch", made.id));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], answer(made)).into_response())
}

async fn find(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(schedule): Path<String>,
) -> Result<Response, Problem> {
    let schedule_id = path_id("sch", &schedule)?;
    let mut tx = tenant::begin(&state.pool, caller.customer_id).await?;
    let found = schedule::find(&mut *tx, caller.customer_id, schedule_id).await?;
    found.map(|found| answer(found).into_response()).ok_or_else(|| Problem::new(Kind::NotFound))
}

/// Which page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    limit: Option<u32>,
    cursor: Option<String>,
}

async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    Params(wanted): Params<List>,
) -> Result<Json<Page<ScheduleBody>>, Problem> {
    let limit = page::limit(wanted.limit)?;
    let before = page::read_id(wanted.cursor.as_deref())?;
    let mut tx = tenant::begin(&state.pool, caller.customer_id).await?;
    let found = schedule::list(&mut *tx, caller.customer_id, before, limit).await?;
    Ok(Json(Page::of(found, limit, |schedule| page::after_id(schedule.id), show)))
}

/// Changes what the body names; by `If-Match` only what nobody has changed meanwhile.
async fn change(
    Shared(state): Shared<State>,
    Admin(caller): Admin,
    Path(schedule): Path<String>,
    headers: HeaderMap,
    Body(wanted): Body<Change>,
) -> Result<Response, Problem> {
    let mut tx = tenant::begin(&state.pool, caller.customer_id).await?;
    let locked = lock(&mut tx, caller, &schedule).await?;
    revision::check(&headers, locked.revision)?;
    let plan = wanted.plan(&mut tx, &locked).await?;
    let changed = schedule::change(&mut tx, &locked, &plan, &caller.actor()).await;
    let changed = changed.map_err(plan::refused)?;
    tx.commit().await?;
    Ok(answer(changed).into_response())
}

async fn remove(
    Shared(state): Shared<State>,
    Admin(caller): Admin,
    Path(schedule): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let mut tx = tenant::begin(&state.pool, caller.customer_id).await?;
    let locked = lock(&mut tx, caller, &schedule).await?;
    revision::check(&headers, locked.revision)?;
    schedule::remove(&mut tx, caller.customer_id, locked.id).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn act(
    Shared(state): Shared<State>,
    Admin(caller): Admin,
    Path((schedule, action)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let mut tx = tenant::begin(&state.pool, caller.customer_id).await?;
    let locked = lock(&mut tx, caller, &schedule).await?;
    let acted = match action.as_str() {
        "pause" => schedule::pause(&mut tx, &locked, &caller.actor()).await?,
        "resume" => {
            let timing = locked.timing().map_err(|error| Problem::invalid("cron", error))?;
            schedule::resume(&mut tx, &locked, &timing, &caller.actor()).await?
        }
        "fire" if locked.state == "paused" => {
            return Err(Problem::new(Kind::WrongState).detail("it is paused; resume it first"));
        }
        "fire" => {
            if !schedule::fire(&mut tx, &locked).await? {
                let detail = "too many of its fires wait already for the run before";
                return Err(Problem::new(Kind::WrongState).detail(detail));
            }
            lock(&mut tx, caller, &schedule).await?
        }
        _other => return Err(Problem::new(Kind::NotFound)),
    };
    tx.commit().await?;
    Ok(answer(acted).into_response())
}

/// What became of an occurrence, as people read it.
#[derive(Serialize)]
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

async fn fires(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(schedule): Path<String>,
    Params(wanted): Params<List>,
) -> Result<Json<Page<FireBody>>, Problem> {
    let schedule_id = path_id("sch", &schedule)?;
    let limit = page::limit(wanted.limit)?;
    let before = page::read_instant(wanted.cursor.as_deref())?.map(|(at, _)| at);
    let mut tx = tenant::begin(&state.pool, caller.customer_id).await?;
    let found = schedule::find(&mut *tx, caller.customer_id, schedule_id).await?;
    let Some(found) = found else { return Err(Problem::new(Kind::NotFound)) };
    let fires = schedule::fires(&mut *tx, found.id, before, limit).await?;
    let cursor = |fire: &Fire| page::after_instant(fire.occurrence_at, fire.id);
    Ok(Json(Page::of(fires, limit, cursor, show_fire)))
}
