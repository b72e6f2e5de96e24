//! `salesos outbox`: events on their way out.

use anyhow::Result;
use chrono::{DateTime, Utc};
use engine::id;
use engine::relay::{self, Parked};
use sqlx::PgPool;

use crate::Ending;
use crate::database::{Database, Role};
use crate::listing::{self, Listing};
use crate::out;
use crate::settings::Settings;

/// Its subcommands.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Says how many events are not told yet, since when, how many are set aside, and who relays, as JSON.
    Lag,
    /// Lists events that are set aside: what Kafka or the consumer would not take, and what waits behind it.
    Parked {
        #[command(flatten)]
        listing: Listing,
    },
    /// Has events that are set aside tried again at once, each with those that wait behind it.
    Retry {
        /// The event (`evt_…`).
        #[arg(required_unless_present_any = ["topic", "all"], conflicts_with_all = ["topic", "all"])]
        event: Option<String>,
        /// All of a topic.
        #[arg(long, conflicts_with = "all")]
        topic: Option<String>,
        /// All of them.
        #[arg(long)]
        all: bool,
    },
    /// Has all events told again that were written since an instant and are still kept. Consumers know them by their ids.
    Replay {
        /// An instant such as 2026-11-26T08:00:00Z.
        #[arg(long, value_parser = instant)]
        from: DateTime<Utc>,
    },
}

/// Reads an instant of the command line.
pub(super) fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    let instant = DateTime::parse_from_rfc3339(text);
    instant
        .map(|instant| instant.with_timezone(&Utc))
        .map_err(|_| "write an instant such as 2026-11-26T08:00:00Z".into())
}

pub(crate) async fn run(command: Command, settings: Settings) -> Result<Ending> {
    let db = Database::find(&settings)?.pool(Role::Worker, 2).await?;
    match command {
        Command::Lag => {
            let standing = relay::standing(&mut *db.acquire().await?, None).await?;
            out::line(serde_json::to_string_pretty(&standing)?);
            Ok(Ending::Done)
        }
        Command::Parked { listing } => parked(&db, &listing).await,
        Command::Retry { event, topic, all: _ } => retry(&db, event, topic).await,
        Command::Replay { from } => {
            let lanes = relay::replay(&db, from).await?;
            out::line(format_args!("{lanes} lanes are published again from there on"));
            Ok(if lanes == 0 { Ending::NothingMatched } else { Ending::Done })
        }
    }
}

async fn parked(db: &PgPool, listing: &Listing) -> Result<Ending> {
    let headers = ["event", "topic", "key", "tries", "reason", "since", "again at"];
    let time = |at: DateTime<Utc>| at.format("%F %T").to_string();
    let cells = |row: &Parked| {
        vec![
            id::show("evt", row.id),
            row.topic.clone(),
            row.key.clone(),
            row.tries.to_string(),
            row.reason.clone(),
            time(row.parked_at),
            row.retry_at.map(time).unwrap_or_default(),
        ]
    };
    let rows = || async { Ok(relay::parked(db, None, 0, listing.limit).await?) };
    listing::show(listing, &headers, cells, rows).await
}

async fn retry(db: &PgPool, event: Option<String>, topic: Option<String>) -> Result<Ending> {
    let event = event.map(|text| id::read("evt", &text)).transpose()?;
    let due = relay::retry(db, None, event, topic.as_deref()).await?;
    out::line(format_args!("{due} events are tried again"));
    Ok(if due == 0 { Ending::NothingMatched } else { Ending::Done })
}
