//! When an expression comes, before there is a schedule.

use axum::Json;
use axum::extract::State as Shared;
use chrono::{DateTime, Utc};
use engine::clock;
use engine::timing::{Cron, Occurrence, Zone};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::plan::{self, Faults};
use crate::State;
use crate::input::Body;
use crate::problem::Problem;
use crate::tenant::{self, Caller};

/// The most occurrences of a preview.
const MOST: usize = 100;

/// What is asked.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WantedPreview)]
pub(super) struct Wanted {
    cron: String,
    /// The customer's where none is named.
    zone: Option<String>,
    /// After when; now by default.
    from: Option<DateTime<Utc>>,
    #[serde(default = "ten")]
    count: usize,
}

fn ten() -> usize {
    10
}

/// What comes.
#[derive(Serialize, ToSchema)]
#[schema(as = SchedulePreview)]
pub(super) struct Preview {
    cron: String,
    zone: String,
    occurrences: Vec<OccurrenceBody>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Occurrence)]
struct OccurrenceBody {
    at: DateTime<Utc>,
    /// As people read it there.
    local: String,
    /// The local time that the expression names, where a change of the clock moves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    moved_from: Option<String>,
}

fn show(occurrence: &Occurrence, zone: &Zone) -> OccurrenceBody {
    let moved = zone.wall(occurrence.at) != occurrence.named;
    OccurrenceBody {
        at: occurrence.at,
        local: zone.local(occurrence.at),
        moved_from: moved.then(|| occurrence.named.format("%Y-%m-%d %H:%M:%S").to_string()),
    }
}

/// The next occurrences of an expression; none of one that comes no more.
#[utoipa::path(
    post, path = "/ops/schedules/preview",
    request_body = Wanted,
    responses((status = 200, description = "As asked", body = Preview)),
    security(("bearer" = ["ops:read"])),
)]
pub(super) async fn preview(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(wanted): Body<Wanted>,
) -> Result<Json<Preview>, Problem> {
    if !(1..=MOST).contains(&wanted.count) {
        return Err(Problem::invalid("count", format!("is a number from 1 to {MOST}")));
    }
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let mut faults = Faults::default();
    let cron: Option<Cron> = faults.keep(plan::cron(&wanted.cron));
    let zone = match &wanted.zone {
        Some(name) => faults.keep(plan::zone(name)),
        None => Some(plan::customers_zone(&mut tx, caller.customer_id).await?),
    };
    let (Some(cron), Some(zone)) = (cron, zone) else { return Err(faults.problem()) };
    let from = match wanted.from {
        Some(from) => from,
        None => clock::now(&mut *tx).await?,
    };
    let upcoming = cron.upcoming(from, &zone, wanted.count);
    Ok(Json(Preview {
        cron: cron.text().to_owned(),
        zone: zone.name().to_owned(),
        occurrences: upcoming.iter().map(|occurrence| show(occurrence, &zone)).collect(),
    }))
}
