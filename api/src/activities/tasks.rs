//! Tasks: the queue of the day, and doing what stands in it.

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use chrono::{DateTime, Utc};
use crm::change::present;
use crm::task::{self, Completion, Filter, NewTask, Priority, Task};
use crm::user;
use engine::{clock, id};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::Named;
use crate::State;
use crate::input::{Body, Params, bounded, field_id, optional_id, path_id};
use crate::page::{self, Cursors, Page};
use crate::problem::{Kind, Problem};
use crate::revision;
use crate::tenant::{self, Caller, Principal};

/// The order of the listing, by which its cursors are known.
const ORDER: &str = "due_at";

/// The routes.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(find, change))
        .routes(routes!(complete))
}

/// A task as people read it.
#[derive(Serialize, ToSchema)]
#[schema(as = Task)]
struct TaskBody {
    #[schema(example = "tsk_01h455vb4pex5vsknk084sn02q")]
    id: String,
    contact_id: Option<String>,
    account_id: Option<String>,
    opportunity_id: Option<String>,
    /// The enrollment that waits for it.
    enrollment_id: Option<String>,
    /// `call`, `linkedin`, `todo`, or what a sequence calls it.
    kind: String,
    title: String,
    body: Option<String>,
    due_at: Option<DateTime<Utc>>,
    assignee_id: Option<String>,
    /// `low normal high`.
    priority: String,
    /// `open` or `done`.
    status: String,
    outcome: Option<String>,
    actor: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    completed_at: Option<DateTime<Utc>>,
}

fn show(task: Task) -> TaskBody {
    TaskBody {
        id: id::show("tsk", task.id),
        contact_id: task.contact_id.map(|contact| id::show("con", contact)),
        account_id: task.account_id.map(|account| id::show("acc", account)),
        opportunity_id: task.opportunity_id.map(|deal| id::show("opp", deal)),
        enrollment_id: task.enrollment_id.map(|enrollment| id::show("enr", enrollment)),
        kind: task.kind,
        title: task.title,
        body: task.body,
        due_at: task.due_at,
        assignee_id: task.assignee_id.map(|user| id::show("usr", user)),
        priority: task.priority,
        status: task.status,
        outcome: task.outcome,
        actor: task.actor,
        created_at: task.created_at,
        updated_at: task.updated_at,
        completed_at: task.completed_at,
    }
}

/// A task with its revision as its `ETag`.
type Tagged = ([(HeaderName, String); 1], Json<TaskBody>);

fn tagged(task: Task) -> Tagged {
    let tag = revision::tag(revision::of(task.updated_at));
    ([(header::ETAG, tag)], Json(show(task)))
}

/// A task to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewTask)]
struct Create {
    contact_id: Option<String>,
    account_id: Option<String>,
    opportunity_id: Option<String>,
    title: String,
    /// `call`, `linkedin`, or `todo` by default.
    kind: Option<String>,
    body: Option<String>,
    due_at: Option<DateTime<Utc>>,
    /// Who does it: whoever makes it where nobody is named, the contact's owner for a program.
    assignee_id: Option<String>,
    #[serde(default)]
    #[schema(inline)]
    priority: Priority,
}

fn check(title: &str, body: Option<&str>) -> Result<(), Problem> {
    bounded("title", title, 500)?;
    bounded("body", body.unwrap_or_default(), 20_000)?;
    if title.trim().is_empty() {
        return Err(Problem::invalid("title", "is empty"));
    }
    Ok(())
}

/// An active user, by the field that names them.
async fn assignee(tx: &mut PgConnection, customer_id: Uuid, named: &str) -> Result<Uuid, Problem> {
    let user_id = field_id("assignee_id", "usr", named)?;
    let found = user::find(tx, customer_id, user_id).await?.filter(|user| user.active);
    found
        .map(|user| user.id)
        .ok_or_else(|| Problem::invalid("assignee_id", "there is no such user"))
}

/// Makes a task.
#[utoipa::path(
    post, path = "/activities/tasks",
    request_body = Create,
    responses((status = 201, description = "Made", body = TaskBody)),
    security(("bearer" = ["activities:write"])),
)]
async fn create(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(new): Body<Create>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<TaskBody>), Problem> {
    check(&new.title, new.body.as_deref())?;
    let kind = new.kind.unwrap_or_else(|| "todo".into());
    bounded("kind", &kind, 100)?;
    let customer_id = caller.customer_id;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let assignee_id = match (&new.assignee_id, &caller.principal) {
        (Some(named), _) => Some(assignee(&mut tx, customer_id, named).await?),
        (None, Principal::User(me)) => Some(me.user_id),
        (None, Principal::Key { .. } | Principal::Operator { .. }) => None,
    };
    let Create { contact_id, account_id, opportunity_id, .. } = new;
    let named = Named { contact_id, account_id, opportunity_id };
    let task = NewTask {
        customer_id,
        about: named.existing(&mut tx, customer_id).await?,
        enrollment_id: None,
        kind,
        title: new.title,
        body: new.body,
        due_at: new.due_at,
        assignee_id,
        priority: new.priority,
        actor: caller.actor(),
        source: format!("person:{}", clock::new_id()),
    };
    let made = task::create(&mut tx, &[task]).await?;
    let made = made.first().copied().ok_or_else(|| Problem::new(Kind::Internal))?;
    let made = task::find(&mut *tx, customer_id, made).await?;
    let made = show(made.ok_or_else(|| Problem::new(Kind::Internal))?);
    let location = format!("/api/v1/activities/tasks/{}", made.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(made)))
}

/// Which tasks to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct List {
    contact_id: Option<String>,
    account_id: Option<String>,
    opportunity_id: Option<String>,
    /// Those of a user (`usr_…`), or `me`.
    assignee_id: Option<String>,
    /// `open` by default, or `done`.
    status: Option<String>,
    /// Due before this instant: the queue of the day.
    due_before: Option<DateTime<Utc>>,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// Tasks in the order in which they are due, those without a day last.
#[utoipa::path(
    get, path = "/activities/tasks",
    params(List),
    responses((status = 200, description = "As asked", body = Page<TaskBody>)),
    security(("bearer" = ["activities:read"])),
)]
async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    cursors: Cursors,
    Params(wanted): Params<List>,
) -> Result<Json<Page<TaskBody>>, Problem> {
    let limit = page::limit(wanted.limit)?;
    if wanted.status.as_deref().is_some_and(|status| !["open", "done"].contains(&status)) {
        return Err(Problem::invalid("status", "is open or done"));
    }
    let assignee_id = match wanted.assignee_id.as_deref() {
        Some("me") => Some(caller.user()?.user_id),
        named => optional_id("assignee_id", "usr", named)?,
    };
    let List { contact_id, account_id, opportunity_id, status, due_before, cursor, .. } = wanted;
    let about = Named { contact_id, account_id, opportunity_id }.read()?;
    let filter = Filter { about, assignee_id, status, due_before };
    let after = cursors.read_key(ORDER, cursor.as_deref())?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = task::list(&mut tx, caller.customer_id, &filter, after.as_ref(), limit).await?;
    let next = |(_, after): &(Task, crm::filter::After)| cursors.after_key(ORDER, after);
    Ok(Json(Page::of(found, limit, next, |(task, _)| show(task))))
}

/// A task.
#[utoipa::path(
    get, path = "/activities/tasks/{id}",
    responses((status = 200, description = "As asked", body = TaskBody)),
    security(("bearer" = ["activities:read"])),
)]
async fn find(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(task): Path<String>,
) -> Result<Tagged, Problem> {
    let task_id = path_id("tsk", &task)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = task::find(&mut *tx, caller.customer_id, task_id).await?;
    found.map(tagged).ok_or_else(|| Problem::new(Kind::NotFound))
}

/// What is to become of a task: what is left out stays, what is `null` is none from then on.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TaskChange)]
struct Change {
    title: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    body: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<DateTime<Utc>>)]
    due_at: Option<Option<DateTime<Utc>>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    assignee_id: Option<Option<String>>,
    #[schema(inline)]
    priority: Option<Priority>,
}

/// Changes what the body names.
#[utoipa::path(
    patch, path = "/activities/tasks/{id}",
    request_body = Change,
    responses((status = 200, description = "As asked", body = TaskBody)),
    security(("bearer" = ["activities:write"])),
)]
async fn change(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(task): Path<String>,
    headers: HeaderMap,
    Body(wanted): Body<Change>,
) -> Result<Tagged, Problem> {
    let task_id = path_id("tsk", &task)?;
    let customer_id = caller.customer_id;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let locked = task::lock(&mut tx, customer_id, task_id).await?;
    let mut task = locked.ok_or_else(|| Problem::new(Kind::NotFound))?;
    revision::require(&headers, revision::of(task.updated_at))?;
    if let Some(title) = wanted.title {
        task.title = title;
    }
    if let Some(body) = wanted.body {
        task.body = body;
    }
    check(&task.title, task.body.as_deref())?;
    if let Some(due_at) = wanted.due_at {
        task.due_at = due_at;
    }
    if let Some(named) = wanted.assignee_id {
        task.assignee_id = match named {
            Some(named) => Some(assignee(&mut tx, customer_id, &named).await?),
            None => None,
        };
    }
    if let Some(priority) = wanted.priority {
        task.priority = priority.word().into();
    }
    task::change(&mut *tx, customer_id, &task).await?;
    let changed = task::find(&mut *tx, customer_id, task_id).await?;
    changed.map(tagged).ok_or_else(|| Problem::new(Kind::NotFound))
}

/// How a task went.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TaskOutcome)]
struct Outcome {
    /// Such as `reached`; a sequence may go on by it.
    outcome: Option<String>,
}

/// Finishes a task; the run that waits for it goes on. One that is done keeps its first outcome.
#[utoipa::path(
    post, path = "/activities/tasks/{id}/complete",
    request_body = Outcome,
    responses((status = 200, description = "As asked", body = TaskBody)),
    security(("bearer" = ["activities:write"])),
)]
async fn complete(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(task): Path<String>,
    Body(given): Body<Outcome>,
) -> Result<Json<TaskBody>, Problem> {
    bounded("outcome", given.outcome.as_deref().unwrap_or_default(), 200)?;
    let task_id = path_id("tsk", &task)?;
    let (customer_id, actor) = (caller.customer_id, caller.actor());
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let done =
        task::complete(&mut tx, customer_id, task_id, given.outcome.as_deref(), &actor).await?;
    match done {
        Completion::Now | Completion::Before => {}
        Completion::NotFound => return Err(Problem::new(Kind::NotFound)),
    }
    let found = task::find(&mut *tx, customer_id, task_id).await?;
    found.map(|found| Json(show(found))).ok_or_else(|| Problem::new(Kind::NotFound))
}
