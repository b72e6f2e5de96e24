//! `salesos worker`: runs steps and looks what came in, without serving the API; tells events, too, where there is no
//! Kafka or it is asked for all.

use anyhow::Result;
use crm::vault::Vault;

use super::background::{Background, Start};
use super::dev;
use crate::process::Telling;
use crate::settings::Settings;
use crate::{Ending, process};

/// Its arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Publish events to Kafka and apply them here as well, as `salesos publisher` and `salesos consumer` do. Without
    /// Kafka events are applied here in any case.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    background: Background,
}

pub(crate) async fn run(args: Args, settings: Settings) -> Result<Ending> {
    let telling = match settings.kafka {
        Some(_) if !args.all => Telling::Elsewhere,
        Some(_) | None => Telling::Here,
    };
    let start = async |start: Start<'_>| {
        let data_dir = dev::folder(&settings.data_dir)?;
        let vault = if settings.vault.is_some() || dev::keeps_encryption_key(&data_dir) {
            dev::vault(&settings, &data_dir)?
        } else {
            tracing::warn!(
                "ENCRYPTION_KEY is not set, so neither webhooks nor links that set a password are sent from here; set it"
            );
            Vault::default()
        };
        dev::warn_without_mail(&settings);
        let Start { database, tasks, stop } = start;
        process::start(database, data_dir, &settings, vault, telling, tasks, stop).await
    };
    args.background.run("worker", &settings, start).await
}
