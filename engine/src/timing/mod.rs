//! Time as people mean it: zones, delays, send windows and holidays, resolved to instants.
//!
//! Pure: every function gets its instant; nothing here reads a clock, a file or the network. Offsets come
//! from jiff's bundled tz database only, so that every process of a version resolves alike.

mod cron;
mod delay;
mod delay_text;
mod duration;
mod holiday;
mod holiday_rule;
mod local_time;
mod place;
mod spelling;
mod window;
mod zone;

pub use chrono::Weekday;
pub use cron::{Cron, CronError, Occurrence};
pub use delay::Delay;
pub use duration::{duration, write_duration};
pub use holiday::Calendar;
pub use local_time::{LocalTime, weekday, weekday_name};
pub use window::{Opening, Window};
pub use zone::{TZDB_VERSION, UnknownZone, Zone, tzdb_version};
