//! Processes that work in the background until they are stopped, and what all of them take.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::routing::get;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::database::Database;
use crate::out;
use crate::settings::Settings;
use crate::{Ending, listening, process, telemetry};

/// How long a process may take to stop.
const STOPS_WITHIN: Duration = Duration::from_secs(25);

/// What each takes.
#[derive(clap::Args)]
pub(crate) struct Background {
    /// Answer `/metrics` (Prometheus) and `/healthz` there, such as 127.0.0.1:9464.
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics: Option<SocketAddr>,
}

/// What a process does once its database is known.
pub(super) struct Start<'a> {
    pub(super) database: &'a Database,
    pub(super) tasks: &'a TaskTracker,
    pub(super) stop: &'a CancellationToken,
}

impl Background {
    /// Starts the work, says that it is ready, and ends it in order once that is asked for.
    pub(super) async fn run(
        &self,
        name: &str,
        settings: &Settings,
        start: impl AsyncFnOnce(Start<'_>) -> Result<()>,
    ) -> Result<Ending> {
        let stop = CancellationToken::new();
        listening::stop_on_signals(&stop)?;
        let tasks = TaskTracker::new();
        if let Some(address) = self.metrics {
            let listener = listening::take(address.ip(), address.port()).await?;
            telemetry::measure()?;
            tasks.spawn(process::keep_up(stop.clone()));
            listening::serve(listener, checks(), &tasks, &stop)?;
        }
        let database = Database::find(settings)?;
        database.check_migrated().await?;
        start(Start { database: &database, tasks: &tasks, stop: &stop }).await?;
        out::notice(format_args!("ready {name}"));
        if !ends_in_order(&tasks, &stop).await {
            tracing::warn!("what is under way took too long; another process takes it back");
        }
        Ok(Ending::Done)
    }
}

/// Waits until it is told to stop, then for what is under way; whether that came to its end.
pub(super) async fn ends_in_order(tasks: &TaskTracker, stop: &CancellationToken) -> bool {
    stop.cancelled().await;
    tasks.close();
    tokio::time::timeout(STOPS_WITHIN, tasks.wait()).await.is_ok()
}

fn checks() -> Router {
    Router::new()
        .route("/metrics", get(async || telemetry::metrics()))
        .route("/healthz", get(async || "ok"))
}
