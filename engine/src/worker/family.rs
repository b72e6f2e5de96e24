//! Passes ends on to parents and children, one at a time, each in a transaction of its own.

use std::sync::Arc;

use super::{Shared, WorkerError};
use crate::{run, transaction};

/// Passes on until told to stop.
pub(super) async fn run(shared: Arc<Shared>) -> Result<(), WorkerError> {
    loop {
        let mut tx = transaction::begin(&shared.worker.queue).await?;
        let passed = run::pass_on(&mut tx).await?;
        tx.commit().await?;
        if passed {
            shared.wake.notify_one();
        } else {
            let _woken =
                tokio::time::timeout(shared.worker.settings.poll, shared.family.notified()).await;
        }
    }
}
