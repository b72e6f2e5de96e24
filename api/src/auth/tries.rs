//! How often somebody may try: at most ten times a minute for a name and an address together, with a pause that grows.
//! Kept in the process alone: a start forgets, and each process counts for itself.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use engine::clock;

use crate::gateway::client::Client;
use crate::problem::{Kind, Problem};

/// The most tries within a minute.
const PER_MINUTE: usize = 10;
const MINUTE: Duration = Duration::from_secs(60);
/// How many tries come without a pause between them.
const FREE: usize = 3;
/// The first pause; each is twice the one before.
const FIRST: Duration = Duration::from_millis(250);
/// How many are remembered; beyond, those are forgotten whose minute is over, then all.
const MOST: usize = 100_000;

/// By whom and from where.
type Who = (String, IpAddr);

/// The tries of the last minute.
#[derive(Default)]
pub(crate) struct Tries(Mutex<HashMap<Who, Vec<Instant>>>);

impl Tries {
    /// Counts a try, or says when the next one may come.
    pub(super) fn admit(&self, name: &str, client: Client) -> Result<(), Problem> {
        let now = clock::started();
        let mut tried = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tried.len() >= MOST {
            tried.retain(|_, tries| tries.last().is_some_and(|last| now - *last < MINUTE));
            if tried.len() >= MOST {
                tried.clear();
            }
        }
        let tries = tried.entry((name.to_owned(), client.0)).or_default();
        tries.retain(|at| now - *at < MINUTE);
        match wait(tries, now) {
            Duration::ZERO => {
                tries.push(now);
                Ok(())
            }
            left => Err(Problem::new(Kind::TooMany).retry_after(left)),
        }
    }

    /// Forgets the tries of who turned out to be right.
    pub(super) fn forget(&self, name: &str, client: Client) {
        let mut tried = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tried.remove(&(name.to_owned(), client.0));
    }
}

/// How long it is until the next try may come, by those of the last minute, oldest first.
fn wait(tries: &[Instant], now: Instant) -> Duration {
    let Some(last) = tries.last() else { return Duration::ZERO };
    if tries.len() >= PER_MINUTE {
        return (tries[tries.len() - PER_MINUTE] + MINUTE).saturating_duration_since(now);
    }
    let Some(doublings) = tries.len().checked_sub(FREE) else { return Duration::ZERO };
    let pause = FIRST * 2_u32.pow(u32::try_from(doublings).unwrap_or(u32::MAX).min(10));
    (*last + pause).saturating_duration_since(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_tries_are_free_then_each_waits_twice_as_long_and_ten_are_the_most() {
        let start = clock::started();
        let (mut now, mut tries, mut waited) = (start, Vec::new(), Vec::new());
        for _ in 0..10 {
            let pause = wait(&tries, now);
            waited.push(pause.as_millis());
            now += pause;
            assert_eq!(wait(&tries, now), Duration::ZERO);
            tries.push(now);
        }
        assert_eq!(waited, [0, 0, 0, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000]);
        assert_eq!(
            wait(&tries, now),
            MINUTE - (now - start),
            "the eleventh waits for the first to pass"
        );
    }

    #[test]
    fn one_name_from_one_address_does_not_hold_up_another() {
        let tries = Tries::default();
        let here = Client("127.0.0.1".parse().expect("an address"));
        let there = Client("127.0.0.2".parse().expect("an address"));
        let admitted = (0..5).filter(|_| tries.admit("ann", here).is_ok()).count();
        assert_eq!(admitted, 3);
        assert!(tries.admit("ann", there).is_ok() && tries.admit("bob", here).is_ok());
        tries.forget("ann", here);
        assert!(tries.admit("ann", here).is_ok());
    }
}
