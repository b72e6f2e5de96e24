//! Wakes the tasks that have to look when a transaction says that something became ready. Only a short cut: they
//! look by themselves as well, so that a lost notification costs half a second, not a step.

use std::sync::Arc;

use sqlx::postgres::PgListener;

use super::{Shared, WorkerError};
use crate::schedule::CHANNEL as SCHEDULES;

/// Runs became ready, or something that they wait for did.
const RUNS: &str = "engine";

/// Listens until the connection fails for good.
pub(super) async fn run(shared: Arc<Shared>) -> Result<(), WorkerError> {
    let mut listener = PgListener::connect_with(&shared.worker.queue).await?;
    listener.listen_all([RUNS, SCHEDULES]).await?;
    loop {
        let told = listener.try_recv().await?;
        // The other tasks' looks would stand before the claim's.
        match told.as_ref().map(|told| (told.channel(), told.payload())) {
            Some((RUNS, "jobs")) => shared.wake.notify_one(),
            Some((RUNS, "operations")) => shared.operate.notify_one(),
            Some((SCHEDULES, _)) => shared.schedule.notify_one(),
            // Also where the connection was lost and is there again: anything may have been told meanwhile.
            Some(_) | None => {
                shared.wake.notify_one();
                shared.promote.notify_one();
                shared.grant.notify_one();
                shared.family.notify_one();
                shared.operate.notify_one();
                shared.schedule.notify_one();
            }
        }
    }
}
