//! Faults that the mock plays on purpose, so that what follows them is tested and shown.
//!
//! Owns no table. A fault is drawn from the seed, the send key and the number of the attempt alone; it never
//! depends on the clock.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::draw::{draw, happens};

/// How many send keys have their attempts counted; past that the counts begin anew.
const COUNTED_KEYS: usize = 100_000;

/// Which share of the sends goes wrong, each from 0 (the default, none) to 1 (all).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Faults {
    /// Answered with `Temporary`; nothing is written.
    pub temporary_share: f64,
    /// Answered with `Refused`; nothing is written. Drawn by the send key alone, so that a retry is refused too.
    pub refuse_share: f64,
    /// Written, and answered with `Unknown`, as if the answer had been lost.
    pub answer_lost_share: f64,
    /// How long each send waits before anything else, in real time.
    pub slow: Option<Duration>,
}

/// What goes wrong with one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    Temporary,
    Refused,
    AnswerLost,
}

impl Faults {
    /// What goes wrong with this attempt, from 0.
    pub(super) fn draw(&self, seed: u64, send_key: &str, attempt: u32) -> Fault {
        let drawn = |purpose: &str, attempt: u32| {
            let seed = seed.to_be_bytes();
            draw(&[&seed, purpose.as_bytes(), send_key.as_bytes(), &attempt.to_be_bytes()])
        };
        if happens(drawn("refused", 0), self.refuse_share) {
            Fault::Refused
        } else if happens(drawn("temporary", attempt), self.temporary_share) {
            Fault::Temporary
        } else if happens(drawn("answer lost", attempt), self.answer_lost_share) {
            Fault::AnswerLost
        } else {
            Fault::None
        }
    }
}

/// Counts the attempts per send key, as long as the process lives.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    counts: Mutex<HashMap<String, u32>>,
}

impl Attempts {
    /// The number of this attempt, from 0.
    pub(super) fn next(&self, send_key: &str) -> u32 {
        // A count is a whole number at every instant, so that a panic elsewhere leaves nothing half done.
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= COUNTED_KEYS {
            counts.clear();
        }
        let count = counts.entry(send_key.to_owned()).or_default();
        *count += 1;
        *count - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_shares_nothing_goes_wrong_and_with_a_full_share_everything() {
        for n in 0..1_000 {
            let key = format!("run/{n}/0");
            let all = Faults { temporary_share: 1.0, ..Faults::default() };
            assert_eq!(Faults::default().draw(7, &key, 0), Fault::None);
            assert_eq!(all.draw(7, &key, 0), Fault::Temporary);
        }
    }

    #[test]
    fn a_retry_may_pass_where_the_first_attempt_failed_but_a_refusal_stays() {
        let faults = Faults { temporary_share: 0.5, refuse_share: 0.2, ..Faults::default() };
        let keys: Vec<String> = (0..1_000).map(|n| format!("run/{n}/0")).collect();
        let passed_later = keys.iter().filter(|key| {
            faults.draw(7, key, 0) == Fault::Temporary && faults.draw(7, key, 1) == Fault::None
        });
        assert!(passed_later.count() > 100);
        let refused =
            |attempt| keys.iter().map(move |key| faults.draw(7, key, attempt) == Fault::Refused);
        assert!(refused(0).eq(refused(1)));
        assert!((150..250).contains(&refused(0).filter(|refused| *refused).count()));
    }

    #[test]
    fn attempts_count_per_send_key() {
        let attempts = Attempts::default();
        assert_eq!([attempts.next("a"), attempts.next("a"), attempts.next("b")], [0, 1, 0]);
    }
}
