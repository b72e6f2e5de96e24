//! Stories of runs: a worker, a clock that the test moves, and what is recorded.

mod failures;
mod many;
mod replay;
mod steps;
mod story;
mod waits;
mod walks;
