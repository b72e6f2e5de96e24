//! Durable execution on Postgres: definitions, runs, step jobs, timers, signals, schedules, history, outbox.
//!
//! Knows no sales word: no contact, no mail, no HTTP, no provider. Decisions are pure functions in the
//! middle; statements and loops stand at the rim.

pub mod change;
pub mod clock;
pub mod context;
pub mod decision;
pub mod definition;
pub mod definition_store;
pub mod explain;
pub mod fact;
pub mod foresight;
pub mod id;
pub mod limit;
pub mod operation;
pub mod outbox;
pub mod rehearsal;
pub mod relay;
pub mod run;
pub mod schedule;
pub mod signal;
pub mod step;
pub mod timing;
pub mod topic;
pub mod transaction;
mod work;
pub mod worker;
