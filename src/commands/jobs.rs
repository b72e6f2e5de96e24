//! `salesos jobs`: step jobs, and trying the held ones again.

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use engine::run::Action;

use super::bulk::Bulk;
use super::runs;
use super::selection::Filter;
use crate::Ending;
use crate::database::{Database, Role};
use crate::listing::Listing;
use crate::settings::Settings;

/// Its subcommands.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Lists runs by the state of their job, newest first; without a state those that ended too.
    List {
        /// In this state only.
        #[arg(long, value_parser = PossibleValuesParser::new(["ready", "running", "sleeping", "waiting", "held"]))]
        state: Option<String>,
        #[command(flatten)]
        filter: Box<Filter>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Lets held runs try their step again: those of these ids, or all that a filter matches.
    Retry(Box<Bulk>),
}

pub(crate) async fn run(command: Command, settings: Settings) -> Result<Ending> {
    let db = Database::find(&settings)?.pool(Role::Worker, 2).await?;
    match command {
        Command::List { state, filter, listing } => {
            let filter = filter.listed(&db, &settings, state).await?;
            runs::list(&db, &filter, &listing).await
        }
        Command::Retry(bulk) => bulk.held_only()?.run(&db, &settings, Action::Retry).await,
    }
}
