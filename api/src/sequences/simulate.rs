//! What a sequence will do to a cohort, before anybody is enrolled.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State as Shared};
use chrono::{DateTime, Utc};
use crm::sequence;
use crm::simulation::{self, Answers, DAYS, Plan, Telling};
use engine::clock;
use engine::limit::{Daily, Gap, Rate, Rule};
use engine::rehearsal::Forecast;
use engine::timing::Zone;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::enroll::unreadable;
use crate::State;
use crate::input::{Body, path_id};
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Caller};

/// The most people that one request looks ahead over.
const PEOPLE: u32 = 100_000;

/// The route.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(simulate))
}

/// What is asked; shares are 0 to 1.
#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WantedSimulation)]
struct Wanted {
    /// Simulates this many generated contacts instead of the customer's own.
    people: Option<u32>,
    start_at: Option<DateTime<Utc>>,
    days: Option<u32>,
    zone: Option<String>,
    enroll_per_day: Option<u32>,
    mailboxes: Option<u32>,
    daily_cap: Option<u32>,
    ramp: Option<u32>,
    hourly_cap: Option<u32>,
    gap_seconds: Option<u64>,
    #[serde(default)]
    opened: f64,
    #[serde(default)]
    clicked: f64,
    #[serde(default)]
    replied: f64,
    #[serde(default)]
    bounced: f64,
    #[serde(default)]
    unsubscribed: f64,
    #[serde(default)]
    seed: u64,
}

impl Wanted {
    fn zone(&self) -> Result<Zone, Problem> {
        let Some(name) = &self.zone else { return Ok(Zone::utc()) };
        Zone::parse(name).map_err(|error| Problem::invalid("zone", error.to_string()))
    }

    fn plan(&self, zone: &Zone, now: DateTime<Utc>) -> Result<Plan, Problem> {
        let within = |field: &str, value: Option<u32>, least: u32, most: u32| match value {
            Some(value) if !(least..=most).contains(&value) => {
                Err(Problem::invalid(field, format!("is {least} to {most}")))
            }
            value => Ok(value),
        };
        let share = |field: &str, share: f64| {
            let right = (0.0..=1.0).contains(&share).then_some(share);
            right.ok_or_else(|| Problem::invalid(field, "is a share, 0 to 1"))
        };
        within("people", self.people, 1, PEOPLE)?;
        let daily = within("daily_cap", self.daily_cap, 1, 100_000)?;
        let ramp = within("ramp", self.ramp, 1, 100_000)?;
        if ramp.is_some() && daily.is_none() {
            return Err(Problem::invalid("ramp", "grows up to a `daily_cap`; give that as well"));
        }
        let rule = Rule {
            gap: self
                .gap_seconds
                .map(|least| Gap { least: Duration::from_secs(least.min(86_400)), jitter: 0.5 }),
            at_once: None,
            rate: within("hourly_cap", self.hourly_cap, 1, 200)?
                .map(|cap| Rate { cap, per: Duration::from_secs(3_600) }),
            daily: daily.map(|cap| Daily { cap, ramp, zone: zone.clone() }),
        };
        Ok(Plan {
            starts_at: self.start_at.unwrap_or(now),
            days: within("days", self.days, 1, DAYS)?.unwrap_or(90),
            per_day: within("enroll_per_day", self.enroll_per_day, 1, PEOPLE)?,
            mailboxes: within("mailboxes", self.mailboxes, 1, 10_000)?.unwrap_or(1),
            rule,
            answers: Answers {
                opened: share("opened", self.opened)?,
                clicked: share("clicked", self.clicked)?,
                replied: share("replied", self.replied)?,
                bounced: share("bounced", self.bounced)?,
                unsubscribed: share("unsubscribed", self.unsubscribed)?,
            },
            seed: self.seed,
        })
    }
}

/// What the sequence will do to a cohort, day by day.
#[utoipa::path(
    post, path = "/sequences/{id}/simulate",
    request_body = Wanted,
    responses((status = 200, description = "As asked", body = Forecast)),
    security(("bearer" = ["sequences:read"])),
)]
async fn simulate(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(sequence): Path<String>,
    Body(wanted): Body<Wanted>,
) -> Result<Json<Forecast>, Problem> {
    let sequence_id = path_id("seq", &sequence)?;
    let zone = wanted.zone()?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let plan = wanted.plan(&zone, clock::now(&mut *tx).await?)?;
    let sequence = sequence::find(&mut *tx, caller.customer_id, sequence_id).await?;
    let sequence = sequence.ok_or_else(|| Problem::new(Kind::NotFound))?;
    let definition = state.definitions.load(&mut *tx, sequence.definition_id).await;
    let definition = definition.map_err(unreadable)?;
    let people = match wanted.people {
        Some(count) => simulation::strangers(count as usize, &[(zone.clone(), 1)], &plan),
        None => {
            let most = PEOPLE as usize;
            simulation::contacts(&mut tx, caller.customer_id, &definition, &plan, most).await?
        }
    };
    tx.undo().await?;
    // One at a time: each may take a core for a second.
    let _turn = state.simulations.acquire().await.map_err(|_| Problem::new(Kind::Unavailable))?;
    let telling = Telling { traced: 0, threads: 1 };
    let work = tokio::task::spawn_blocking(move || {
        simulation::simulate(Arc::clone(&definition), &people, &plan, zone, telling, |_| {})
    });
    work.await.map(Json).map_err(|error| {
        tracing::error!(%error, "a simulation panicked");
        Problem::new(Kind::Internal)
    })
}
