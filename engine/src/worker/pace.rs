//! How often a look is taken whose cost grows with what is dead and can't be let go yet, such as beside a snapshot
//! that a report holds: never more than a small part of the time, however long it takes.

use std::time::{Duration, Instant};

use crate::clock;

/// For how many times as long as a look took none is taken again.
const SHARE: u32 = 20;

/// When the next look is due, by the real clock.
pub(super) struct Pace {
    every: Duration,
    next_at: Instant,
}

impl Pace {
    /// The first look is due after the pause.
    pub(super) fn new(every: Duration) -> Self {
        Self { every, next_at: clock::started() + every }
    }

    /// Whether a look is due.
    pub(super) fn due(&self) -> bool {
        clock::started() >= self.next_at
    }

    /// How long it is until the next look is due.
    pub(super) fn left(&self) -> Duration {
        self.next_at.saturating_duration_since(clock::started())
    }

    /// A look that began then has been taken.
    pub(super) fn looked(&mut self, began: Instant) {
        self.next_at = began + self.every.max(began.elapsed() * SHARE);
    }
}
