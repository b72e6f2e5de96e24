//! The same done to many runs: those of some ids at once, those that a filter matches by an operation.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use crm::enrollment;
use engine::id;
use engine::operation::{self, NewOperation, Selection, Wish};
use engine::run::{self, Action, Change};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::operations;
use crate::State;
use crate::input::{Body, optional_id};
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Asker, Caller};

/// The most runs of one request by id.
const MOST: usize = 500;
/// The states in which a run is open.
const STATES: [&str; 6] = ["ready", "running", "sleeping", "waiting", "paused", "held"];

/// The routes on jobs.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(retry)).routes(routes!(cancel))
}

/// The routes on enrollments.
pub(super) fn of_enrollments() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(pause_enrollments))
        .routes(routes!(resume_enrollments))
        .routes(routes!(skip_enrollments))
        .routes(routes!(cancel_enrollments))
        .routes(routes!(undo_enrollments))
}

/// Which runs, and whether only to look.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WantedRuns)]
struct Wanted {
    ids: Option<Vec<String>>,
    filter: Option<Filter>,
    #[serde(default)]
    preview: bool,
    /// How many runs a second at most.
    per_second: Option<f32>,
    /// Why, for whoever reads what was done.
    reason: Option<String>,
}

/// At least one field.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RunFilter)]
struct Filter {
    state: Option<String>,
    sequence: Option<String>,
    step: Option<String>,
    contact_id: Option<String>,
    queue: Option<String>,
    error: Option<String>,
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
}

impl Filter {
    fn selection(self, asker: &Asker) -> Result<Selection, Problem> {
        if self.state.as_deref().is_some_and(|state| !STATES.contains(&state)) {
            return Err(Problem::invalid(
                "filter.state",
                format!("is one of {}", STATES.join(", ")),
            ));
        }
        let selection = Selection {
            customer_id: asker.customer_id,
            state: self.state,
            workflow: self.sequence,
            step: self.step,
            queue: self.queue,
            subject_id: optional_id("filter.contact_id", "con", self.contact_id.as_deref())?,
            reason: self.error,
            since: self.since,
            until: self.until,
        };
        if selection == (Selection { customer_id: selection.customer_id, ..Selection::default() }) {
            return Err(Problem::invalid("filter", "names at least one field".to_owned()));
        }
        Ok(selection)
    }
}

/// How many runs changed, and how many stood where the wish does nothing.
#[derive(Serialize, ToSchema)]
#[schema(as = ChangedRuns)]
struct Changed {
    changed: usize,
    skipped: usize,
}

/// Tries held jobs again, by id or by filter.
#[utoipa::path(
    post, path = "/ops/jobs/retry",
    request_body = Wanted,
    responses((status = 200, description = "What became of those ids, or what a filter matches", body = Bulk), (status = 202, description = "Ordered", body = operations::OperationBody)),
    security(("bearer" = ["ops:write"])),
)]
async fn retry(
    state: Shared<State>,
    asker: Asker,
    Body(mut wanted): Body<Wanted>,
) -> Result<Response, Problem> {
    if let Some(filter) = &mut wanted.filter {
        match filter.state.get_or_insert_with(|| "held".into()).as_str() {
            "held" => {}
            _other => return Err(Problem::invalid("filter.state", "is held".to_owned())),
        }
    }
    order(state, &asker, wanted, Action::Retry).await
}

/// Ends the runs of jobs, by id or by filter.
#[utoipa::path(
    post, path = "/ops/jobs/cancel",
    request_body = Wanted,
    responses((status = 200, description = "What became of those ids, or what a filter matches", body = Bulk), (status = 202, description = "Ordered", body = operations::OperationBody)),
    security(("bearer" = ["ops:write"])),
)]
async fn cancel(
    state: Shared<State>,
    asker: Asker,
    Body(wanted): Body<Wanted>,
) -> Result<Response, Problem> {
    order(state, &asker, wanted, Action::Cancel).await
}

/// Pauses enrollments, by id at once or by filter as an operation.
#[utoipa::path(
    post, path = "/enrollments/pause",
    request_body = Wanted,
    responses((status = 200, description = "What became of those ids, or what a filter matches", body = Bulk), (status = 202, description = "Ordered", body = operations::OperationBody)),
    security(("bearer" = ["enrollments:write"])),
)]
async fn pause_enrollments(
    state: Shared<State>,
    caller: Caller,
    Body(wanted): Body<Wanted>,
) -> Result<Response, Problem> {
    order(state, &caller, wanted, Action::Pause).await
}

/// Goes on with enrollments, by id at once or by filter as an operation.
#[utoipa::path(
    post, path = "/enrollments/resume",
    request_body = Wanted,
    responses((status = 200, description = "What became of those ids, or what a filter matches", body = Bulk), (status = 202, description = "Ordered", body = operations::OperationBody)),
    security(("bearer" = ["enrollments:write"])),
)]
async fn resume_enrollments(
    state: Shared<State>,
    caller: Caller,
    Body(wanted): Body<Wanted>,
) -> Result<Response, Problem> {
    order(state, &caller, wanted, Action::Resume).await
}

/// Skips the step at which enrollments stand, by id at once or by filter as an operation.
#[utoipa::path(
    post, path = "/enrollments/skip",
    request_body = Wanted,
    responses((status = 200, description = "What became of those ids, or what a filter matches", body = Bulk), (status = 202, description = "Ordered", body = operations::OperationBody)),
    security(("bearer" = ["enrollments:write"])),
)]
async fn skip_enrollments(
    state: Shared<State>,
    caller: Caller,
    Body(wanted): Body<Wanted>,
) -> Result<Response, Problem> {
    order(state, &caller, wanted, Action::Skip).await
}

/// Ends enrollments, by id at once or by filter as an operation.
#[utoipa::path(
    post, path = "/enrollments/cancel",
    request_body = Wanted,
    responses((status = 200, description = "What became of those ids, or what a filter matches", body = Bulk), (status = 202, description = "Ordered", body = operations::OperationBody)),
    security(("bearer" = ["enrollments:write"])),
)]
async fn cancel_enrollments(
    state: Shared<State>,
    caller: Caller,
    Body(wanted): Body<Wanted>,
) -> Result<Response, Problem> {
    order(state, &caller, wanted, Action::Cancel).await
}

/// Undoes what enrollments did, by id at once or by filter as an operation.
#[utoipa::path(
    post, path = "/enrollments/undo",
    request_body = Wanted,
    responses((status = 200, description = "What became of those ids, or what a filter matches", body = Bulk), (status = 202, description = "Ordered", body = operations::OperationBody)),
    security(("bearer" = ["enrollments:write"])),
)]
async fn undo_enrollments(
    state: Shared<State>,
    caller: Caller,
    Body(wanted): Body<Wanted>,
) -> Result<Response, Problem> {
    order(state, &caller, wanted, Action::Undo).await
}

async fn order(
    Shared(state): Shared<State>,
    asker: &Asker,
    wanted: Wanted,
    action: Action,
) -> Result<Response, Problem> {
    match (wanted.ids, wanted.filter) {
        (Some(ids), None) => {
            Ok(Json(Bulk::Changed(by_id(&state, asker, &ids, &action).await?)).into_response())
        }
        (None, Some(filter)) => {
            let selection = filter.selection(asker)?;
            let mut tx = tenant::begin(&state.pool, asker).await?;
            let preview = operation::preview(&mut *tx, &selection).await?;
            if wanted.preview {
                return Ok(Json(Bulk::Matched(shown(preview))).into_response());
            }
            let new = NewOperation {
                wish: Wish::Act(action),
                selection,
                actor: asker.actor(),
                reason: wanted.reason,
                per_second: wanted.per_second.filter(|pace| *pace > 0.0),
                total: preview.matched,
            };
            let ordered = operation::order(&mut tx, &new).await?;
            let found = operation::find(&mut *tx, asker.customer_id, ordered).await?;
            let found = found.ok_or_else(|| Problem::new(Kind::Internal))?;
            Ok((StatusCode::ACCEPTED, Json(operations::show(found))).into_response())
        }
        (_, _) => {
            Err(Problem::invalid("ids", "stand here, or a `filter` does; one of both".to_owned()))
        }
    }
}

/// What a request by id changed, or what a preview matches.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Bulk {
    Changed(Changed),
    Matched(Matched),
}

/// What a filter matches, with run ids as they are shown.
#[derive(Serialize, ToSchema)]
#[schema(as = MatchedRuns)]
struct Matched {
    matched: i64,
    more: bool,
    sample: Vec<String>,
}

fn shown(preview: operation::Preview) -> Matched {
    let sample = preview.sample.into_iter().map(|run| id::show("run", run)).collect();
    Matched { matched: preview.matched, more: preview.more, sample }
}

async fn by_id(
    state: &State,
    asker: &Asker,
    ids: &[String],
    action: &Action,
) -> Result<Changed, Problem> {
    if !(1..=MOST).contains(&ids.len()) {
        return Err(Problem::invalid("ids", format!("are 1 to {MOST}; a filter takes more")));
    }
    // Sorted, so that two requests for the same runs wait for each other instead of locking each other out.
    let runs: BTreeSet<Uuid> =
        ids.iter().enumerate().map(job_id).collect::<Result<_, Problem>>()?;
    let runs: Vec<Uuid> = runs.into_iter().collect();
    let actor = asker.actor();
    let mut tx = tenant::begin(&state.pool, asker).await?;
    let of_customers = match asker.customer_id {
        Some(customer_id) => BTreeMap::from([(customer_id, runs)]),
        None => run::by_customer(&mut *tx, &runs).await?,
    };
    let mut changed = 0;
    for (customer, runs) in of_customers {
        tenant::enter(&mut tx, customer).await?;
        let changes =
            enrollment::act(&mut tx, &state.definitions, customer, &runs, action, &actor).await?;
        changed += changes.iter().filter(|change| matches!(change, Change::Changed { .. })).count();
    }
    Ok(Changed { changed, skipped: ids.len() - changed })
}

/// A job is named by its run or by the enrollment that the run is.
fn job_id((at, text): (usize, &String)) -> Result<Uuid, Problem> {
    id::read("run", text)
        .or_else(|_| id::read("enr", text))
        .map_err(|error| Problem::invalid(&format!("ids[{at}]"), error.to_string()))
}
