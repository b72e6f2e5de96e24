//! Chance that can be thrown again: everything that a run of the suite draws comes from its seed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use engine::context::draw;

/// Dice of their own sequence: those of another name fall otherwise, whoever throws first.
pub(crate) struct Dice {
    seed: u64,
    name: &'static str,
    thrown: AtomicU64,
}

impl Dice {
    pub(crate) fn new(seed: u64, name: &'static str) -> Self {
        Self { seed, name, thrown: AtomicU64::new(0) }
    }

    /// A number below `bound`.
    pub(crate) fn below(&self, bound: usize) -> usize {
        let place = self.thrown.fetch_add(1, Ordering::Relaxed);
        let drawn = draw(&[&self.seed.to_be_bytes(), self.name.as_bytes(), &place.to_be_bytes()]);
        usize::try_from(drawn % bound.max(1) as u64).expect("it is below a usize")
    }

    /// Whether one of so many chances comes.
    pub(crate) fn one_in(&self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    /// So many milliseconds, from the first number on and below the second.
    pub(crate) fn milliseconds(&self, from: usize, below: usize) -> Duration {
        Duration::from_millis((from + self.below(below - from)) as u64)
    }
}

/// A stack of cards that is shuffled anew once it is empty: each comes once in every round.
pub(crate) struct Deck<T> {
    cards: Vec<T>,
    left: Mutex<Vec<T>>,
}

impl<T: Copy> Deck<T> {
    pub(crate) fn new(cards: Vec<T>) -> Self {
        Self { cards, left: Mutex::default() }
    }

    pub(crate) fn draw(&self, dice: &Dice) -> T {
        let mut left = self.left.lock().unwrap();
        if left.is_empty() {
            left.clone_from(&self.cards);
        }
        let place = dice.below(left.len());
        left.swap_remove(place)
    }
}
