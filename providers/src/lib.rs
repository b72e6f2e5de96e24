//! The outside services that SalesOS talks to, one module each, behind one enum per kind of service.
//!
//! It owns no table and never opens the database; it knows no run, no contact and no customer. Whoever calls
//! it passes instants in and decides what an answer means for a run.

mod draw;
pub mod mail;
pub mod message_id;
pub mod mime;
pub mod mock;
pub mod system_mail;
