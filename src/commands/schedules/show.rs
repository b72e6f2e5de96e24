//! How schedules and their fires are shown.

use anyhow::Result;
use engine::id;
use engine::schedule::{self, Fire, Schedule};
use engine::timing::Zone;
use serde::Serialize;
use sqlx::PgPool;

use super::{Named, Of, find};
use crate::listing::{self, Listing};
use crate::out;
use crate::{Ending, customer};

/// A schedule as JSON shows it.
#[derive(Serialize)]
pub(super) struct Shown {
    id: String,
    #[serde(flatten)]
    schedule: Schedule,
    contact: Option<String>,
    jitter: Option<String>,
}

pub(super) fn shown(schedule: Schedule) -> Shown {
    Shown {
        id: id::show("sch", schedule.id),
        contact: schedule.subject_id.map(|subject| id::show("con", subject)),
        jitter: schedule.jitter_text(),
        schedule,
    }
}

/// When a schedule fires next, for people.
pub(super) fn next(schedule: &Schedule) -> String {
    match (schedule.next_at, Zone::parse(&schedule.zone)) {
        (Some(at), Ok(zone)) => format!("fires next {}", zone.local(at)),
        (Some(at), Err(_)) => format!("fires next {at}"),
        (None, _) if schedule.state == "paused" => "paused".into(),
        (None, _) => "over, nothing comes any more".into(),
    }
}

pub(super) async fn list(db: &PgPool, of: &Of, args: &Listing) -> Result<Ending> {
    let customer = customer::choose(db, of.customer.as_deref()).await?;
    let headers = ["name", "cron", "starts", "state", "next", "waiting", "overlap", "catch up"];
    let cells = |row: &Shown| {
        let schedule = &row.schedule;
        let zone = Zone::parse(&schedule.zone).ok();
        let next = schedule.next_at.map(|at| match &zone {
            Some(zone) => zone.local(at),
            None => at.to_string(),
        });
        vec![
            schedule.name.clone(),
            schedule.cron.clone(),
            schedule.workflow.clone().unwrap_or_else(|| "–".into()),
            schedule.state.clone(),
            next.unwrap_or_else(|| "–".into()),
            schedule.waiting.to_string(),
            schedule.overlap.clone(),
            schedule.catch_up.clone(),
        ]
    };
    listing::show(args, &headers, cells, || async {
        let found = schedule::list(db, Some(customer.id), None, args.limit).await?;
        Ok(found.into_iter().map(shown).collect())
    })
    .await
}

pub(super) async fn show(db: &PgPool, named: &Named) -> Result<Ending> {
    let Some(found) = find(db, named).await? else { return Ok(Ending::NothingMatched) };
    out::line(serde_json::to_string_pretty(&shown(found))?);
    Ok(Ending::Done)
}

/// A fire as JSON shows it.
#[derive(Serialize)]
struct FireShown {
    #[serde(flatten)]
    fire: Fire,
    run: Option<String>,
}

pub(super) async fn fires(db: &PgPool, named: &Named, args: &Listing) -> Result<Ending> {
    let Some(found) = find(db, named).await? else { return Ok(Ending::NothingMatched) };
    let zone = Zone::parse(&found.zone).unwrap_or_else(|_| Zone::utc());
    let cells = |row: &FireShown| {
        let missed = row.fire.missed.map(|count| match count {
            1_000.. => "1000 or more occurrences".to_owned(),
            1 => "1 occurrence".to_owned(),
            count => format!("{count} occurrences"),
        });
        vec![
            zone.local(row.fire.occurrence_at),
            zone.local(row.fire.at),
            row.fire.outcome.clone(),
            row.run.clone().unwrap_or_default(),
            row.fire.reason.clone().or(missed).unwrap_or_default(),
        ]
    };
    let headers = ["occurrence", "at", "outcome", "run", "detail"];
    listing::show(args, &headers, cells, || async {
        let fires = schedule::fires(db, found.id, None, args.limit).await?;
        let shown = |fire: Fire| {
            let run = fire.run_id.map(|run| id::show("run", run));
            FireShown { fire, run }
        };
        Ok(fires.into_iter().map(shown).collect())
    })
    .await
}
