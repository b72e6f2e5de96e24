//! `salesos jobs`: step jobs, and trying the held ones again.

use anyhow::{Result, bail};
use clap::builder::PossibleValuesParser;
use engine::id;
use engine::run::{self, Action, Filter};

use super::runs;
use crate::Ending;
use crate::database::{Database, Role};
use crate::listing::Listing;
use crate::settings::Settings;

/// How many held runs one command retries.
const MOST: u32 = 1_000;

/// Its subcommands.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Lists runs by the state of their job, newest first; without a state those that ended too.
    List {
        /// In this state only.
        #[arg(long, value_parser = PossibleValuesParser::new(["ready", "running", "sleeping", "waiting", "held"]))]
        state: Option<String>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Lets held runs try their step again: those of these ids, or up to 1,000 that a filter matches.
    Retry {
        /// The runs (`run_…` or `enr_…`).
        ids: Vec<String>,
        /// By state; only held ones can be retried.
        #[arg(long, value_parser = PossibleValuesParser::new(["held"]), conflicts_with = "ids")]
        state: Option<String>,
        /// Only those whose reason contains this text.
        #[arg(long, conflicts_with = "ids")]
        error: Option<String>,
        /// Only say how many would be retried.
        #[arg(long)]
        dry_run: bool,
        /// Don't ask.
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) async fn run(command: Command, settings: Settings) -> Result<Ending> {
    let db = Database::find(&settings)?.pool(Role::Owner, 2).await?;
    match command {
        Command::List { state, listing } => {
            let filter = Filter { state, ..Filter::default() };
            runs::list(&db, &filter, &listing).await
        }
        Command::Retry { ids, state: None, error: None, dry_run: false, .. } if !ids.is_empty() => {
            runs::act(&db, &settings, &ids, &Action::Retry).await
        }
        Command::Retry { state: None, error: None, .. } => {
            bail!("name runs, or a filter such as --state held --error 'timeout'")
        }
        Command::Retry { error, dry_run, yes, .. } => {
            // A pattern such as `timeout*` finds what its words do.
            let reason = error.map(|error| error.trim_matches('*').to_owned());
            let filter = Filter { state: Some("held".into()), reason, ..Filter::default() };
            let held = run::list(&db, &filter, MOST).await?;
            println!("{} held runs match", held.len());
            if held.is_empty() {
                return Ok(Ending::NothingMatched);
            }
            if dry_run || !(yes || agreed()?) {
                return Ok(Ending::Done);
            }
            let ids: Vec<String> = held.iter().map(|run| id::show("run", run.run_id)).collect();
            runs::act(&db, &settings, &ids, &Action::Retry).await
        }
    }
}

fn agreed() -> Result<bool> {
    println!("retry them? [y/N]");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
