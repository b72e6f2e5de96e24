//! Wakes the tasks that have to look when a transaction says that something became ready. Only a short cut: they
//! poll as well, so that a lost notification costs half a second, not a step.

use std::sync::Arc;

use sqlx::postgres::{PgListener, PgNotification};

use super::{Shared, WorkerError};

/// Listens until the connection fails for good.
pub(super) async fn run(shared: Arc<Shared>) -> Result<(), WorkerError> {
    let mut listener = PgListener::connect_with(&shared.worker.queue).await?;
    listener.listen("engine").await?;
    loop {
        let told = listener.try_recv().await?;
        // The other tasks' looks would stand before the claim's.
        match told.as_ref().map(PgNotification::payload) {
            Some("jobs") => shared.wake.notify_one(),
            Some("operations") => shared.operate.notify_one(),
            _anything => {
                shared.wake.notify_one();
                shared.promote.notify_one();
                shared.grant.notify_one();
                shared.family.notify_one();
                shared.operate.notify_one();
            }
        }
    }
}
