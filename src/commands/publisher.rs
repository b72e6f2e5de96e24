//! `salesos publisher`: publishes events to Kafka. Several share the work.

use anyhow::Result;

use super::background::{Background, Start};
use crate::database::Role;
use crate::settings::Settings;
use crate::{Ending, kafka, process};

/// Its arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    background: Background,
}

pub(crate) async fn run(args: Args, settings: Settings) -> Result<Ending> {
    kafka::check(settings.kafka()?).await?;
    let start = async |start: Start<'_>| {
        let db = start.database.pool(Role::Worker, 4).await?;
        process::publish(&db, &settings, start.tasks, start.stop)
    };
    args.background.run("publisher", &settings, start).await
}
