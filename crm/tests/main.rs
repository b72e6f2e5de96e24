//! Tests of the records of sales on a real Postgres, in one binary.

#![expect(clippy::unwrap_used, reason = "a test that can not go on says where")]

mod changing;
#[path = "../../tests/support/database.rs"]
mod database;
mod enrolling;
mod importing;
mod mail;
#[path = "../../tests/support/promises.rs"]
mod promises;
mod tenants;
mod unsubscribing;
mod world;
