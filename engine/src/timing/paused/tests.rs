use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;
use crate::timing::{Calendar, LocalTime, Weekday};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}

fn zone(name: &str) -> Zone {
    Zone::parse(name).expect("a zone")
}

fn window() -> Window {
    let days = vec![Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri];
    let time = |text| LocalTime::parse(text).expect("a time of day");
    let holidays = vec![Calendar::parse("US").expect("a country")];
    Window::new(days, time("08:30"), time("17:00"), holidays).expect("a window")
}

fn pause(from: &str, until: &str) -> Pause {
    Pause { from: at(from), until: at(until) }
}

/// When a delay from Monday, 1 March 2027, 10:00 in Vienna is over, paused from one instant to another.
fn due(text: &str, from: &str, until: &str) -> String {
    let delay = Delay::parse_for(text).or_else(|_| Delay::parse_until(text)).expect("a delay");
    let monday = at("2027-03-01T09:00:00Z");
    let pauses = [pause(from, until)];
    let due = delay.due_after(&pauses, monday, &zone("Europe/Vienna"), Some(&window()), None);
    due.at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[test]
fn what_a_pause_leaves_of_a_delay_goes_by_the_kind_of_the_delay() {
    for (text, from, until, expected) in [
        // A length of time keeps its rest.
        ("30 hours", "2027-03-01T19:00:00Z", "2027-03-04T00:30:00Z", "2027-03-04T20:30:00Z"),
        // Days: so many dates, and the time stays.
        ("4 days", "2027-03-02T14:00:00Z", "2027-03-04T07:00:00Z", "2027-03-07T09:00:00Z"),
        ("2 weeks", "2027-03-02T14:00:00Z", "2027-03-16T07:00:00Z", "2027-03-29T08:00:00Z"),
        // Within a date nothing moves.
        ("4 days", "2027-03-02T07:00:00Z", "2027-03-02T20:00:00Z", "2027-03-05T09:00:00Z"),
        // On the last day: at its time where that is ahead, else on the next day.
        ("1 day", "2027-03-02T07:00:00Z", "2027-03-02T08:30:00Z", "2027-03-02T09:00:00Z"),
        ("1 day", "2027-03-02T07:00:00Z", "2027-03-02T10:00:00Z", "2027-03-03T09:00:00Z"),
        ("1 day", "2027-03-02T07:00:00Z", "2027-03-09T06:00:00Z", "2027-03-09T09:00:00Z"),
        // Business days: over a weekend, from a weekend, onto the last of them.
        ("3 business days", "2027-03-02T11:00:00Z", "2027-03-05T11:00:00Z", "2027-03-09T09:00:00Z"),
        ("3 business days", "2027-03-02T11:00:00Z", "2027-03-06T11:00:00Z", "2027-03-09T09:00:00Z"),
        ("1 business day", "2027-03-02T08:00:00Z", "2027-03-05T10:00:00Z", "2027-03-08T09:00:00Z"),
        ("1 business day", "2027-03-02T08:00:00Z", "2027-03-06T07:00:00Z", "2027-03-08T09:00:00Z"),
        ("1 business day", "2027-03-02T08:00:00Z", "2027-03-04T07:00:00Z", "2027-03-04T09:00:00Z"),
        // Around a holiday: Memorial Day is Monday, 31 May.
        ("2 business days", "2027-03-02T08:00:00Z", "2027-05-29T10:00:00Z", "2027-06-01T08:00:00Z"),
        // A weekday stays where it is, also when it is over.
        (
            "next friday 10:00",
            "2027-03-02T08:00:00Z",
            "2027-03-03T10:00:00Z",
            "2027-03-05T09:00:00Z",
        ),
        (
            "next friday 10:00",
            "2027-03-02T08:00:00Z",
            "2027-03-30T10:00:00Z",
            "2027-03-05T09:00:00Z",
        ),
        // What was over before the pause stays over.
        ("2 hours", "2027-03-01T12:00:00Z", "2027-03-04T10:00:00Z", "2027-03-01T11:00:00Z"),
        ("1 day", "2027-03-02T09:00:00Z", "2027-03-04T10:00:00Z", "2027-03-02T09:00:00Z"),
    ] {
        assert_eq!(due(text, from, until), expected, "{text}, paused {from} to {until}");
    }
}

#[test]
fn a_pause_that_ends_in_a_night_when_the_clock_changes_keeps_the_local_time() {
    let half_past_two = at("2027-03-26T01:30:00Z");
    let vienna = zone("Europe/Vienna");
    // To Sunday, 28 March, at 02:30, which the zone skips; and to Sunday, 31 October, when it comes twice.
    for (from, paused, expected) in [
        (
            half_past_two,
            pause("2027-03-26T20:00:00Z", "2027-03-27T20:00:00Z"),
            "2027-03-28T01:00:00Z",
        ),
        (
            at("2027-10-29T00:30:00Z"),
            pause("2027-10-29T20:00:00Z", "2027-10-30T20:00:00Z"),
            "2027-10-31T00:30:00Z",
        ),
    ] {
        let due = Delay::Days(1).due_after(&[paused], from, &vienna, None, None);
        assert_eq!(due.at, at(expected));
        assert_eq!(due.local.map(|local| local.format("%H:%M").to_string()), Some("02:30".into()));
    }
}

#[test]
fn a_date_of_a_field_is_not_moved() {
    let delay = Delay::parse_until("contact.renewal_on - 90 days 09:00").expect("a delay");
    let date = NaiveDate::from_ymd_opt(2027, 4, 10);
    let paused = pause("2026-12-01T08:00:00Z", "2026-12-25T08:00:00Z");
    let (from, vienna) = (at("2026-11-24T08:00:00Z"), zone("Europe/Vienna"));
    let due = delay.due_after(&[paused], from, &vienna, None, date);
    assert_eq!(due.at, at("2027-01-10T08:00:00Z"));
}

fn instants() -> impl Strategy<Value = DateTime<Utc>> {
    (1_700_000_000_i64..1_900_000_000)
        .prop_map(|seconds| DateTime::from_timestamp(seconds, 0).expect("in range"))
}

fn zones() -> impl Strategy<Value = Zone> {
    prop::sample::select(vec![
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "America/Santiago",
        "Asia/Kolkata",
        "Africa/Cairo",
        "UTC",
    ])
    .prop_map(zone)
}

fn untils() -> impl Strategy<Value = (Delay, Option<NaiveDate>)> {
    let weekday = (0_u8..7, 0_u32..24).prop_map(|(day, hour)| {
        let weekday = Weekday::try_from(day).expect("one of seven");
        let at = LocalTime::parse(&format!("{hour:02}:30")).expect("a time");
        (Delay::Next { weekday, at }, None)
    });
    let date = (instants(), -200_i32..200).prop_map(|(at, offset_days)| {
        let time = LocalTime::parse("09:00").expect("a time");
        let delay = Delay::Date { path: "contact.renewal_on".into(), offset_days, at: time };
        (delay, Some(at.date_naive()))
    });
    prop_oneof![weekday, date]
}

fn lengths() -> impl Strategy<Value = Delay> {
    prop_oneof![
        (1_u32..400).prop_map(Delay::Days),
        (1_u32..200).prop_map(Delay::BusinessDays),
        (60_u64..10_000_000)
            .prop_map(|seconds| Delay::Elapsed(std::time::Duration::from_secs(seconds))),
    ]
}

/// Pauses one after the other: how long after the one before each begins, and how long it is, in seconds.
fn pauses() -> impl Strategy<Value = Vec<(i64, i64)>> {
    prop::collection::vec((0_i64..2_000_000, 0_i64..3_000_000), 0..4)
}

fn laid_out(from: DateTime<Utc>, lengths: &[(i64, i64)]) -> Vec<Pause> {
    let mut end = from;
    let lay = |(after, length): &(i64, i64)| {
        let from = end + TimeDelta::seconds(*after);
        end = from + TimeDelta::seconds(*length);
        Pause { from, until: end }
    };
    lengths.iter().map(lay).collect()
}

proptest! {
    #[test]
    fn no_pause_moves_a_wait_until_an_instant(
        (delay, date) in untils(), from in instants(), zone in zones(), lengths in pauses()
    ) {
        let window = window();
        let own = delay.due(from, &zone, Some(&window), date);
        let due = delay.due_after(&laid_out(from, &lengths), from, &zone, Some(&window), date);
        prop_assert_eq!(due.at, own);
    }

    #[test]
    fn a_length_of_time_stands_still_for_as_long_as_it_is_paused(
        seconds in 60_u64..10_000_000, from in instants(), zone in zones(), lengths in pauses()
    ) {
        let delay = Delay::Elapsed(std::time::Duration::from_secs(seconds));
        let pauses = laid_out(from, &lengths);
        let due = delay.due_after(&pauses, from, &zone, None, None).at;
        let still: i64 = pauses
            .iter()
            .filter(|pause| pause.from < due)
            .map(|pause| (pause.until.min(due) - pause.from).num_seconds())
            .sum();
        prop_assert_eq!((due - from).num_seconds() - still, i64::try_from(seconds).expect("small"));
    }

    #[test]
    fn days_end_at_their_local_time_on_a_day_that_counts_and_never_sooner_than_without_a_pause(
        delay in lengths(), from in instants(), zone in zones(), lengths in pauses()
    ) {
        let window = window();
        let pauses = laid_out(from, &lengths);
        let due = delay.due_after(&pauses, from, &zone, Some(&window), None);
        prop_assert!(due.at >= delay.due(from, &zone, Some(&window), None));
        if let Some(local) = due.local {
            prop_assert_eq!(local.time(), zone.wall(from).time());
            prop_assert_eq!(zone.resolve(local).max(from), due.at);
            let business = matches!(delay, Delay::BusinessDays(_));
            prop_assert!(!business || window.is_business_day(local.date()));
        }
        // Where it was not over before the last pause, it is not over during it.
        if let Some((last, before)) = pauses.split_last() {
            let was = delay.due_after(before, from, &zone, Some(&window), None).at;
            prop_assert!(was <= last.from || due.at >= last.until);
        }
    }

    #[test]
    fn a_pause_of_no_length_moves_nothing(
        delay in lengths(), from in instants(), zone in zones(), after in 0_i64..3_000_000
    ) {
        let window = window();
        let stopped = from + TimeDelta::seconds(after);
        let none = [Pause { from: stopped, until: stopped }];
        let due = delay.due_after(&none, from, &zone, Some(&window), None).at;
        prop_assert_eq!(due, delay.due(from, &zone, Some(&window), None));
    }
}
