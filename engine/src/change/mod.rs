//! A definition changes while runs live: what differs between two versions, where each run of the one goes
//! in the other, and what that means for people, before and while it is done.
//!
//! `difference` and `route` are pure. `plan` reads, and locks nothing. `migrate` moves a page of runs, each
//! fenced by the last row of its history, so that one that went on meanwhile is looked at again. Owns no
//! table: the worker's `operate` walks the pages, `run` moves the rows.

mod capacity;
mod delays;
mod difference;
mod fate;
mod migrate;
mod mover;
mod order;
mod plan;
mod read;
mod refused;
mod rewait;
mod route;
#[cfg(test)]
mod testing;
mod twice;

pub use capacity::{Capacity, Needed};
pub use delays::Delayed;
pub use difference::{Difference, Kind, Presence, StepDifference, Touched, between};
pub use fate::{Fate, Standing, Stays, fate};
pub(crate) use migrate::{Page, migrate};
pub use order::{OrderError, Ordered, order, verify};
pub use plan::{Places, Plan, PlanError, VersionPlan, plan};
pub use refused::{REASONS, Refused};
pub use route::{Lead, Map, Route, Version, Way};
