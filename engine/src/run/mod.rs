//! Runs: one subject's walk through a definition.
//!
//! Owns `engine.runs`, with the job or the timer in which a live run stands. Every change appends one row
//! of history. What a step did is recorded by the worker alone (`worker::record`).

mod control;
mod read;
mod start;

pub use control::{Change, cancel, observe, pause, resume, retry};
pub use read::{Count, Filter, HistoryRow, RunRow, State, counts, find, history, list, waits_for};
pub use start::{NewRun, StartError, start};
