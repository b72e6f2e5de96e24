//! Stories of runs: a worker, a clock that the test moves, and what is recorded.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod failures;
mod many;
mod races;
mod relayed;
mod replay;
mod steps;
mod story;
mod suspects;
mod waits;
mod walks;
