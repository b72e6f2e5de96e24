//! Operations: what a bulk request started, how far it is, and stopping it.

use axum::Json;
use axum::extract::{Path, State as Shared};
use engine::id;
use engine::operation::{self, Operation, OperationFilter, OperationStatus};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::State;
use crate::input::{Params, path_id};
use crate::page::{self, Cursors, Page};
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Asker};

/// The routes.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(find)).routes(routes!(stop))
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

/// Which operations.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct List {
    status: Option<OperationStatus>,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// Operations, newest first. Admins see everybody's; others see those that they ordered.
#[utoipa::path(
    get, path = "/operations",
    params(List),
    responses((status = 200, description = "As asked", body = Page<OperationBody>)),
    security(("bearer" = ["ops:read"])),
)]
async fn list(
    Shared(state): Shared<State>,
    asker: Asker,
    cursors: Cursors,
    Params(wanted): Params<List>,
) -> Result<Json<Page<OperationBody>>, Problem> {
    let limit = page::limit(wanted.limit)?;
    let own = asker.owns_only("ops:read").then(|| asker.actor());
    let filter = OperationFilter {
        customer_id: asker.customer_id,
        actor: own.as_deref(),
        status: wanted.status.map(OperationStatus::word),
        before: cursors.read_id(wanted.cursor.as_deref())?,
    };
    let mut tx = tenant::begin(&state.pool, &asker).await?;
    let found = operation::list(&mut *tx, &filter, limit).await?;
    Ok(Json(Page::of(found, limit, |operation| cursors.after_id(operation.id), show)))
}

/// An operation that the asker ordered, or any operation if they may do `work` on everybody's.
async fn seen(
    tx: &mut PgConnection,
    asker: &Asker,
    (operation_id, work): (Uuid, &str),
) -> Result<Operation, Problem> {
    let found = operation::find(tx, asker.customer_id, operation_id).await?;
    let own = |found: &Operation| !asker.owns_only(work) || found.actor == asker.actor();
    found.filter(own).ok_or_else(|| Problem::new(Kind::NotFound))
}

/// What a bulk request started, and how far it is. Admins see everybody's; others see those that they ordered.
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
    seen(&mut tx, &asker, (operation_id, "ops:read")).await.map(|found| Json(show(found)))
}

/// Stops it; what is done stays done. Admins stop everybody's; others stop those that they ordered.
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
    seen(&mut tx, &asker, (operation_id, "ops:write")).await?;
    operation::stop(&mut *tx, asker.customer_id, operation_id).await?;
    seen(&mut tx, &asker, (operation_id, "ops:write")).await.map(|found| Json(show(found)))
}
