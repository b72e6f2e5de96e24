//! `salesos publisher`: publishes events to Kafka. Several share the work.

use anyhow::Result;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::worker::STOPS_WITHIN;
use crate::database::{Database, Role};
use crate::settings::Settings;
use crate::{Ending, kafka, listening, process};

pub(crate) async fn run(settings: Settings) -> Result<Ending> {
    kafka::check(settings.kafka()?).await?;
    let stop = CancellationToken::new();
    listening::stop_on_signals(&stop)?;
    let database = Database::find(&settings)?;
    database.check_migrated().await?;
    let db = database.pool(Role::Worker, 4).await?;
    let tasks = TaskTracker::new();
    process::publish(&db, &settings, &tasks, &stop)?;
    println!("ready publisher");
    stop.cancelled().await;
    tasks.close();
    if tokio::time::timeout(STOPS_WITHIN, tasks.wait()).await.is_err() {
        tracing::warn!("some events took too long; another publisher tells them again");
    }
    Ok(Ending::Done)
}
