//! Whether this worker knows that it lives in the eyes of the others. A process that stood still for longer
//! than it may, in a debugger or on a machine that was overloaded or asleep, wakes where it stopped, and its
//! jobs may be another's by then.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::clock;

/// How long the others wait, from a sign of life on, before they may find a worker dead whose lock is gone.
pub(super) const SURE: Duration = Duration::from_secs(2);
/// How often it is looked whether a next sign of life was heard.
const LOOK: Duration = Duration::from_millis(20);

/// Until when the worker is surely alive, by its own clock that never jumps.
pub(super) struct Hold {
    began: Instant,
    until_milliseconds: AtomicU64,
}

impl Hold {
    /// Sure for as long as a sign of life given at this instant counts.
    pub(super) fn from(seen: Instant) -> Self {
        let hold = Self { began: seen, until_milliseconds: AtomicU64::new(0) };
        hold.renew(seen);
        hold
    }

    /// A sign of life was given at this instant, before it was heard.
    pub(super) fn renew(&self, seen: Instant) {
        let until = (seen + SURE).duration_since(self.began).as_millis();
        self.until_milliseconds.store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Release);
    }

    fn is_sure(&self) -> bool {
        let now = clock::started().duration_since(self.began).as_millis();
        now < u128::from(self.until_milliseconds.load(Ordering::Acquire))
    }

    /// Works as long as the worker is surely alive, and stands still while it is not: with the next sign of life
    /// it goes on, or it turns out that the lease is gone, and the work is dropped.
    pub(super) async fn work<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        let mut pause = pin!(tokio::time::sleep(LOOK));
        poll_fn(|cx| {
            while !self.is_sure() {
                if pause.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                pause.as_mut().reset(tokio::time::Instant::now() + LOOK);
            }
            work.as_mut().poll(cx)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_stands_still_until_there_is_a_sign_of_life() {
        let long_ago = clock::started() - SURE;
        let hold = Hold::from(long_ago);
        let mut worked = false;
        let work = hold.work(async { worked = true });
        assert!(tokio::time::timeout(LOOK * 5, work).await.is_err());
        assert!(!worked);
        hold.renew(clock::started());
        hold.work(async { worked = true }).await;
        assert!(worked);
    }
}
