//! Operations: what a bulk request started, how far it is, and stopping it.

use axum::extract::{Path, State as Shared};
use axum::routing::{get, post};
use axum::{Json, Router};
use engine::id;
use engine::operation::{self, Operation};
use serde::Serialize;

use crate::State;
use crate::input::path_id;
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Caller, Writer};

/// The routes.
pub(super) fn router() -> Router<State> {
    Router::new().route("/operations/{id}", get(find)).route("/operations/{id}/stop", post(stop))
}

/// An operation as people read it.
#[derive(Serialize)]
pub(super) struct OperationBody {
    id: String,
    #[serde(flatten)]
    operation: Operation,
}

pub(super) fn show(operation: Operation) -> OperationBody {
    OperationBody { id: id::show("op", operation.id), operation }
}

async fn find(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(operation): Path<String>,
) -> Result<Json<OperationBody>, Problem> {
    let operation_id = path_id("op", &operation)?;
    let mut tx = tenant::begin(&state.pool, caller.customer_id).await?;
    let found = operation::find(&mut *tx, Some(caller.customer_id), operation_id).await?;
    found.map(|found| Json(show(found))).ok_or_else(|| Problem::new(Kind::NotFound))
}

async fn stop(
    Shared(state): Shared<State>,
    Writer(caller): Writer,
    Path(operation): Path<String>,
) -> Result<Json<OperationBody>, Problem> {
    let operation_id = path_id("op", &operation)?;
    let mut tx = tenant::begin(&state.pool, caller.customer_id).await?;
    operation::stop(&mut *tx, Some(caller.customer_id), operation_id).await?;
    let found = operation::find(&mut *tx, Some(caller.customer_id), operation_id).await?;
    tx.commit().await?;
    found.map(|found| Json(show(found))).ok_or_else(|| Problem::new(Kind::NotFound))
}
