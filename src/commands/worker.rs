//! `salesos worker`: runs steps and looks what came in, without serving the API; tells events, too, where there is no
//! Kafka or it is asked for all.

use std::time::Duration;

use anyhow::Result;
use crm::vault::Vault;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::dev;
use crate::database::Database;
use crate::process::Telling;
use crate::settings::Settings;
use crate::{Ending, listening, process};

/// How long it may take to stop; a step that takes longer is taken back by another worker.
pub(super) const STOPS_WITHIN: Duration = Duration::from_secs(25);

/// Its arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Publish events to Kafka and apply them here as well, as `salesos publisher` and `salesos consumer` do. Without
    /// Kafka events are applied here in any case.
    #[arg(long)]
    all: bool,
}

pub(crate) async fn run(args: Args, settings: Settings) -> Result<Ending> {
    let stop = CancellationToken::new();
    listening::stop_on_signals(&stop)?;
    let database = Database::find(&settings)?;
    database.check_migrated().await?;
    let data_dir = dev::folder(&settings.data_dir)?;
    let tasks = TaskTracker::new();
    let vault = if settings.vault.is_some() || dev::keeps_encryption_key(&data_dir) {
        dev::vault(&settings, &data_dir)?
    } else {
        tracing::warn!("ENCRYPTION_KEY is not set, so that webhooks can't be signed here");
        Vault::default()
    };
    let telling = match settings.kafka {
        Some(_) if !args.all => Telling::Elsewhere,
        Some(_) | None => Telling::Here,
    };
    process::start(&database, data_dir, &settings, vault, telling, &tasks, &stop).await?;
    println!("ready worker");
    stop.cancelled().await;
    tasks.close();
    if tokio::time::timeout(STOPS_WITHIN, tasks.wait()).await.is_err() {
        tracing::warn!("some steps took too long; another worker takes them back");
    }
    Ok(Ending::Done)
}
