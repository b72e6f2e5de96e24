//! Time as people mean it: zones, delays, send windows and holidays, resolved to instants.
//!
//! Pure: every function gets its instant; nothing here reads a clock, a file or the network. Offsets come
//! from jiff's bundled tz database only, so that every process of a version resolves alike.

mod zone;

pub use zone::{UnknownZone, Zone};

/// When windowed steps may act.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {}
