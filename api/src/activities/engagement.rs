//! How much a contact cares, explained by its parts, and the rules by which that is counted.

use axum::Json;
use axum::extract::{Path, State as Shared};
use chrono::{DateTime, Utc};
use crm::engagement::{self, Level, Part, Rules};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::State;
use crate::input::{Body, path_id};
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Caller};

/// The routes.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(find)).routes(routes!(rules, set_rules))
}

/// A score, explained.
#[derive(Serialize, ToSchema)]
#[schema(as = Engagement)]
struct EngagementBody {
    /// Now.
    score: i32,
    level: Level,
    /// When the level falls if nothing comes.
    falls_at: Option<DateTime<Utc>>,
    /// What it is the sum of, the newest first, at most 200.
    parts: Vec<PartBody>,
}

/// What one event is worth.
#[derive(Serialize, ToSchema)]
#[schema(as = EngagementPart)]
struct PartBody {
    event: String,
    /// Why, of points that a sequence gave.
    reason: Option<String>,
    /// None where as many as count had come that day.
    points: i32,
    at: DateTime<Utc>,
    /// What is left of them.
    decayed: f64,
}

fn show(part: Part) -> PartBody {
    PartBody {
        event: part.fact.event,
        reason: part.fact.reason,
        points: part.points,
        at: part.fact.at,
        decayed: (part.decayed * 100.0).round() / 100.0,
    }
}

/// How much a contact cares, and of what that is the sum.
#[utoipa::path(
    get, path = "/contacts/{id}/engagement",
    responses((status = 200, description = "As asked", body = EngagementBody)),
    security(("bearer" = ["activities:read"])),
)]
async fn find(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(contact): Path<String>,
) -> Result<Json<EngagementBody>, Problem> {
    let contact_id = path_id("con", &contact)?;
    let customer_id = caller.customer_id;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = crm::contact::find(&mut *tx, customer_id, contact_id).await?;
    found.ok_or_else(|| Problem::new(Kind::NotFound))?;
    let score = engagement::explain(&mut tx, customer_id, contact_id).await?;
    #[expect(clippy::cast_possible_truncation, reason = "points are few thousands")]
    let rounded = score.sum.round() as i32;
    Ok(Json(EngagementBody {
        score: rounded,
        level: score.level,
        falls_at: score.falls_at,
        parts: score.parts.into_iter().rev().take(200).map(show).collect(),
    }))
}

/// The rules by which engagement is counted.
#[utoipa::path(
    get, path = "/engagement/rules",
    responses((status = 200, description = "As asked", body = Rules)),
    security(("bearer" = ["activities:read"])),
)]
async fn rules(Shared(state): Shared<State>, caller: Caller) -> Result<Json<Rules>, Problem> {
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    Ok(Json(engagement::rules(&mut *tx, caller.customer_id).await?))
}

/// Puts rules in place of those that hold; all scores are computed again by them from what has happened.
#[utoipa::path(
    put, path = "/engagement/rules",
    request_body = Rules,
    responses((status = 200, description = "As asked", body = Rules)),
    security(("bearer" = ["engagement:write"])),
)]
async fn set_rules(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(rules): Body<Rules>,
) -> Result<Json<Rules>, Problem> {
    rules.check().map_err(|(field, message)| Problem::invalid(&field, message))?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    engagement::set_rules(&mut tx, caller.customer_id, &rules).await?;
    Ok(Json(rules))
}
