//! Events on their way out: how many wait, since when, and trying again what was set aside.

use axum::Json;
use axum::extract::{Path, State as Shared};
use chrono::{DateTime, Utc};
use engine::relay::{self, Parked, Standing};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::State;
use crate::input::{Body, Params, path_id};
use crate::page::{self, Cursors, Page, Paging};
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Asker};

/// The routes.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(standing))
        .routes(routes!(parked))
        .routes(routes!(retry_all))
        .routes(routes!(retry))
        .routes(routes!(replay))
}

/// How many events are not told yet, since when, and how many are set aside.
#[utoipa::path(
    get, path = "/ops/outbox",
    responses((status = 200, description = "As asked", body = Standing)),
    security(("bearer" = ["ops:read"])),
)]
async fn standing(Shared(state): Shared<State>, asker: Asker) -> Result<Json<Standing>, Problem> {
    let mut tx = tenant::begin(&state.pool, &asker).await?;
    Ok(Json(relay::standing(&mut tx, asker.customer_id).await?))
}

/// Events that are set aside: what would not be taken, and what waits behind it, in the order in which they came.
#[utoipa::path(
    get, path = "/ops/outbox/parked",
    params(Paging),
    responses((status = 200, description = "As asked", body = Page<Parked>)),
    security(("bearer" = ["ops:read"])),
)]
async fn parked(
    Shared(state): Shared<State>,
    asker: Asker,
    cursors: Cursors,
    Params(wanted): Params<Paging>,
) -> Result<Json<Page<Parked>>, Problem> {
    let limit = page::limit(wanted.limit)?;
    let after = cursors.read_number(wanted.cursor.as_deref())?;
    let mut tx = tenant::begin(&state.pool, &asker).await?;
    let rows = relay::parked(&mut *tx, asker.customer_id, after, limit).await?;
    Ok(Json(Page::of(rows, limit, |row| cursors.after_number(row.seq), |row| row)))
}

/// Of which topic; of all where none is named.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RetryEvents)]
struct Wanted {
    topic: Option<String>,
}

/// How many events are tried again.
#[derive(Serialize, ToSchema)]
#[schema(as = RetriedEvents)]
struct Retried {
    retried: u64,
}

/// Has events that are set aside tried again at once, of one topic or of all.
#[utoipa::path(
    post, path = "/ops/outbox/retry",
    request_body = Wanted,
    responses((status = 200, description = "As asked", body = Retried)),
    security(("bearer" = ["ops:write"])),
)]
async fn retry_all(
    Shared(state): Shared<State>,
    asker: Asker,
    Body(wanted): Body<Wanted>,
) -> Result<Json<Retried>, Problem> {
    let mut tx = tenant::begin(&state.pool, &asker).await?;
    let topic = wanted.topic.as_deref();
    let retried = relay::retry(&mut *tx, asker.customer_id, None, topic).await?;
    Ok(Json(Retried { retried }))
}

/// Has an event that is set aside tried again at once, with those that wait behind it.
#[utoipa::path(
    post, path = "/ops/outbox/{id}/retry",
    responses((status = 200, description = "As asked", body = Retried)),
    security(("bearer" = ["ops:write"])),
)]
async fn retry(
    Shared(state): Shared<State>,
    asker: Asker,
    Path(event): Path<String>,
) -> Result<Json<Retried>, Problem> {
    let event = path_id("evt", &event)?;
    let mut tx = tenant::begin(&state.pool, &asker).await?;
    match relay::retry(&mut *tx, asker.customer_id, Some(event), None).await? {
        0 => Err(Problem::new(Kind::NotFound)),
        retried => Ok(Json(Retried { retried })),
    }
}

/// From when on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReplayEvents)]
struct Since {
    from: DateTime<Utc>,
}

/// What is told again.
#[derive(Serialize, ToSchema)]
#[schema(as = ReplayedEvents)]
struct Replayed {
    /// How many of the sixteen lanes were set back.
    lanes: u64,
}

/// Has all events told again that were written since an instant and are still kept: those of all customers, so it is for
/// operators of the platform; others find nothing here.
#[utoipa::path(
    post, path = "/ops/outbox/replay",
    request_body = Since,
    responses(
        (status = 200, description = "As asked", body = Replayed),
        (status = 404, description = "Asked by a customer's user"),
    ),
    security(("bearer" = ["ops:write"])),
)]
async fn replay(
    Shared(state): Shared<State>,
    asker: Asker,
    Body(since): Body<Since>,
) -> Result<Json<Replayed>, Problem> {
    if asker.customer_id.is_some() {
        return Err(Problem::new(Kind::NotFound));
    }
    let mut tx = tenant::begin(&state.pool, &asker).await?;
    let lanes = relay::replay(&mut *tx, since.from).await?;
    Ok(Json(Replayed { lanes }))
}
