//! Wakes whoever waits when a transaction says that something became ready. Only a short cut: all that wait
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
        // Nothing, where the connection was lost and is there again: anything may have been told meanwhile.
        let told = listener.try_recv().await?;
        let channel = told.as_ref().map(|told| told.channel());
        if channel.is_none_or(|channel| channel == SCHEDULES) {
            shared.schedule.notify_one();
        }
        if channel.is_none_or(|channel| channel == RUNS) {
            shared.wake.notify_one();
            shared.promote.notify_one();
            shared.grant.notify_one();
            shared.family.notify_one();
            shared.operate.notify_one();
        }
    }
}
