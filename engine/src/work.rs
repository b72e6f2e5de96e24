//! The work of reading a document, counted in tests: no document within the bounds may make its reader do so
//! much that others wait for it. Outside of tests nothing is counted.

#[cfg(test)]
use std::cell::Cell;

#[cfg(test)]
thread_local! {
    static DONE: Cell<u64> = const { Cell::new(0) };
}

/// Counts so many comparisons, letters or nodes.
#[cfg(test)]
pub(crate) fn count(steps: usize) {
    DONE.set(DONE.get() + steps as u64);
}

/// Counts nothing.
#[cfg(not(test))]
pub(crate) fn count(_: usize) {}

/// What was counted on this thread since the last time.
#[cfg(test)]
pub(crate) fn take() -> u64 {
    DONE.replace(0)
}
