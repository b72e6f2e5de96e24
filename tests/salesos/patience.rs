//! Waiting for what comes of itself, never longer than said.

use std::future::Future;
use std::time::{Duration, Instant};

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks again and again until there is something, at most for so long.
///
/// # Panics
/// When it did not come; it says what did not.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    bound: Duration,
    look: impl Fn() -> F,
) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < bound, "waited {bound:?} in vain for {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
