//! Runs: one subject's walk through a definition.
//!
//! Owns `engine.runs`, with the job or the timer in which a live run stands. Every change appends one row
//! of history. What a step did is recorded by the worker alone (`worker::record`).

mod control;
mod family;
mod meant;
mod migrating;
mod moving;
pub(crate) mod queue;
mod read;
mod reason;
mod redact;
mod resuming;
mod start;
mod subject;
mod waited;

pub use control::{Action, Change, act, exit_all, movable, observe};
pub(crate) use family::{note_ends, pass_on};
pub(crate) use meant::Meant;
pub(crate) use migrating::{Moving, Stance, write as write_migrated};
pub use read::{
    Count, Filter, HistoryRow, RunRow, STATES, State, by_customer, counts, find, history, list,
    waits_for,
};
pub(crate) use reason::like;
pub use reason::reason_glob;
pub use redact::{About, Redacted, redact};
pub(crate) use resuming::{Prospect, would_resume};
pub use start::{NewRun, Parent, Priority, StartError, start};
pub use subject::{rebind, rebind_some};
pub(crate) use waited::{Waited, waited};
