//! Stories through the front door: the real binary over data folders of its own, spoken to by its command
//! line, by HTTP and by signals, and looked at by plain SQL. Never through the crates' own functions, so
//! that what they get wrong together shows. Beside them, what the documents of events promised.

#![expect(clippy::unwrap_used, reason = "a test that can't go on says where")]
#![expect(clippy::disallowed_macros, reason = "a test says what it skips to whoever runs it")]

#[path = "support/database.rs"]
mod database;
#[path = "support/promises.rs"]
mod promises;
mod salesos;
mod schemas;
mod stories;
