//! The same done to many runs: those of some ids at once, those that a filter matches by an operation.

use std::collections::BTreeSet;

use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use crm::enrollment;
use engine::id;
use engine::operation::{self, NewOperation, Selection, Wish};
use engine::run::{Action, Change};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::operations;
use crate::State;
use crate::input::{Body, optional_id};
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Admin, Caller, Writer};

/// The most runs of one request by id.
const MOST: usize = 500;
/// The states in which a run is open.
const STATES: [&str; 6] = ["ready", "running", "sleeping", "waiting", "paused", "held"];

/// The routes: on jobs for admins, on enrollments for whoever may write; the action stands where an id would.
pub(super) fn router() -> Router<State> {
    Router::new()
        .route("/ops/jobs/retry", post(retry))
        .route("/ops/jobs/cancel", post(cancel))
        .route("/enrollments/{id}", post(act))
}

/// Which runs, and whether only to look.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
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
    fn selection(self, caller: Caller) -> Result<Selection, Problem> {
        if self.state.as_deref().is_some_and(|state| !STATES.contains(&state)) {
            return Err(Problem::invalid(
                "filter.state",
                format!("is one of {}", STATES.join(", ")),
            ));
        }
        let selection = Selection {
            customer_id: Some(caller.customer_id),
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
#[derive(Serialize)]
struct Changed {
    changed: usize,
    skipped: usize,
}

async fn retry(
    state: Shared<State>,
    Admin(caller): Admin,
    Body(mut wanted): Body<Wanted>,
) -> Result<Response, Problem> {
    if let Some(filter) = &mut wanted.filter {
        match filter.state.get_or_insert_with(|| "held".into()).as_str() {
            "held" => {}
            _other => return Err(Problem::invalid("filter.state", "is held".to_owned())),
        }
    }
    order(state, caller, wanted, Action::Retry).await
}

async fn cancel(
    state: Shared<State>,
    Admin(caller): Admin,
    Body(wanted): Body<Wanted>,
) -> Result<Response, Problem> {
    order(state, caller, wanted, Action::Cancel).await
}

async fn act(
    state: Shared<State>,
    Writer(caller): Writer,
    Path(action): Path<String>,
    Body(wanted): Body<Wanted>,
) -> Result<Response, Problem> {
    let action = match action.as_str() {
        "pause" => Action::Pause,
        "resume" => Action::Resume,
        "skip" => Action::Skip,
        "cancel" => Action::Cancel,
        "undo" => Action::Undo,
        _other => return Err(Problem::new(Kind::NotFound)),
    };
    order(state, caller, wanted, action).await
}

async fn order(
    Shared(state): Shared<State>,
    caller: Caller,
    wanted: Wanted,
    action: Action,
) -> Result<Response, Problem> {
    match (wanted.ids, wanted.filter) {
        (Some(ids), None) => Ok(Json(by_id(&state, caller, &ids, &action).await?).into_response()),
        (None, Some(filter)) => {
            let selection = filter.selection(caller)?;
            let mut tx = tenant::begin(&state.pool, caller.customer_id).await?;
            let preview = operation::preview(&mut *tx, &selection).await?;
            if wanted.preview {
                return Ok(Json(shown(preview)).into_response());
            }
            let new = NewOperation {
                wish: Wish::Act(action),
                selection,
                actor: caller.actor(),
                reason: wanted.reason,
                per_second: wanted.per_second.filter(|pace| *pace > 0.0),
                total: preview.matched,
            };
            let ordered = operation::order(&mut tx, &new).await?;
            let found = operation::find(&mut *tx, Some(caller.customer_id), ordered).await?;
            tx.commit().await?;
            let found = found.ok_or_else(|| Problem::new(Kind::Internal))?;
            Ok((StatusCode::ACCEPTED, Json(operations::show(found))).into_response())
        }
        (_, _) => {
            Err(Problem::invalid("ids", "stand here, or a `filter` does; one of both".to_owned()))
        }
    }
}

/// What a filter matches, with run ids as they are shown.
#[derive(Serialize)]
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
    caller: Caller,
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
    let (customer, actor) = (caller.customer_id, caller.actor());
    let mut tx = tenant::begin(&state.pool, customer).await?;
    let changes =
        enrollment::act(&mut tx, &state.definitions, customer, &runs, action, &actor).await?;
    tx.commit().await?;
    let changed = changes.iter().filter(|change| matches!(change, Change::Changed { .. })).count();
    Ok(Changed { changed, skipped: ids.len() - changed })
}

/// A job is named by its run or by the enrollment that the run is.
fn job_id((at, text): (usize, &String)) -> Result<Uuid, Problem> {
    id::read("run", text)
        .or_else(|_| id::read("enr", text))
        .map_err(|error| Problem::invalid(&format!("ids[{at}]"), error.to_string()))
}
