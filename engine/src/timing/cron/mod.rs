//! Cron expressions: when something comes again, by the calendar of a zone.
//!
//! The `cron` crate enumerates local times without a zone, because with one it skips what a gap swallows;
//! our rule then makes instants of them: a local time in a gap is the first instant after it, in a fold the
//! first one counts. Local times that come to the same instant, as those of a gap and the one at its end, are
//! one occurrence, so that nothing is due twice at once. The crate gets plain numbers only: names, ranges,
//! `L` and `#` are read here, with the weekdays of crontab(5).

mod days;
mod error;
mod field;
mod unit;
mod way;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

use days::Days;
pub use error::CronError;
use field::Field;
use unit::Unit;
use way::Way;

use super::zone::Zone;

/// The longest expression, in bytes.
const LONGEST: usize = 200;

/// What people write for a whole expression.
const SHORT: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// A cron expression: five fields (minute, hour, day of the month, month, day of the week), six with seconds
/// before them, or seven with years after them; or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
///
/// Days of the week count from Sunday, which is 0 and 7. Where both days are restricted, either is enough, as
/// crontab(5) has it.
#[derive(Debug, Clone)]
pub struct Cron {
    text: String,
    ways: Vec<Way>,
}

/// One time at which an expression is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occurrence {
    /// The instant.
    pub at: DateTime<Utc>,
    /// The local time that the expression names; the clock on the wall shows another where a gap moved it.
    pub named: NaiveDateTime,
}

impl Cron {
    /// Reads an expression.
    ///
    /// # Errors
    /// What can't be read or never comes, with its place and what to write instead.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let written = text.trim();
        if written.len() > LONGEST {
            let what = format!("an expression of {} bytes is too long", written.len());
            return Err(CronError::whole(
                what,
                format!("write at most {LONGEST}, or several schedules"),
            ));
        }
        let ways = match written.strip_prefix('@') {
            Some(_) => read(expand(written)?)?,
            None => read(text)?,
        };
        let cron = Self { text: written.into(), ways };
        if cron.following(DateTime::UNIX_EPOCH.naive_utc() - TimeDelta::seconds(1)).is_none() {
            return Err(CronError::whole(
                format!("`{written}` never comes"),
                "write a day that its months have, such as 28",
            ));
        }
        Ok(cron)
    }

    /// The expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first occurrence after an instant; `None` when there is none until the end of 2100.
    pub fn next(&self, after: DateTime<Utc>, zone: &Zone) -> Option<Occurrence> {
        let mut named = zone.wall(after);
        // In the second half of a fold, and at the end of a gap, local times come that were due before.
        loop {
            named = self.following(named)?;
            let at = zone.resolve(named);
            if at > after {
                return Some(Occurrence { at, named });
            }
        }
    }

    /// The last occurrence at or before an instant, from 1970 on.
    pub fn last(&self, until: DateTime<Utc>, zone: &Zone) -> Option<Occurrence> {
        let wall = way::whole(zone.wall(until));
        let mut last = self.preceding(wall + TimeDelta::seconds(1));
        // In the second half of a fold, later local times came already.
        let mut ahead = last.unwrap_or(wall);
        while let Some(named) = self.following(ahead)
            && zone.resolve(named) <= until
        {
            (last, ahead) = (Some(named), named);
        }
        last.map(|named| Occurrence { at: zone.resolve(named), named })
    }

    /// The first occurrences after an instant, at most `count`.
    pub fn upcoming(&self, after: DateTime<Utc>, zone: &Zone, count: usize) -> Vec<Occurrence> {
        let next = |from: &Occurrence| self.next(from.at, zone);
        std::iter::successors(self.next(after, zone), next).take(count).collect()
    }

    fn following(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        self.ways.iter().filter_map(|way| way.following(after)).min()
    }

    fn preceding(&self, before: NaiveDateTime) -> Option<NaiveDateTime> {
        self.ways.iter().filter_map(|way| way.preceding(before)).max()
    }
}

/// The fields of a word that stands for a whole expression.
fn expand(word: &str) -> Result<&'static str, CronError> {
    let lower = word.to_ascii_lowercase();
    if let Some((_, fields)) = SHORT.iter().find(|(short, _)| *short == lower) {
        return Ok(fields);
    }
    if lower.starts_with("@reboot") {
        let help = "a schedule goes by the calendar; write when it is due, such as `0 9 * * mon`";
        return Err(CronError::whole("`@reboot` is no time", help));
    }
    if lower.starts_with("@every") {
        let help = "write minutes by a step, such as `*/15 * * * *`";
        return Err(CronError::whole("`@every` is not known here", help));
    }
    let meant = super::spelling::did_you_mean(&lower, SHORT.iter().map(|(short, _)| *short));
    let help = "write @hourly, @daily, @weekly, @monthly, @yearly, or five fields";
    Err(CronError::whole(format!("`{word}` is not known{meant}"), help))
}

/// Reads the fields, each word with its place.
fn read(text: &str) -> Result<Vec<Way>, CronError> {
    let words: Vec<(usize, &str)> = words(text).collect();
    let units: &[Unit] = match words.len() {
        5 => &Unit::ALL[1..6],
        6 => &Unit::ALL[..6],
        7 => Unit::ALL,
        0 => return Err(CronError::whole("the expression is empty", "write `0 9 * * mon`")),
        count => {
            let what = format!("the expression has {count} fields");
            let help = "write five (minute, hour, day of the month, month, day of the week), six with \
                        seconds before them, or seven with years after them";
            return Err(CronError::whole(what, help));
        }
    };
    let mut fields = units.iter().zip(&words).map(|(unit, (column, word))| {
        let six = words.len() == 6;
        Field::parse(*unit, word, *column).map_err(|error| error.in_place_of_a_year(*unit, six))
    });
    let mut clock = Vec::with_capacity(3);
    if units[0] == Unit::Minute {
        clock.push(Field::zero());
    }
    while clock.len() < 3 {
        clock.push(fields.next().expect("there are as many fields as units")?);
    }
    let day_of_month = fields.next().expect("the fourth field is there")?;
    let month = fields.next().expect("the fifth field is there")?;
    let day_of_week = fields.next().expect("the sixth field is there")?;
    let year = fields.next().transpose()?.unwrap_or_else(Field::any);
    Days::of(&day_of_month, &day_of_week)?
        .into_iter()
        .map(|days| Way::new(&clock, &days, &month, &year))
        .collect()
}

/// The words of a text with their columns, in characters from 1.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_whitespace().map(move |word| {
        let offset = word.as_ptr().addr() - text.as_ptr().addr();
        (text[..offset].chars().count() + 1, word)
    })
}

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
