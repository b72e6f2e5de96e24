//! Durations as people write them: `30s`, `90 seconds`, `6 days`, `1h 30m`.
//!
//! A day is 24 hours here; calendar days belong to [`super::Delay`].

use std::time::Duration;

use super::spelling::did_you_mean;

/// The longest duration that a document may hold: 366 days.
const LONGEST: Duration = Duration::from_secs(366 * DAY);

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Units from long to short, in the singular of the written form.
const WRITTEN: [(u64, &str); 4] = [(DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (1, "second")];

/// Up to this count one unit reads better than a sum: `90 seconds`, not `1 minute 30 seconds`.
const MOST_OF_ONE_UNIT: u64 = 120;

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
}

/// Every spelling of every unit.
const SPELLINGS: [(&str, Unit); 21] = [
    ("seconds", Unit::Second),
    ("second", Unit::Second),
    ("secs", Unit::Second),
    ("sec", Unit::Second),
    ("s", Unit::Second),
    ("minutes", Unit::Minute),
    ("minute", Unit::Minute),
    ("mins", Unit::Minute),
    ("min", Unit::Minute),
    ("m", Unit::Minute),
    ("hours", Unit::Hour),
    ("hour", Unit::Hour),
    ("hrs", Unit::Hour),
    ("hr", Unit::Hour),
    ("h", Unit::Hour),
    ("days", Unit::Day),
    ("day", Unit::Day),
    ("d", Unit::Day),
    ("weeks", Unit::Week),
    ("week", Unit::Week),
    ("w", Unit::Week),
];

impl Unit {
    fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => MINUTE,
            Self::Hour => HOUR,
            Self::Day => DAY,
            Self::Week => 7 * DAY,
        }
    }

    fn parse(word: &str) -> Result<Self, String> {
        let lower = word.to_ascii_lowercase();
        if let Some((_, unit)) = SPELLINGS.iter().find(|(spelling, _)| *spelling == lower) {
            return Ok(*unit);
        }
        if lower.starts_with("month") || lower.starts_with("year") {
            return Err(format!("`{word}` has no fixed length; write days, such as `30 days`"));
        }
        let meant = did_you_mean(word, SPELLINGS.iter().map(|(spelling, _)| *spelling));
        Err(format!("unknown unit `{word}`{meant}; write seconds, minutes, hours, days or weeks"))
    }
}

/// Reads `30s`, `90 seconds`, `5 minutes`, `6 days`, `2h`, `1 week`, or a sum such as `1h 30m`.
///
/// A day is 24 hours.
///
/// # Errors
/// Zero, negative, over 366 days, a fraction, an unknown unit; the message says what to write.
pub fn duration(text: &str) -> Result<Duration, String> {
    parts(text)?
        .into_iter()
        .try_fold(0_u64, |sum, (count, unit)| sum.checked_add(count.checked_mul(unit.seconds())?))
        .map(Duration::from_secs)
        .ok_or_else(|| over_a_year(text))
        .and_then(|sum| within_bounds(sum, text))
}

/// Writes the text that [`duration`] reads back: `6 days`, `90 seconds`, `3 hours 17 minutes`.
///
/// Fractions of a second are left out.
pub fn write_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let whole = WRITTEN.iter().find(|(length, _)| seconds > 0 && seconds.is_multiple_of(*length));
    match whole {
        None => "0 seconds".into(),
        Some((length, name)) if *length == DAY || seconds / length <= MOST_OF_ONE_UNIT => {
            counted(seconds / length, name)
        }
        Some(_) => sum_of_units(seconds),
    }
}

fn sum_of_units(mut seconds: u64) -> String {
    let mut words = Vec::new();
    for (length, name) in WRITTEN {
        if seconds >= length {
            words.push(counted(seconds / length, name));
            seconds %= length;
        }
    }
    words.join(" ")
}

/// `1 day`, `2 days`.
pub(super) fn counted(count: u64, name: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {name}{plural}")
}

/// The counts and units of a text, at least one.
pub(super) fn parts(text: &str) -> Result<Vec<(u64, Unit)>, String> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err("write a duration such as `30s`, `2 hours` or `3 days`".into());
    }
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let (count, after) = split_count(rest, text)?;
        let after = after.trim_start();
        let end = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let (word, after) = after.split_at(end);
        if word.is_empty() {
            return Err(format!("`{text}` names no unit for {count}; {}", with_unit(count, after)));
        }
        parts.push((count, Unit::parse(word)?));
        rest = after.trim_start();
    }
    Ok(parts)
}

fn with_unit(count: u64, after: &str) -> String {
    match after.chars().next() {
        None => format!("write `{count}s`, `{count} hours` or `{count} days`"),
        Some(_) => "write whole numbers and units, such as `1h 30m`".into(),
    }
}

fn split_count<'a>(rest: &'a str, text: &str) -> Result<(u64, &'a str), String> {
    if rest.starts_with(['-', '−']) {
        return Err(format!("`{text}` is negative; write how long to wait, such as `2 days`"));
    }
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, after) = rest.split_at(end);
    if digits.is_empty() {
        return Err(format!(
            "`{text}` is no duration; write a number and a unit, such as `2 days`"
        ));
    }
    let count = digits.parse().map_err(|_| over_a_year(text))?;
    Ok((count, after))
}

fn within_bounds(sum: Duration, text: &str) -> Result<Duration, String> {
    if sum.is_zero() {
        return Err(format!("`{text}` is zero; write at least `1s`, or leave it out"));
    }
    if sum > LONGEST { Err(over_a_year(text)) } else { Ok(sum) }
}

pub(super) fn over_a_year(text: &str) -> String {
    format!("`{text}` is over a year; write at most `366 days`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_way_to_write_a_duration_is_read() {
        for (text, seconds) in [
            ("30s", 30),
            ("90 seconds", 90),
            ("1 second", 1),
            ("5 minutes", 300),
            ("5min", 300),
            ("2h", 7200),
            (" 2 Hours ", 7200),
            ("6 days", 6 * 86_400),
            ("1 week", 7 * 86_400),
            ("1h 30m", 5400),
            ("1h30m", 5400),
            ("366 days", 366 * 86_400),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_refused_says_what_to_write() {
        for (text, says) in [
            ("", "write a duration such as"),
            ("0s", "is zero; write at least `1s`"),
            ("-5 minutes", "is negative; write how long to wait"),
            ("367 days", "is over a year; write at most `366 days`"),
            ("99999999999999999999999 days", "is over a year"),
            ("9999999999999999999 weeks", "is over a year"),
            ("5", "names no unit for 5; write `5s`, `5 hours` or `5 days`"),
            ("1.5h", "write whole numbers and units, such as `1h 30m`"),
            ("5 dyas", "unknown unit `dyas`; did you mean `days`?"),
            ("5 mintues", "did you mean `minutes`?"),
            ("2 months", "`months` has no fixed length; write days, such as `30 days`"),
            ("soon", "is no duration; write a number and a unit"),
            ("5 fortnights", "write seconds, minutes, hours, days or weeks"),
        ] {
            let message = duration(text).expect_err(text);
            assert!(message.contains(says), "{text}: {message}");
        }
    }

    #[test]
    fn the_canonical_text_is_short() {
        for (seconds, text) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (90, "90 seconds"),
            (5400, "90 minutes"),
            (86_400, "1 day"),
            (6 * 86_400, "6 days"),
            (300 * 86_400, "300 days"),
            (11_825, "3 hours 17 minutes 5 seconds"),
        ] {
            assert_eq!(write_duration(Duration::from_secs(seconds)), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(seconds in 1_u64..=366 * 86_400) {
            let length = Duration::from_secs(seconds);
            prop_assert_eq!(duration(&write_duration(length)), Ok(length));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,20}") {
            let _ = duration(&text);
        }
    }
}
