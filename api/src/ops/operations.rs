//! Operations: what a bulk request started, how far it is, and stopping it.

use axum::Json;
use axum::extract::{Path, State as Shared};
use engine::id;
use engine::operation::{self, Operation};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::State;
use crate::input::path_id;
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Asker};

/// The routes.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(find)).routes(routes!(stop))
}

/// An operation as people read it.
#[derive(Serialize, ToSchema)]
#[schema(as = OperationOfCustomer)]
pub(super) struct OperationBody {
    id: String,
    #[serde(flatten)]
    operation: Operation,
}

pub(super) fn show(operation: Operation) -> OperationBody {
    OperationBody { id: id::show("op", operation.id), operation }
}

/// What a bulk request started, and how far it is.
#[utoipa::path(
    get, path = "/operations/{id}",
    responses((status = 200, description = "As asked", body = OperationBody)),
    security(("bearer" = ["ops:read"])),
)]
async fn find(
    Shared(state): Shared<State>,
    asker: Asker,
    Path(operation): Path<String>,
) -> Result<Json<OperationBody>, Problem> {
    let operation_id = path_id("op", &operation)?;
    let mut tx = tenant::begin(&state.pool, &asker).await?;
    let found = operation::find(&mut *tx, asker.customer_id, operation_id).await?;
    found.map(|found| Json(show(found))).ok_or_else(|| Problem::new(Kind::NotFound))
}

/// Stops it; what is done stays done.
#[utoipa::path(
    post, path = "/operations/{id}/stop",
    responses((status = 200, description = "As asked", body = OperationBody)),
    security(("bearer" = ["enrollments:write"])),
)]
async fn stop(
    Shared(state): Shared<State>,
    asker: Asker,
    Path(operation): Path<String>,
) -> Result<Json<OperationBody>, Problem> {
    let operation_id = path_id("op", &operation)?;
    let mut tx = tenant::begin(&state.pool, &asker).await?;
    operation::stop(&mut *tx, asker.customer_id, operation_id).await?;
    let found = operation::find(&mut *tx, asker.customer_id, operation_id).await?;
    found.map(|found| Json(show(found))).ok_or_else(|| Problem::new(Kind::NotFound))
}
