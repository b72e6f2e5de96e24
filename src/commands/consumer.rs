//! `salesos consumer`: applies the events that Kafka has, and has them read again. Several share the work.

use anyhow::{Result, bail};

use super::background::{Background, Start};
use super::{dev, outbox};
use crate::database::{Database, Role};
use crate::kafka::{self, From};
use crate::out;
use crate::settings::Settings;
use crate::{Ending, process};

/// Its arguments.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(flatten)]
    background: Background,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What else it does.
#[derive(clap::Subcommand)]
enum Command {
    /// Has events read again; what was applied is not applied twice. No consumer may run meanwhile.
    Replay {
        /// From when on they were published: an instant such as 2026-11-26T08:00:00Z, or `beginning`.
        #[arg(long, value_parser = from)]
        from: From,
        /// Of these topics alone.
        #[arg(long = "topic")]
        topics: Vec<String>,
    },
}

fn from(text: &str) -> Result<From, String> {
    if text == "beginning" {
        return Ok(From::Beginning);
    }
    outbox::instant(text).map(From::Instant).map_err(|problem| format!("{problem}, or beginning"))
}

pub(crate) async fn run(args: Args, settings: Settings) -> Result<Ending> {
    kafka::check(settings.kafka()?).await?;
    match args.command {
        None => work(&args.background, &settings).await,
        Some(Command::Replay { from, topics }) => replay(&settings, from, topics).await,
    }
}

async fn work(background: &Background, settings: &Settings) -> Result<Ending> {
    let start = async |start: Start<'_>| {
        let db = start.database.pool(Role::Worker, 8).await?;
        let definitions = process::definitions(db.clone(), &dev::folder(&settings.data_dir)?);
        process::consume(&db, definitions, settings, start.tasks, start.stop)
    };
    background.run("consumer", settings, start).await
}

async fn replay(settings: &Settings, from: From, topics: Vec<String>) -> Result<Ending> {
    let db = Database::find(settings)?.pool(Role::Worker, 2).await?;
    let all = kafka::wanted(&db).await?;
    if let Some(unknown) = topics.iter().find(|topic| !all.contains(*topic)) {
        bail!("`{unknown}` is no topic that is read; `salesos kafka topics` lists them");
    }
    let wanted = if topics.is_empty() { all } else { topics.into_iter().collect() };
    let partitions = kafka::replay(settings.kafka()?, wanted, from).await?;
    out::line(format_args!("{partitions} partitions are read again from there on"));
    Ok(if partitions == 0 { Ending::NothingMatched } else { Ending::Done })
}
