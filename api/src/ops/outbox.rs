//! Events on their way out: how many wait, since when, and trying again what was set aside.

use axum::Json;
use axum::extract::{Path, State as Shared};
use chrono::{DateTime, Utc};
use engine::id;
use engine::relay::{self, Parked};
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

/// Where the events of a customer stand; those of all customers for an operator of the platform.
#[derive(Serialize, ToSchema)]
#[schema(as = Outbox)]
struct Standing {
    /// How many are not told yet; 100000 where there are more.
    untold: i64,
    /// When the oldest of them was written.
    oldest_at: Option<DateTime<Utc>>,
    /// How long ago that is, in seconds.
    lag_seconds: f64,
    /// How many are set aside; 100000 where there are more.
    parked: i64,
    /// The processes that tell events, with how many of the sixteen lanes; for operators alone.
    relays: Option<Vec<Relay>>,
}

/// A process that tells events.
#[derive(Serialize, ToSchema)]
#[schema(as = OutboxRelay)]
struct Relay {
    name: String,
    lanes: i64,
}

/// How many events are not told yet, since when, and how many are set aside.
#[utoipa::path(
    get, path = "/ops/outbox",
    responses((status = 200, description = "As asked", body = Standing)),
    security(("bearer" = ["ops:read"])),
)]
async fn standing(Shared(state): Shared<State>, asker: Asker) -> Result<Json<Standing>, Problem> {
    let mut tx = tenant::begin(&state.pool, &asker).await?;
    let found = relay::standing(&mut tx, asker.customer_id).await?;
    let relays = found.relays.into_iter();
    let relays = relays.map(|relay| Relay { name: relay.name, lanes: relay.lanes }).collect();
    Ok(Json(Standing {
        untold: found.untold,
        oldest_at: found.oldest_at,
        lag_seconds: found.lag_seconds,
        parked: found.parked,
        relays: asker.customer_id.is_none().then_some(relays),
    }))
}

/// An event that is set aside.
#[derive(Serialize, ToSchema)]
#[schema(as = ParkedEvent)]
struct ParkedBody {
    /// `evt_…`
    id: String,
    /// `cus_…`
    customer_id: String,
    topic: String,
    /// The entity; what comes after it of this topic and key waits behind it.
    key: String,
    /// How often it was tried; 0 where it waits behind another.
    tries: i32,
    reason: String,
    parked_at: DateTime<Utc>,
    /// When it is tried again by itself, where that is so.
    retry_at: Option<DateTime<Utc>>,
}

fn show(parked: Parked) -> ParkedBody {
    ParkedBody {
        id: id::show("evt", parked.id),
        customer_id: id::show("cus", parked.customer_id),
        topic: parked.topic,
        key: parked.key,
        tries: parked.tries,
        reason: parked.reason,
        parked_at: parked.parked_at,
        retry_at: parked.retry_at,
    }
}

/// Events that are set aside: what would not be taken, and what waits behind it, in the order in which they came.
#[utoipa::path(
    get, path = "/ops/outbox/parked",
    params(Paging),
    responses((status = 200, description = "As asked", body = Page<ParkedBody>)),
    security(("bearer" = ["ops:read"])),
)]
async fn parked(
    Shared(state): Shared<State>,
    asker: Asker,
    cursors: Cursors,
    Params(wanted): Params<Paging>,
) -> Result<Json<Page<ParkedBody>>, Problem> {
    let limit = page::limit(wanted.limit)?;
    let after = cursors.read_number(wanted.cursor.as_deref())?;
    let mut tx = tenant::begin(&state.pool, &asker).await?;
    let rows = relay::parked(&mut *tx, asker.customer_id, after, limit).await?;
    Ok(Json(Page::of(rows, limit, |row| cursors.after_number(row.seq), show)))
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
    responses((status = 200, description = "As asked", body = Replayed)),
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
