//! `salesos schedules preview`: when a schedule, or an expression, comes next.

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use engine::clock;
use engine::timing::{Cron, Occurrence, Zone};
use serde::Serialize;
use sqlx::PgPool;

use super::{Named, Of, add, find};
use crate::out;
use crate::{Ending, customer};

/// Its arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The schedule's name, or its id (`sch_…`).
    #[arg(required_unless_present = "cron", conflicts_with = "cron")]
    schedule: Option<String>,
    /// An expression instead, such as '0 9 * * mon'.
    #[arg(long)]
    cron: Option<String>,
    /// In which zone, such as `Europe/Vienna`; the customer's where none is named.
    #[arg(long, requires = "cron")]
    zone: Option<String>,
    /// After this instant, such as 2026-03-28T00:00:00Z; now by default.
    #[arg(long)]
    from: Option<DateTime<Utc>>,
    /// How many.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    customer: Of,
}

/// An occurrence as JSON shows it.
#[derive(Serialize)]
struct Shown {
    at: DateTime<Utc>,
    local: String,
    /// The local time that the expression names, where a change of the clock moves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    moved_from: Option<String>,
}

/// Shows an expression whose zone and beginning are given; `None` where the database has to say them.
pub(super) fn without_database(args: &Args) -> Result<Option<Ending>> {
    let Some(text) = &args.cron else { return Ok(None) };
    let cron = add::cron(text)?;
    let zone = args.zone.as_deref().map(add::zone).transpose()?;
    let Some((zone, from)) = zone.zip(args.from) else { return Ok(None) };
    show(&cron, &zone, from, args).map(Some)
}

pub(super) async fn run(db: &PgPool, args: &Args) -> Result<Ending> {
    let (cron, zone) = match (&args.cron, &args.schedule) {
        (Some(text), _) => {
            let name = match &args.zone {
                Some(name) => name.clone(),
                None => customer::choose(db, args.customer.customer.as_deref()).await?.time_zone,
            };
            (add::cron(text)?, add::zone(&name)?)
        }
        (None, Some(schedule)) => {
            let customer = Of { customer: args.customer.customer.clone() };
            let named = Named { schedule: schedule.clone(), customer };
            let Some(found) = find(db, &named).await? else { return Ok(Ending::NothingMatched) };
            (add::cron(&found.cron)?, add::zone(&found.zone)?)
        }
        (None, None) => bail!("name a schedule, or write an expression as --cron '0 9 * * mon'"),
    };
    let from = match args.from {
        Some(from) => from,
        None => clock::now(db).await?,
    };
    show(&cron, &zone, from, args)
}

fn show(cron: &Cron, zone: &Zone, from: DateTime<Utc>, args: &Args) -> Result<Ending> {
    let count = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let shown = |occurrence: &Occurrence| Shown {
        at: occurrence.at,
        local: zone.local(occurrence.at),
        moved_from: (zone.wall(occurrence.at) != occurrence.named)
            .then(|| occurrence.named.format("%Y-%m-%d %H:%M:%S").to_string()),
    };
    let upcoming: Vec<Shown> = cron.upcoming(from, zone, count).iter().map(shown).collect();
    if args.json {
        out::line(serde_json::to_string_pretty(&upcoming)?);
    } else {
        for occurrence in &upcoming {
            let weekday = zone.wall(occurrence.at).format("%a");
            let moved = match &occurrence.moved_from {
                Some(named) => format!(", moved from {named}, which the clock skips"),
                None => String::new(),
            };
            out::line(format_args!("{weekday} {}{moved}", occurrence.local));
        }
        if upcoming.is_empty() {
            out::line("nothing comes any more");
        }
    }
    Ok(if upcoming.is_empty() { Ending::NothingMatched } else { Ending::Done })
}
