//! Tests of the step types through their registry, in one binary.

#![expect(clippy::unwrap_used, reason = "a test that can not go on says where")]

mod ahead;
mod broken;
mod changing;
#[path = "../../tests/support/database.rs"]
mod database;
mod language;
mod mutations;
mod requests;
mod sending;
mod support;
mod texts;
mod waiting;
mod workflows;
