//! What every mail provider promises (`conformance`), and what the mock promises beyond it (`mock`).
#![expect(clippy::unwrap_used, reason = "tests")]

mod conformance;
mod mail;
mod mock;
