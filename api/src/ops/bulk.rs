//! The same done to many runs: those of some ids at once, those that a filter matches by an operation.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use crm::enrollment::{self, OrderedBy, OrderedRuns};
use engine::operation::{self, DoneAtOnce, Names, NewOperation, PACES, Preview, SAMPLE, Wish};
use engine::run::{self, Action, Change};
use engine::{clock, id};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::operations;
use super::selection::{Filter, refuse};
use crate::State;
use crate::input::{Body, bounded, names_nothing, names_twice};
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Asker, Caller};

/// The most runs of one request by id.
const MOST: usize = 500;
/// The longest reason, in characters.
const LONGEST_REASON: usize = 500;

/// Which runs a route acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whom {
    /// All runs of the customer, also those of webhooks, imports and mails of the system.
    Runs,
    /// The enrollments that the caller reaches.
    Enrollments,
}

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
        .routes(routes!(jump_enrollments))
        .routes(routes!(cancel_enrollments))
        .routes(routes!(undo_enrollments))
}

/// Which runs: either `ids` or `filter`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WantedRuns)]
struct Wanted {
    /// 1 to 500 runs (`run_…` or `enr_…`), which are changed at once.
    ids: Option<Vec<String>>,
    /// Open runs that match, which an operation changes in the background.
    filter: Option<Filter>,
    /// Count what would change, and change nothing.
    #[serde(default)]
    preview: bool,
    /// How many runs a second at most, from 0.01 to 100000; only with `filter`. Unlimited by default.
    #[schema(minimum = 0.01, maximum = 100000)]
    per_second: Option<f64>,
    /// Why, kept in the operation; at most 500 characters.
    #[schema(max_length = 500)]
    reason: Option<String>,
}

/// Which enrollments, and to which step: either `ids` or `filter`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WantedJump)]
struct WantedJump {
    /// The id of the step that they enter. An enrollment whose version does not have it is skipped.
    step: String,
    /// 1 to 500 enrollments (`enr_…`), which are changed at once.
    ids: Option<Vec<String>>,
    /// Open enrollments that match, which an operation changes in the background.
    filter: Option<Filter>,
    /// Count what would change, and change nothing.
    #[serde(default)]
    preview: bool,
    /// How many enrollments a second at most, from 0.01 to 100000; only with `filter`. Unlimited by default.
    #[schema(minimum = 0.01, maximum = 100000)]
    per_second: Option<f64>,
    /// Why, kept in the operation; at most 500 characters.
    #[schema(max_length = 500)]
    reason: Option<String>,
}

/// How many runs changed, and how many did not.
#[derive(Serialize, ToSchema)]
#[schema(as = ChangedRuns)]
struct Changed {
    changed: usize,
    /// The others: in a state from which the action does nothing, refused, or not found.
    skipped: usize,
    /// Those of the ids that name nothing that the caller reaches.
    not_found: Vec<String>,
    /// The operation that keeps the reason, if one was given.
    operation_id: Option<String>,
}

/// Tries held jobs again, by id or by filter.
#[utoipa::path(
    post, path = "/ops/jobs/retry",
    request_body = Wanted,
    responses((status = 200, description = "What changed, or what a filter matches", body = Bulk), (status = 202, description = "Ordered", body = operations::OperationBody)),
    security(("bearer" = ["ops:write"])),
)]
async fn retry(
    state: Shared<State>,
    asker: Asker,
    Body(mut wanted): Body<Wanted>,
) -> Result<Response, Problem> {
    if let Some(filter) = &mut wanted.filter {
        // An empty one means nothing, not everything that is held.
        filter.check()?;
        if filter.state.get_or_insert_with(|| "held".into()) != "held" {
            let message = "only held runs can be retried; write `held`, or leave it out";
            return Err(Problem::invalid("filter.state", message));
        }
    }
    order(state, &asker, wanted, (Whom::Runs, Action::Retry)).await
}

/// Ends the runs of jobs, by id or by filter.
#[utoipa::path(
    post, path = "/ops/jobs/cancel",
    request_body = Wanted,
    responses((status = 200, description = "What changed, or what a filter matches", body = Bulk), (status = 202, description = "Ordered", body = operations::OperationBody)),
    security(("bearer" = ["ops:write"])),
)]
async fn cancel(
    state: Shared<State>,
    asker: Asker,
    Body(wanted): Body<Wanted>,
) -> Result<Response, Problem> {
    order(state, &asker, wanted, (Whom::Runs, Action::Cancel)).await
}

/// Pauses enrollments, by id at once or by filter as an operation.
#[utoipa::path(
    post, path = "/enrollments/pause",
    request_body = Wanted,
    responses((status = 200, description = "What changed, or what a filter matches", body = Bulk), (status = 202, description = "Ordered", body = operations::OperationBody)),
    security(("bearer" = ["enrollments:write"])),
)]
async fn pause_enrollments(
    state: Shared<State>,
    caller: Caller,
    Body(wanted): Body<Wanted>,
) -> Result<Response, Problem> {
    order(state, &caller, wanted, (Whom::Enrollments, Action::Pause)).await
}

/// Resumes enrollments, by id at once or by filter as an operation.
#[utoipa::path(
    post, path = "/enrollments/resume",
    request_body = Wanted,
    responses((status = 200, description = "What changed, or what a filter matches", body = Bulk), (status = 202, description = "Ordered", body = operations::OperationBody)),
    security(("bearer" = ["enrollments:write"])),
)]
async fn resume_enrollments(
    state: Shared<State>,
    caller: Caller,
    Body(wanted): Body<Wanted>,
) -> Result<Response, Problem> {
    order(state, &caller, wanted, (Whom::Enrollments, Action::Resume)).await
}

/// Skips the current step of enrollments, by id at once or by filter as an operation.
#[utoipa::path(
    post, path = "/enrollments/skip",
    request_body = Wanted,
    responses((status = 200, description = "What changed, or what a filter matches", body = Bulk), (status = 202, description = "Ordered", body = operations::OperationBody)),
    security(("bearer" = ["enrollments:write"])),
)]
async fn skip_enrollments(
    state: Shared<State>,
    caller: Caller,
    Body(wanted): Body<Wanted>,
) -> Result<Response, Problem> {
    order(state, &caller, wanted, (Whom::Enrollments, Action::Skip)).await
}

/// Moves enrollments to a step, by id at once or by filter as an operation.
#[utoipa::path(
    post, path = "/enrollments/jump",
    request_body = WantedJump,
    responses((status = 200, description = "What changed, or what a filter matches", body = Bulk), (status = 202, description = "Ordered", body = operations::OperationBody)),
    security(("bearer" = ["enrollments:write"])),
)]
async fn jump_enrollments(
    state: Shared<State>,
    caller: Caller,
    Body(wanted): Body<WantedJump>,
) -> Result<Response, Problem> {
    let WantedJump { step, ids, filter, preview, per_second, reason } = wanted;
    let wanted = Wanted { ids, filter, preview, per_second, reason };
    let step_of = (Some(caller.customer_id), Some(step.as_str()));
    let names = Names { customer_id: step_of.0, step: step_of.1, ..Names::default() };
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let unknown = operation::check_names(&mut tx, state.definitions.registry(), &names).await?;
    drop(tx);
    if let Some(unknown) = unknown {
        return Err(refuse("", unknown));
    }
    order(state, &caller, wanted, (Whom::Enrollments, Action::Jump { step })).await
}

/// Ends enrollments, by id at once or by filter as an operation.
#[utoipa::path(
    post, path = "/enrollments/cancel",
    request_body = Wanted,
    responses((status = 200, description = "What changed, or what a filter matches", body = Bulk), (status = 202, description = "Ordered", body = operations::OperationBody)),
    security(("bearer" = ["enrollments:write"])),
)]
async fn cancel_enrollments(
    state: Shared<State>,
    caller: Caller,
    Body(wanted): Body<Wanted>,
) -> Result<Response, Problem> {
    order(state, &caller, wanted, (Whom::Enrollments, Action::Cancel)).await
}

/// Undoes what enrollments did, by id at once or by filter as an operation.
#[utoipa::path(
    post, path = "/enrollments/undo",
    request_body = Wanted,
    responses((status = 200, description = "What changed, or what a filter matches", body = Bulk), (status = 202, description = "Ordered", body = operations::OperationBody)),
    security(("bearer" = ["enrollments:write"])),
)]
async fn undo_enrollments(
    state: Shared<State>,
    caller: Caller,
    Body(wanted): Body<Wanted>,
) -> Result<Response, Problem> {
    order(state, &caller, wanted, (Whom::Enrollments, Action::Undo)).await
}

/// Checks all of a request, then counts what it would change, changes it, or orders it.
async fn order(
    Shared(state): Shared<State>,
    asker: &Asker,
    wanted: Wanted,
    (whom, action): (Whom, Action),
) -> Result<Response, Problem> {
    let Wanted { ids, filter, preview, per_second, reason } = wanted;
    let per_second = per_second.map(pace).transpose()?;
    if let Some(reason) = &reason {
        bounded("reason", reason, LONGEST_REASON)?;
    }
    match (ids, filter) {
        (Some(_), None) if per_second.is_some() => {
            let message = "goes with a filter; ids are changed at once, so leave it out";
            Err(Problem::invalid("per_second", message))
        }
        (Some(ids), None) => {
            let mut tx = tenant::begin(&state.pool, asker).await?;
            let found = Found::read(&mut tx, asker, (&ids, whom)).await?;
            if preview {
                return Ok(Json(found.preview(&mut tx, &action).await?).into_response());
            }
            let changed = found.act(&mut tx, (&state, asker), &action, reason.as_deref()).await?;
            Ok(Json(Bulk::Changed(changed)).into_response())
        }
        (None, Some(filter)) => {
            let mut tx = tenant::begin(&state.pool, asker).await?;
            let of = (asker, whom);
            let selection = filter.selection(&mut tx, &state.definitions, of).await?;
            let wish = Wish::Act(action);
            let matched = match (whom, asker.customer_id) {
                (Whom::Enrollments, Some(customer_id)) => {
                    enrollment::preview(&mut tx, customer_id, &selection, &wish).await?
                }
                (Whom::Enrollments, None) | (Whom::Runs, _) => {
                    operation::preview(&mut *tx, &selection, &wish).await?
                }
            };
            if preview {
                return Ok(Json(Bulk::Matched(shown(matched, whom))).into_response());
            }
            let new = NewOperation {
                wish,
                selection,
                actor: asker.actor(),
                reason,
                per_second,
                reach: Some(ordered_by(asker, whom)),
                total: matched.matched,
            };
            let ordered = operation::order(&mut tx, &new).await?;
            let found = operation::find(&mut *tx, asker.customer_id, ordered).await?;
            let found = found.ok_or_else(|| Problem::new(Kind::Internal))?;
            Ok((StatusCode::ACCEPTED, Json(operations::show(found))).into_response())
        }
        (Some(_), Some(_)) => Err(names_twice()),
        (None, None) => Err(names_nothing()),
    }
}

/// A pace that an operation can keep.
fn pace(asked: f64) -> Result<f32, Problem> {
    #[expect(clippy::cast_possible_truncation, reason = "what does not fit is out of the range")]
    let pace = asked as f32;
    if PACES.contains(&pace) {
        return Ok(pace);
    }
    let (slowest, fastest) = (PACES.start(), PACES.end());
    let message = format!("is not a pace; write a number from {slowest} to {fastest}");
    Err(Problem::invalid("per_second", message))
}

/// For whom an operation acts.
fn ordered_by(asker: &Asker, whom: Whom) -> Value {
    let runs = match whom {
        Whom::Runs => OrderedRuns::All,
        Whom::Enrollments => OrderedRuns::Enrollments,
    };
    let ordered_by = OrderedBy::new(asker.orderer(), asker.reach(), runs);
    serde_json::to_value(ordered_by).expect("ids have a form in JSON")
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

fn shown(preview: Preview, whom: Whom) -> Matched {
    let prefix = match whom {
        Whom::Runs => "run",
        Whom::Enrollments => "enr",
    };
    let sample = preview.sample.into_iter().map(|run| id::show(prefix, run)).collect();
    Matched { matched: preview.matched, more: preview.more, sample }
}

/// Of the ids of a request, the runs that the asker reaches, by customer, and those that name none.
struct Found {
    runs: BTreeMap<Uuid, Vec<Uuid>>,
    not_found: Vec<String>,
    count: usize,
    whom: Whom,
}

impl Found {
    async fn read(
        tx: &mut PgConnection,
        asker: &Asker,
        (ids, whom): (&[String], Whom),
    ) -> Result<Self, Problem> {
        if !(1..=MOST).contains(&ids.len()) {
            let message = format!("are {}; give 1 to {MOST}, or use a filter", ids.len());
            return Err(Problem::invalid("ids", message));
        }
        let read: Vec<Uuid> = ids.iter().enumerate().map(job_id).collect::<Result<_, Problem>>()?;
        // Sorted, so that two requests for the same runs wait for each other instead of locking each other out.
        let named: BTreeMap<Uuid, &String> = read.into_iter().zip(ids).collect();
        let asked: Vec<Uuid> = named.keys().copied().collect();
        let runs = match (whom, asker.customer_id) {
            (Whom::Enrollments, Some(customer_id)) => BTreeMap::from([(
                customer_id,
                enrollment::reached(&mut *tx, customer_id, &asked).await?,
            )]),
            (Whom::Enrollments, None) => BTreeMap::new(),
            (Whom::Runs, of) => {
                let mut runs = run::by_customer(&mut *tx, &asked).await?;
                runs.retain(|customer_id, _| of.is_none_or(|of| of == *customer_id));
                runs
            }
        };
        let found: BTreeSet<Uuid> = runs.values().flatten().copied().collect();
        let missing = named.iter().filter(|(run_id, _)| !found.contains(run_id));
        let not_found = missing.map(|(_, id)| (*id).clone()).collect();
        Ok(Self { runs, not_found, count: named.len(), whom })
    }

    async fn preview(self, tx: &mut PgConnection, action: &Action) -> Result<Bulk, Problem> {
        let runs: Vec<Uuid> = self.runs.into_values().flatten().collect();
        let movable = run::movable(tx, None, &runs, action).await?;
        let matched = i64::try_from(movable.len()).unwrap_or(i64::MAX);
        let shown_most = usize::try_from(SAMPLE).unwrap_or(usize::MAX);
        let sample = movable.into_iter().take(shown_most).collect();
        Ok(Bulk::Matched(shown(Preview { matched, more: false, sample }, self.whom)))
    }

    async fn act(
        self,
        tx: &mut PgConnection,
        (state, asker): (&State, &Asker),
        action: &Action,
        reason: Option<&str>,
    ) -> Result<Changed, Problem> {
        let operation_id = reason.map(|_| clock::new_id());
        let actor = match operation_id {
            Some(operation) => format!("{} by {}", asker.actor(), id::show("op", operation)),
            None => asker.actor(),
        };
        let mut changed = 0;
        for (customer, runs) in &self.runs {
            tenant::enter(tx, *customer).await?;
            let changes =
                enrollment::act(tx, &state.definitions, *customer, runs, action, &actor).await?;
            changed += changes.iter().filter(|one| matches!(one, Change::Changed { .. })).count();
        }
        if let (Some(id), Some(reason)) = (operation_id, reason) {
            let run_ids: Vec<Uuid> = self.runs.into_values().flatten().collect();
            let (customer_id, actor) = (asker.customer_id, asker.actor());
            let done = DoneAtOnce {
                id,
                customer_id,
                action,
                run_ids: &run_ids,
                actor: &actor,
                reason,
                changed,
            };
            operation::record(tx, &done).await?;
        }
        Ok(Changed {
            changed,
            skipped: self.count - changed,
            not_found: self.not_found,
            operation_id: operation_id.map(|operation| id::show("op", operation)),
        })
    }
}

/// A job is named by its run or by the enrollment that the run is.
fn job_id((at, text): (usize, &String)) -> Result<Uuid, Problem> {
    id::read("run", text)
        .or_else(|_| id::read("enr", text))
        .map_err(|error| Problem::invalid(&format!("ids[{at}]"), error.to_string()))
}
