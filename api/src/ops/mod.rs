//! What the system does for a customer: the jobs of its runs, acting on many of them, its schedules, and
//! its events on their way out.

pub(crate) mod bulk;
mod operations;
mod outbox;
mod schedules;
mod selection;

use std::collections::HashSet;

use axum::Json;
use axum::extract::State as Shared;
use chrono::{DateTime, Utc};
use crm::enrollment;
use engine::definition_store::{Definitions, LoadError};
use engine::id;
use engine::operation::{self, Names};
use engine::run::{self, Filter, RunRow};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::State;
use crate::input::Params;
use crate::page::{self, Cursors, Page};
use crate::problem::Problem;
use crate::tenant::{self, Asker};

/// The states in which a run has a job, or will have it by itself or by a retry.
pub(crate) const STATES: [&str; 4] = ["held", "ready", "running", "sleeping"];

/// How many runs one look takes from the database, and how many looks one page may take.
const LOOK: u32 = 500;
const LOOKS: usize = 10;

/// All routes of the service.
pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .merge(bulk::router())
        .merge(operations::router())
        .merge(outbox::router())
        .merge(schedules::router())
}

/// The routes on many enrollments, which are served with the enrollments.
pub(crate) fn of_enrollments() -> OpenApiRouter<State> {
    bulk::of_enrollments()
}

/// A job as people read it; its id is its run's.
#[derive(Serialize, ToSchema)]
#[schema(as = Job)]
struct JobBody {
    id: String,
    customer_id: String,
    queue: String,
    workflow: String,
    /// Whom it is about, where that is a contact.
    contact_id: Option<String>,
    state: String,
    step: String,
    attempt: i16,
    error: Option<String>,
    next_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

fn show(run: RunRow, Place { queue, subject }: Place) -> JobBody {
    JobBody {
        id: id::show("run", run.run_id),
        customer_id: id::show("cus", run.customer_id),
        queue,
        workflow: run.workflow,
        contact_id: (subject == "contact").then(|| id::show("con", run.subject_id)),
        state: run.state,
        step: run.step,
        attempt: run.attempt,
        error: run.reason,
        next_at: run.next_at,
        created_at: run.started_at,
        updated_at: run.changed_at,
    }
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct List {
    /// `held ready running sleeping`; all of them by default.
    state: Option<String>,
    /// At a step of this type.
    #[param(example = "email.send")]
    queue: Option<String>,
    /// With a reason that contains this text; a text with `*` must match the whole reason, each `*` matching any
    /// text. Case counts; at most 200 characters.
    #[param(example = "timeout*")]
    error: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// A page of jobs, for reps and managers those of the enrollments that they reach. If few runs match, it may end early;
/// its cursor continues from there.
#[utoipa::path(
    get, path = "/ops/jobs",
    params(List),
    responses((status = 200, description = "As asked", body = Page<JobBody>)),
    security(("bearer" = ["ops:read"])),
)]
async fn list(
    Shared(state): Shared<State>,
    asker: Asker,
    cursors: Cursors,
    Params(wanted): Params<List>,
) -> Result<Json<Page<JobBody>>, Problem> {
    let limit = usize::try_from(page::limit(wanted.limit)?).unwrap_or(usize::MAX);
    if let Some(state) = wanted.state.as_deref().filter(|state| !STATES.contains(state)) {
        return Err(Problem::invalid("state", selection::no_state(state, &STATES)));
    }
    let reason = wanted.error.as_deref().map(run::reason_glob).transpose();
    let names = Names {
        customer_id: asker.customer_id,
        queue: wanted.queue.as_deref(),
        ..Names::default()
    };
    let mut tx = tenant::begin(&state.pool, &asker).await?;
    if let Some(unknown) =
        operation::check_names(&mut tx, state.definitions.registry(), &names).await?
    {
        return Err(selection::refuse("", unknown));
    }
    let mut filter = Filter {
        customer_id: asker.customer_id,
        state: wanted.state,
        queue: wanted.queue,
        reason: reason.map_err(|message| Problem::invalid("error", message))?,
        before: cursors.read_id(wanted.cursor.as_deref())?,
        ..Filter::default()
    };
    let mut jobs = Vec::new();
    for _ in 0..LOOKS {
        let runs = run::list(&mut *tx, &filter, LOOK).await?;
        let last_look = runs.len() < usize::try_from(LOOK).unwrap_or(usize::MAX);
        let reached = reached(&mut tx, &asker, &runs).await?;
        for run in runs {
            if jobs.len() == limit {
                return Ok(Json(Page::ending(jobs, filter.before.map(|id| cursors.after_id(id)))));
            }
            filter.before = Some(run.run_id);
            let seen = reached.as_ref().is_none_or(|reached| reached.contains(&run.run_id));
            if !seen || !STATES.contains(&run.state.as_str()) {
                continue;
            }
            let place = place(&mut tx, &state.definitions, &run).await?;
            jobs.push(show(run, place));
        }
        if last_look {
            return Ok(Json(Page::ending(jobs, None)));
        }
    }
    Ok(Json(Page::ending(jobs, filter.before.map(|id| cursors.after_id(id)))))
}

/// Those of some runs that the asker sees, if not all: somebody who does not reach all records sees the enrollments of
/// those that they reach.
async fn reached(
    tx: &mut PgConnection,
    asker: &Asker,
    runs: &[RunRow],
) -> Result<Option<HashSet<Uuid>>, Problem> {
    let (Some(_), Some(customer_id)) = (asker.reach(), asker.customer_id) else { return Ok(None) };
    let ids: Vec<Uuid> = runs.iter().map(|run| run.run_id).collect();
    let reached = enrollment::reached(tx, customer_id, &ids).await?;
    Ok(Some(reached.into_iter().collect()))
}

/// What a run's definition says of where it stands; empty where that can't be read any more.
#[derive(Default)]
struct Place {
    /// The queue of its step, which is the step's type.
    queue: String,
    /// What the run is about.
    subject: String,
}

async fn place(
    tx: &mut PgConnection,
    definitions: &Definitions,
    run: &RunRow,
) -> Result<Place, Problem> {
    match definitions.load(tx, run.definition_id).await {
        Ok(definition) => {
            let step = definition.index_of(&run.step).and_then(|at| definition.steps.get(at));
            let queue = step.map(|step| step.kind.to_owned()).unwrap_or_default();
            Ok(Place { queue, subject: definition.subject.clone() })
        }
        Err(LoadError::Unreadable(_) | LoadError::Foreign(_)) => Ok(Place::default()),
        Err(LoadError::Database(error)) => Err(error.into()),
    }
}
