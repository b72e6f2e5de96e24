//! A sequence changes while people are in it: its versions, what a definition would change, and the change.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use crm::custom_field;
use crm::sequence::{self, ApplyError, Change, Sequence, SequenceError};
use engine::change::{self, Map, OrderError, Plan};
use engine::definition::{self, Definition, Destination, Format, short_hash};
use engine::definition_store::{self, VersionRow};
use engine::id;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::definitions::{SequenceBody, refused, show};
use crate::State;
use crate::input::{Body, path_id};
use crate::problem::{Fault, Kind, Problem};
use crate::tenant::{self, Caller};

/// The routes.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(versions)).routes(routes!(plan)).routes(routes!(apply))
}

/// What is to become of a sequence: a definition, or a version that it had.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WantedVersion)]
struct Wanted {
    #[schema(value_type = Option<Object>)]
    definition: Option<Value>,
    version: Option<i32>,
    /// Where runs go that stand at a step, beyond what the definition says: a step, `exit` or `stay`.
    #[serde(default)]
    map: BTreeMap<String, String>,
    /// The plan that was shown; `If-Match` says the same.
    plan_id: Option<String>,
    /// Why, for whoever reads what was done.
    reason: Option<String>,
}

/// A version as people read it.
#[derive(Serialize, ToSchema)]
#[schema(as = Version)]
struct VersionBody {
    version: i32,
    hash: String,
    current: bool,
    open_runs: i64,
    created_at: DateTime<Utc>,
}

#[derive(Serialize, ToSchema)]
struct Versions {
    data: Vec<VersionBody>,
}

/// The versions of a sequence, newest first.
#[utoipa::path(
    get, path = "/sequences/{id}/versions",
    responses((status = 200, description = "As asked", body = Versions)),
    security(("bearer" = ["sequences:read"])),
)]
async fn versions(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(sequence): Path<String>,
) -> Result<Json<Versions>, Problem> {
    let found = find(&state, &caller, &sequence).await?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let kept = definition_store::versions(&mut *tx, caller.customer_id, &found.name).await?;
    let body = |row: VersionRow| VersionBody {
        version: row.version,
        hash: short_hash(&row.hash),
        current: row.current,
        open_runs: row.runs,
        created_at: row.created_at,
    };
    Ok(Json(Versions { data: kept.into_iter().map(body).collect() }))
}

async fn find(state: &State, caller: &Caller, sequence: &str) -> Result<Sequence, Problem> {
    let sequence_id = path_id("seq", sequence)?;
    let mut tx = tenant::begin(&state.pool, caller).await?;
    let found = sequence::find(&mut *tx, caller.customer_id, sequence_id).await?;
    found.ok_or_else(|| Problem::new(Kind::NotFound))
}

/// What was asked for, read and planned.
struct Draft {
    definition: Definition,
    source: String,
    asked: Map,
    plan: Plan,
}

async fn draft(
    state: &State,
    caller: &Caller,
    sequence: &str,
    wanted: &Wanted,
) -> Result<Draft, Problem> {
    let found = find(state, caller, sequence).await?;
    let mut tx = tenant::begin(&state.pool, caller).await?;
    let (definition, source) = read(state, &mut tx, caller.customer_id, &found, wanted).await?;
    let asked = asked(&wanted.map, &definition)?;
    let customer_id = caller.customer_id;
    let planned = change::plan(&mut tx, &state.definitions, customer_id, &definition, &asked);
    let plan = planned.await.map_err(|error| match error {
        change::PlanError::Database(error) => error.into(),
        change::PlanError::Unreadable(reason) | change::PlanError::Foreign(reason) => {
            Problem::new(Kind::WrongState).detail(reason)
        }
    })?;
    Ok(Draft { definition, source, asked, plan })
}

/// The definition of a request, or that of a version that the sequence had.
async fn read(
    state: &State,
    tx: &mut PgConnection,
    customer_id: Uuid,
    sequence: &Sequence,
    wanted: &Wanted,
) -> Result<(Definition, String), Problem> {
    let registry = state.definitions.registry();
    let (definition, source) = match (&wanted.definition, wanted.version) {
        (Some(document), None) => {
            let source = format!("{document:#}");
            let own = custom_field::of_texts(&mut *tx, customer_id).await?;
            let own = own.as_ref();
            (definition::read_for("definition", &source, Format::Json, registry, own), source)
        }
        (None, Some(version)) => {
            let kept = definition_store::versions(&mut *tx, customer_id, &sequence.name).await?;
            let found = kept.iter().find(|row| row.version == version).ok_or_else(|| {
                Problem::invalid("version", format!("there is no version {version}"))
            })?;
            let document = definition_store::find(&mut *tx, found.id).await?;
            let document = document.ok_or_else(|| Problem::new(Kind::NotFound))?;
            (definition::from_document(&document.document, registry), document.source)
        }
        (Some(_), Some(_)) => {
            let message = "give either `definition` or `version`, not both";
            return Err(Problem::invalid("definition", message));
        }
        (None, None) => {
            let message = "is missing; give a `definition`, or the `version` to go back to";
            return Err(Problem::invalid("definition", message));
        }
    };
    let definition = definition.map_err(|refusals| refused(&refusals, Format::Json))?;
    if definition.name != sequence.name {
        let message = format!("has the name `{}`; this is `{}`", definition.name, sequence.name);
        return Err(Problem::invalid("definition.name", message));
    }
    Ok((definition, source))
}

fn asked(map: &BTreeMap<String, String>, definition: &Definition) -> Result<Map, Problem> {
    map.iter()
        .map(|(was, is)| {
            let destination = Destination::read(is, &definition.steps);
            let problem = |message| Problem::invalid(&format!("map.{was}"), message);
            Ok((was.clone(), destination.map_err(problem)?))
        })
        .collect()
}

/// What a definition, or a version that the sequence had, would change; its hash is the `ETag` that an apply may name.
#[utoipa::path(
    post, path = "/sequences/{id}/plan",
    request_body = Wanted,
    responses((status = 200, description = "As asked", body = Plan)),
    security(("bearer" = ["sequences:read"])),
)]
async fn plan(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(sequence): Path<String>,
    Body(wanted): Body<Wanted>,
) -> Result<Response, Problem> {
    let plan = draft(&state, &caller, &sequence, &wanted).await?.plan;
    let tag = format!("\"{}\"", plan.plan_id);
    Ok(([(header::ETAG, tag)], Json(plan)).into_response())
}

/// What an apply answers: the sequence, and the operation that brings its runs over.
#[derive(Serialize, ToSchema)]
struct Applied {
    sequence: SequenceBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
    moves: i64,
    stays: i64,
}

/// Makes a definition the version that the sequence follows; the operation brings its runs over.
#[utoipa::path(
    post, path = "/sequences/{id}/apply",
    request_body = Wanted,
    responses((status = 200, description = "As asked", body = Applied), (status = 202, description = "Ordered", body = Applied)),
    security(("bearer" = ["sequences:write"])),
)]
async fn apply(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(sequence): Path<String>,
    headers: HeaderMap,
    Body(wanted): Body<Wanted>,
) -> Result<Response, Problem> {
    let Draft { definition, source, asked, plan } =
        draft(&state, &caller, &sequence, &wanted).await?;
    let matched = headers.get(header::IF_MATCH).and_then(|tag| tag.to_str().ok());
    let shown = wanted.plan_id.as_deref().or(matched.map(|tag| tag.trim_matches('"')));
    let actor = caller.actor();
    let change = Change {
        plan: &plan,
        shown,
        asked: &asked,
        actor: &actor,
        reason: wanted.reason.as_deref(),
    };
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let applied =
        sequence::apply(&mut tx, caller.customer_id, (&definition, &source), change).await;
    let (kept, operation) = applied.map_err(|error| answer(error, &plan))?;
    let operation = operation.map(|operation| id::show("op", operation));
    let status = if operation.is_some() { StatusCode::ACCEPTED } else { StatusCode::OK };
    let body = Applied {
        sequence: show(kept, Some(definition.document)),
        operation,
        moves: plan.moves,
        stays: plan.stays,
    };
    Ok((status, Json(body)).into_response())
}

/// Why it was not applied; each that stands in the way is told with what to write.
fn answer(error: ApplyError, plan: &Plan) -> Problem {
    match error {
        ApplyError::Order(OrderError::Database(error))
        | ApplyError::Sequence(SequenceError::Database(error))
        | ApplyError::Database(error) => error.into(),
        ApplyError::Order(OrderError::Changed) => {
            Problem::new(Kind::PlanChanged).detail(OrderError::Changed.to_string())
        }
        ApplyError::Order(OrderError::Refused) => {
            let problem = Problem::new(Kind::PlanRefused).detail(OrderError::Refused.to_string());
            plan.refused.iter().fold(problem, |problem, refused| {
                problem.fault(Fault {
                    field: Some(format!("map.{}", refused.step)),
                    message: refused.message.clone(),
                    help: Some(refused.help.clone()),
                    ..Fault::default()
                })
            })
        }
        ApplyError::Sequence(SequenceError::NameTaken(name)) => {
            Problem::new(Kind::NameTaken).detail(name)
        }
    }
}
