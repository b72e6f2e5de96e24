//! Wakes the fetcher when a transaction says that something became ready. Only a short cut: the fetcher
//! and the promoter poll as well, so that a lost notification costs half a second, not a step.

use std::sync::Arc;

use sqlx::postgres::PgListener;

use super::{Shared, WorkerError};

/// Listens until the connection fails for good.
pub(super) async fn run(shared: Arc<Shared>) -> Result<(), WorkerError> {
    let mut listener = PgListener::connect_with(&shared.worker.queue).await?;
    listener.listen("engine").await?;
    loop {
        listener.try_recv().await?;
        shared.wake.notify_one();
        shared.promote.notify_one();
        shared.grant.notify_one();
        shared.family.notify_one();
        shared.operate.notify_one();
        shared.schedule.notify_one();
    }
}
