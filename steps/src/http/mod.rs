//! How steps reach other systems over HTTP.

mod allowed;
mod client;

pub use allowed::AllowedHosts;
pub(crate) use client::{Answer, MAX_BODY, Request};
pub use client::{FindAddresses, Http};
