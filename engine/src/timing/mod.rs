//! Time as people mean it: zones, delays, send windows, holidays and days off, resolved to instants.
//!
//! Pure: every function gets its instant; nothing here reads a clock, a file or the network. Offsets come
//! from jiff's bundled tz database only, so that every process of a version resolves alike.

mod cron;
mod days_off;
mod delay;
mod delay_text;
mod duration;
mod holiday;
mod local_time;
#[cfg(test)]
mod oracle;
mod paused;
mod place;
mod spelling;
mod window;
mod zone;

pub use chrono::Weekday;
pub use cron::{Cron, CronError, Occurrence};
pub use days_off::{Absence, DaysOff};
pub use delay::Delay;
pub use duration::{duration, write_duration};
pub use holiday::Calendar;
pub use local_time::{LocalTime, weekday, weekday_name};
pub use paused::{Due, Pause};
pub use window::{Closed, Closure, Opening, Window};
pub use zone::{TZDB_VERSION, UnknownZone, Zone, tzdb_version};
