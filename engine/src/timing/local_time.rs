//! Times of day and days of the week as people write them.

use std::fmt;

use chrono::{Days, NaiveDate, NaiveDateTime, NaiveTime, Weekday};

use super::spelling::did_you_mean;

const MINUTES_OF_A_DAY: u16 = 24 * 60;

/// A time of day to the minute, `00:00` to `24:00`; the latter is midnight at the end of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalTime {
    minutes: u16,
}

impl LocalTime {
    /// The end of the day, `24:00`.
    pub const END_OF_DAY: Self = Self { minutes: MINUTES_OF_A_DAY };

    /// 09:00, where nothing else is said.
    pub(super) const MORNING: Self = Self { minutes: 9 * 60 };

    /// Reads `08:30`, with two digits each.
    ///
    /// # Errors
    /// Any other form, or a time past `24:00`; the message shows the form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refused = || format!("`{text}` is no time of day; write hours and minutes as `08:30`");
        let (hours, minutes) = text.split_once(':').ok_or_else(refused)?;
        let two_digits = |part: &str| {
            let shaped = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse::<u16>().ok().filter(|_| shaped)
        };
        let hours = two_digits(hours).ok_or_else(refused)?;
        let minutes = two_digits(minutes).filter(|minutes| *minutes < 60).ok_or_else(refused)?;
        let minutes = hours * 60 + minutes;
        if minutes > MINUTES_OF_A_DAY {
            return Err(format!("`{text}` is past the end of the day; write at most `24:00`"));
        }
        Ok(Self { minutes })
    }

    /// This time on `date`; `24:00` is the next day's midnight.
    pub(super) fn on(self, date: NaiveDate) -> NaiveDateTime {
        let midnight = date.and_time(NaiveTime::MIN);
        if self == Self::END_OF_DAY {
            return midnight.checked_add_days(Days::new(1)).unwrap_or(NaiveDateTime::MAX);
        }
        let since_midnight = chrono::TimeDelta::minutes(self.minutes.into());
        midnight.checked_add_signed(since_midnight).unwrap_or(midnight)
    }
}

impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.minutes / 60, self.minutes % 60)
    }
}

const WEEKDAYS: [(&str, &str, Weekday); 7] = [
    ("mon", "monday", Weekday::Mon),
    ("tue", "tuesday", Weekday::Tue),
    ("wed", "wednesday", Weekday::Wed),
    ("thu", "thursday", Weekday::Thu),
    ("fri", "friday", Weekday::Fri),
    ("sat", "saturday", Weekday::Sat),
    ("sun", "sunday", Weekday::Sun),
];

/// Reads `mon` or `monday`, in any case.
///
/// # Errors
/// Anything else; the message names the weekday that was probably meant.
pub fn weekday(text: &str) -> Result<Weekday, String> {
    let lower = text.to_ascii_lowercase();
    let found = WEEKDAYS.iter().find(|(short, long, _)| *short == lower || *long == lower);
    found.map(|(_, _, day)| *day).ok_or_else(|| {
        let meant =
            did_you_mean(text, WEEKDAYS.iter().flat_map(|(short, long, _)| [*long, *short]));
        format!("unknown weekday `{text}`{meant}; write `mon`, `tue`, … `sun`")
    })
}

/// The full name in lower case, such as `tuesday`.
pub fn weekday_name(day: Weekday) -> &'static str {
    match day {
        Weekday::Mon => "monday",
        Weekday::Tue => "tuesday",
        Weekday::Wed => "wednesday",
        Weekday::Thu => "thursday",
        Weekday::Fri => "friday",
        Weekday::Sat => "saturday",
        Weekday::Sun => "sunday",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_is_read_in_one_form_only() {
        for text in ["00:00", "08:30", "23:59", "24:00"] {
            assert_eq!(LocalTime::parse(text).map(|time| time.to_string()), Ok(text.into()));
        }
        for text in ["8:30", "08:60", "25:00", "24:01", "9am", "0830", "08:30:00", "", "+8:30"] {
            let message = LocalTime::parse(text).expect_err(text);
            assert!(message.contains("write"), "{message}");
        }
    }

    #[test]
    fn the_end_of_a_day_is_the_next_midnight() {
        let date = NaiveDate::from_ymd_opt(2026, 2, 28).expect("a date");
        assert_eq!(LocalTime::END_OF_DAY.on(date).to_string(), "2026-03-01 00:00:00");
        assert_eq!(LocalTime::MORNING.on(date).to_string(), "2026-02-28 09:00:00");
    }

    #[test]
    fn weekdays_are_read_short_and_long_and_typos_are_named() {
        for (short, long, day) in WEEKDAYS {
            assert_eq!(weekday(short), Ok(day));
            assert_eq!(weekday(&long.to_uppercase()), Ok(day));
            assert_eq!(weekday(weekday_name(day)), Ok(day));
        }
        let message = weekday("tusday").expect_err("a typo");
        assert!(message.contains("did you mean `tuesday`?"), "{message}");
    }
}
