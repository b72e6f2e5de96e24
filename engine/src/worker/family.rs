//! Passes ends on to parents and children, one at a time, each in a transaction of its own.

use std::sync::Arc;

use super::{Shared, WorkerError, found};
use crate::{run, transaction};

/// Passes on until told to stop.
pub(super) async fn run(shared: Arc<Shared>) -> Result<(), WorkerError> {
    loop {
        if found(pass_on(&shared).await)? {
            shared.wake.notify_one();
        } else {
            let _woken =
                tokio::time::timeout(shared.worker.settings.poll, shared.family.notified()).await;
        }
    }
}

async fn pass_on(shared: &Shared) -> Result<bool, WorkerError> {
    let mut tx = transaction::begin(&shared.worker.queue).await?;
    let passed = run::pass_on(&mut tx).await?;
    tx.commit().await?;
    Ok(passed)
}
