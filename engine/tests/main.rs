//! Tests of the engine through its public face, in one binary.

#[path = "../../tests/support/database.rs"]
mod database;
mod definitions;
mod stories;
