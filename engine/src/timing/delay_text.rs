//! Delays as documents write them: the keys `for` and `until` of a wait.

use std::fmt;

use super::duration::{Unit, counted, over_a_year, parts};
use super::spelling::nearest;
use super::{Delay, LocalTime, duration, weekday, weekday_name, write_duration};

/// The business days of a year, 52 weeks and a day of them.
const BUSINESS_DAYS_OF_A_YEAR: u32 = 261;

const UNTIL_FORMS: &str =
    "write `next tuesday 09:30`, or a field's date such as `contact.renewal_on - 14 days 09:00`";

impl Delay {
    /// Reads the value of the key `for`: `3 business days`, `4 days`, `1 week`, `2 hours`.
    ///
    /// # Errors
    /// Zero, negative, over a year, an unknown unit, days mixed with hours; the message says what to
    /// write.
    pub fn parse_for(text: &str) -> Result<Self, String> {
        if let Some(count) = business_days(text)? {
            return Ok(Self::BusinessDays(count));
        }
        let length = duration(text)?;
        let parts = parts(text)?;
        let calendar = |unit: &Unit| matches!(unit, Unit::Day | Unit::Week);
        if parts.iter().all(|(_, unit)| calendar(unit)) {
            let days = length.as_secs() / 86_400;
            return u32::try_from(days).map(Self::Days).map_err(|_| over_a_year(text));
        }
        if parts.iter().any(|(_, unit)| calendar(unit)) {
            return Err(format!(
                "`{text}` mixes calendar days with hours; write days alone, such as `3 days`, or \
                 hours alone, such as `26 hours`"
            ));
        }
        Ok(Self::Elapsed(length))
    }

    /// Reads the value of the key `until`: `next tuesday 09:30`, `contact.renewal_on`,
    /// `contact.renewal_on - 14 days 09:00`; the time is 09:00 where none is written.
    ///
    /// # Errors
    /// Any other form, an unknown weekday, over a year; the message says what to write.
    pub fn parse_until(text: &str) -> Result<Self, String> {
        let spaced = text.replace('-', " - ").replace('+', " + ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let (words, at) = time_of_day(&words)?;
        match words {
            [] => Err(format!("`{text}` names no day; {UNTIL_FORMS}")),
            ["next", day] => Ok(Self::Next { weekday: weekday(day)?, at }),
            ["next", ..] => Err(format!("`{text}` names no weekday; write `next tuesday 09:30`")),
            [day] if weekday(day).is_ok() => {
                Err(format!("`{text}` does not say which one; write `next {day} {at}`"))
            }
            [word, _] if nearest(word, ["next"]).is_some() => {
                Err(format!("unknown word `{word}`; did you mean `next`? {UNTIL_FORMS}"))
            }
            [path, offset @ ..] => {
                let path = field(path, text)?;
                Ok(Self::Date { path, offset_days: offset_days(offset, text)?, at })
            }
        }
    }
}

/// `3 business days`; `None` when the text speaks of no business.
fn business_days(text: &str) -> Result<Option<u32>, String> {
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower.split_whitespace().collect();
    match words[..] {
        [count, "business", "day" | "days"] => business_count(count, text).map(Some),
        [_, "business", unit] => {
            Err(format!("business time is counted in days, not `{unit}`; write `3 business days`"))
        }
        [count, "weekday" | "weekdays" | "workday" | "workdays"] => {
            Err(format!("unknown unit in `{text}`; write `{count} business days`"))
        }
        [_, kind, _] if nearest(kind, ["business", "working"]).is_some() => {
            Err(format!("unknown word `{kind}`; did you mean `business`? write `3 business days`"))
        }
        _ => Ok(None),
    }
}

fn business_count(count: &str, text: &str) -> Result<u32, String> {
    if count.starts_with('-') {
        return Err(format!(
            "`{text}` is negative; write how long to wait, such as `3 business days`"
        ));
    }
    if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("`{count}` is no whole number; write `3 business days`"));
    }
    match count.parse::<u32>() {
        Ok(0) => Err(format!("`{text}` is zero; write at least `1 business day`, or leave it out")),
        Ok(count) if count <= BUSINESS_DAYS_OF_A_YEAR => Ok(count),
        Ok(_) | Err(_) => Err(format!(
            "`{text}` is over a year; write at most `{BUSINESS_DAYS_OF_A_YEAR} business days`"
        )),
    }
}

/// Splits the time off the end; 09:00 where none is written.
fn time_of_day<'a, 'b>(words: &'a [&'b str]) -> Result<(&'a [&'b str], LocalTime), String> {
    match words {
        [before @ .., time] if time.contains(':') => {
            let at = LocalTime::parse(time)?;
            if at == LocalTime::END_OF_DAY {
                return Err("`24:00` is the next day; write `00:00` of that day".into());
            }
            Ok((before, at))
        }
        _ => Ok((words, LocalTime::MORNING)),
    }
}

/// A subject's field, such as `contact.renewal_on`.
fn field(path: &str, text: &str) -> Result<String, String> {
    let named = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let parts: Vec<&str> = path.split('.').collect();
    if parts.len() < 2 || !parts.into_iter().all(named) {
        return Err(format!("`{text}` is no time to wait for; {UNTIL_FORMS}"));
    }
    Ok(path.into())
}

/// `- 14 days`, `+ 2 weeks`, or nothing.
fn offset_days(words: &[&str], text: &str) -> Result<i32, String> {
    let (sign, length) = match words {
        [] => return Ok(0),
        ["-", length @ ..] => (-1, length),
        ["+", length @ ..] => (1, length),
        _ => return Err(format!("`{text}` goes on after the field; {UNTIL_FORMS}")),
    };
    match Delay::parse_for(&length.join(" "))? {
        Delay::Days(days) => {
            i32::try_from(days).map(|days| sign * days).map_err(|_| over_a_year(text))
        }
        Delay::Elapsed(_) | Delay::BusinessDays(_) | Delay::Next { .. } | Delay::Date { .. } => {
            Err(format!("a date moves by days or weeks; {UNTIL_FORMS}"))
        }
    }
}

/// The text that [`Delay::parse_for`] or [`Delay::parse_until`] reads back.
impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elapsed(length) => f.write_str(&elapsed_text(length.as_secs())),
            Self::Days(count) => f.write_str(&counted((*count).into(), "day")),
            Self::BusinessDays(count) => f.write_str(&counted((*count).into(), "business day")),
            Self::Next { weekday, at } => write!(f, "next {} {at}", weekday_name(*weekday)),
            Self::Date { path, offset_days: 0, at } => write!(f, "{path} {at}"),
            Self::Date { path, offset_days, at } => {
                let sign = if *offset_days < 0 { '-' } else { '+' };
                write!(
                    f,
                    "{path} {sign} {} {at}",
                    counted(offset_days.unsigned_abs().into(), "day")
                )
            }
        }
    }
}

/// Hours at most, since `1 day` would be a calendar day.
fn elapsed_text(seconds: u64) -> String {
    let (hours, below) = (seconds / 3600, seconds % 3600);
    match (hours, below) {
        (0..24, _) => write_duration(std::time::Duration::from_secs(seconds)),
        (_, 0) => counted(hours, "hour"),
        (_, _) => {
            let below = write_duration(std::time::Duration::from_secs(below));
            format!("{} {below}", counted(hours, "hour"))
        }
    }
}

#[cfg(test)]
mod tests;
