//! Erasing a person, and the certificate of it.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State as Shared};
use chrono::{DateTime, Utc};
use crm::erasure::{self, Erasure};
use engine::id;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::State;
use crate::input::path_id;
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Caller};

/// The routes.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(erase)).routes(routes!(find))
}

/// A certificate of an erasure.
#[derive(Serialize, ToSchema)]
#[schema(as = Erasure)]
struct ErasureBody {
    #[schema(example = "ers_01h455vb4pex5vsknk084sn02q")]
    id: String,
    contact_id: String,
    /// How many rows were emptied or removed, by what they were.
    removed: BTreeMap<String, i64>,
    actor: String,
    created_at: DateTime<Utc>,
    /// A certificate never changes.
    updated_at: DateTime<Utc>,
}

fn show(erasure: Erasure) -> ErasureBody {
    ErasureBody {
        id: id::show("ers", erasure.id),
        contact_id: id::show("con", erasure.contact_id),
        removed: erasure.removed.0,
        actor: erasure.actor,
        created_at: erasure.at,
        updated_at: erasure.at,
    }
}

/// Removes all that is personal of a contact from every table, for good: names, address, notes, mails, what events and
/// runs say of it. Its enrollments end; ids, instants and kinds of what happened stay; the address stays suppressed by a
/// keyed hash. Asked again, it gives the same certificate.
#[utoipa::path(
    post, path = "/contacts/{id}/erase",
    responses((status = 200, description = "The certificate", body = ErasureBody)),
    security(("bearer" = ["erasures:write"])),
)]
async fn erase(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(contact): Path<String>,
) -> Result<Json<ErasureBody>, Problem> {
    let contact_id = path_id("con", &contact)?;
    let (customer_id, actor) = (caller.customer_id, caller.actor());
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let erased =
        erasure::erase(&mut tx, &state.definitions, customer_id, contact_id, &actor).await?;
    erased.map(|erased| Json(show(erased))).ok_or_else(|| Problem::new(Kind::NotFound))
}

/// A certificate.
#[utoipa::path(
    get, path = "/erasures/{id}",
    responses((status = 200, description = "As asked", body = ErasureBody)),
    security(("bearer" = ["erasures:read"])),
)]
async fn find(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(erased): Path<String>,
) -> Result<Json<ErasureBody>, Problem> {
    let erasure_id = path_id("ers", &erased)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = erasure::find(&mut *tx, caller.customer_id, erasure_id).await?;
    found.map(|found| Json(show(found))).ok_or_else(|| Problem::new(Kind::NotFound))
}
