//! Stories of runs: a worker, a clock that the test moves, and what is recorded.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod ahead;
mod changes;
mod cohorts;
mod crashes;
mod exits;
mod failures;
mod families;
mod faults;
mod limits;
mod many;
mod moves;
mod operations;
mod paused;
mod prospects;
mod races;
mod relayed;
mod replanned;
mod replay;
mod retained;
mod schedules;
mod steps;
mod story;
mod suspects;
mod undoing;
mod versions;
mod waits;
mod walks;
