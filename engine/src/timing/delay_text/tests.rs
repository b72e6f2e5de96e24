use std::time::Duration;

use chrono::Weekday;
use proptest::prelude::*;

use super::*;

fn time(text: &str) -> LocalTime {
    LocalTime::parse(text).expect("a time of day")
}

fn date(path: &str, offset_days: i32, at: &str) -> Delay {
    Delay::Date { path: path.into(), offset_days, at: time(at) }
}

#[test]
fn the_for_key_tells_elapsed_time_from_calendar_days() {
    for (text, delay) in [
        ("3 business days", Delay::BusinessDays(3)),
        ("1 Business Day", Delay::BusinessDays(1)),
        ("261 business days", Delay::BusinessDays(261)),
        ("4 days", Delay::Days(4)),
        ("2d", Delay::Days(2)),
        ("1 week", Delay::Days(7)),
        ("1 week 2 days", Delay::Days(9)),
        ("2 hours", Delay::Elapsed(Duration::from_secs(7200))),
        ("1h 30m", Delay::Elapsed(Duration::from_secs(5400))),
        ("2 hours 30m", Delay::Elapsed(Duration::from_secs(9000))),
        ("48 hours", Delay::Elapsed(Duration::from_secs(172_800))),
    ] {
        assert_eq!(Delay::parse_for(text), Ok(delay), "{text}");
    }
}

#[test]
fn the_until_key_reads_weekdays_and_fields() {
    for (text, delay) in [
        ("next tuesday 09:30", Delay::Next { weekday: Weekday::Tue, at: time("09:30") }),
        ("next Tue", Delay::Next { weekday: Weekday::Tue, at: time("09:00") }),
        ("contact.renewal_on", date("contact.renewal_on", 0, "09:00")),
        ("contact.renewal_on 14:15", date("contact.renewal_on", 0, "14:15")),
        ("contact.renewal_on - 14 days 09:00", date("contact.renewal_on", -14, "09:00")),
        ("contact.renewal_on -14 days", date("contact.renewal_on", -14, "09:00")),
        ("contact.fields.due_on + 2 weeks 08:00", date("contact.fields.due_on", 14, "08:00")),
    ] {
        assert_eq!(Delay::parse_until(text), Ok(delay), "{text}");
    }
}

#[test]
fn a_refused_for_says_what_to_write() {
    for (text, says) in [
        ("0 business days", "is zero; write at least `1 business day`"),
        ("-3 business days", "is negative; write how long to wait"),
        ("262 business days", "is over a year; write at most `261 business days`"),
        ("99999999999 business days", "is over a year"),
        ("three business days", "`three` is no whole number; write `3 business days`"),
        ("3 busines days", "did you mean `business`?"),
        ("3 working days", "did you mean `business`?"),
        ("3 business hours", "business time is counted in days"),
        ("3 weekdays", "write `3 business days`"),
        ("0 days", "is zero"),
        ("-2 days", "is negative"),
        ("53 weeks", "is over a year"),
        ("4 dyas", "did you mean `days`?"),
        ("1 day 2 hours", "mixes calendar days with hours"),
        ("next tuesday", "is no duration"),
    ] {
        let message = Delay::parse_for(text).expect_err(text);
        assert!(message.contains(says), "{text}: {message}");
    }
}

#[test]
fn a_refused_until_says_what_to_write() {
    for (text, says) in [
        ("", "write `next tuesday 09:30`"),
        ("next tusday 09:30", "did you mean `tuesday`?"),
        ("nxt tuesday", "did you mean `next`?"),
        ("next", "names no weekday"),
        ("next tuesday morning", "names no weekday"),
        ("tuesday 09:30", "write `next tuesday 09:30`"),
        ("next tuesday 9:30", "write hours and minutes as `08:30`"),
        ("next tuesday 24:00", "write `00:00` of that day"),
        ("2026-12-24", "is no time to wait for; write `next tuesday 09:30`"),
        ("renewal_on", "is no time to wait for"),
        ("contact.renewal_on - 0 days", "is zero"),
        ("contact.renewal_on - 2 hours", "a date moves by days or weeks"),
        ("contact.renewal_on - 400 days", "is over a year"),
        ("contact.renewal_on - 14 dyas", "did you mean `days`?"),
        ("contact.renewal_on 14 days", "goes on after the field"),
        ("contact.renewal_on -", "write a duration"),
    ] {
        let message = Delay::parse_until(text).expect_err(text);
        assert!(message.contains(says), "{text}: {message}");
    }
}

fn delays_for() -> impl Strategy<Value = Delay> {
    prop_oneof![
        (1_u32..=366).prop_map(Delay::Days),
        (1_u32..=261).prop_map(Delay::BusinessDays),
        (1_u64..=366 * 86_400).prop_map(|seconds| Delay::Elapsed(Duration::from_secs(seconds))),
    ]
}

fn delays_until() -> impl Strategy<Value = Delay> {
    let at =
        (0_u16..24, 0_u16..60).prop_map(|(hour, minute)| time(&format!("{hour:02}:{minute:02}")));
    let day = (0_u8..7).prop_map(|day| Weekday::try_from(day).expect("a day"));
    let field = (-366_i32..=366, at.clone()).prop_map(|(offset_days, at)| Delay::Date {
        path: "contact.renewal_on".into(),
        offset_days,
        at,
    });
    prop_oneof![(day, at).prop_map(|(weekday, at)| Delay::Next { weekday, at }), field]
}

proptest! {
    #[test]
    fn what_is_written_for_the_for_key_is_read_back(delay in delays_for()) {
        prop_assert_eq!(Delay::parse_for(&delay.to_string()), Ok(delay));
    }

    #[test]
    fn what_is_written_for_the_until_key_is_read_back(delay in delays_until()) {
        prop_assert_eq!(Delay::parse_until(&delay.to_string()), Ok(delay));
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,30}") {
        let _ = (Delay::parse_for(&text), Delay::parse_until(&text));
    }
}
