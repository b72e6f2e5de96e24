use proptest::prelude::*;

use super::*;
use crate::timing::{Absence, Calendar};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}

fn zone(name: &str) -> Zone {
    Zone::parse(name).expect("a zone")
}

fn window(holidays: &[&str]) -> Window {
    let days = vec![Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri];
    let time = |text| LocalTime::parse(text).expect("a time of day");
    let holidays = holidays.iter().map(|name| Calendar::parse(name).expect("a country"));
    Window::new(days, time("08:30"), time("17:00"), holidays.collect()).expect("a window")
}

#[test]
fn a_date_that_a_zone_skipped_is_no_business_day_though_its_window_went_on_past_midnight() {
    // Samoa went from Thursday, 29 December 2011, to Saturday, 31 December.
    let time = |text| LocalTime::parse(text).expect("a time of day");
    let days = vec![Weekday::Mon, Weekday::Fri];
    let late = Window::new(days, time("13:00"), time("00:15"), Vec::new()).expect("a window");
    let thursday = at("2011-12-30T09:59:59Z");
    let due = Delay::BusinessDays(1).due(thursday, &zone("Pacific/Apia"), Some(&late), None);
    assert_eq!(due, at("2012-01-02T09:59:59Z"), "Monday");
}

/// The delay of either key, from an instant, in a zone.
fn due(text: &str, from: &str, name: &str) -> String {
    let delay = Delay::parse_for(text).or_else(|_| Delay::parse_until(text)).expect("a delay");
    let due = delay.due(at(from), &zone(name), None, None);
    due.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[test]
fn every_rule_holds_across_changes_of_the_clock() {
    for (text, from, name, expected) in [
        // Elapsed time knows no wall.
        ("24 hours", "2026-03-07T17:00:00Z", "America/New_York", "2026-03-08T17:00:00Z"),
        ("30 minutes", "2026-03-29T00:45:00Z", "Europe/Berlin", "2026-03-29T01:15:00Z"),
        // Days keep the local time, so that they have 23 or 25 hours.
        ("1 day", "2026-03-07T17:00:00Z", "America/New_York", "2026-03-08T16:00:00Z"),
        ("1 day", "2026-10-31T16:00:00Z", "America/New_York", "2026-11-01T17:00:00Z"),
        ("1 week", "2026-03-25T08:00:00Z", "Europe/Berlin", "2026-04-01T07:00:00Z"),
        // Into a gap: its end.
        ("1 day", "2026-03-07T07:30:00Z", "America/New_York", "2026-03-08T07:00:00Z"),
        ("1 day", "2026-03-28T01:30:00Z", "Europe/Berlin", "2026-03-29T01:00:00Z"),
        ("1 day", "2026-10-02T15:45:00Z", "Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
        // Into a fold: its first.
        ("1 day", "2026-10-31T05:30:00Z", "America/New_York", "2026-11-01T05:30:00Z"),
        ("1 day", "2026-10-24T00:30:00Z", "Europe/Berlin", "2026-10-25T00:30:00Z"),
        ("1 day", "2026-04-03T14:45:00Z", "Australia/Lord_Howe", "2026-04-04T14:45:00Z"),
        // From the second of a fold.
        ("1 day", "2026-10-25T01:30:00Z", "Europe/Berlin", "2026-10-26T01:30:00Z"),
        // The local date decides, not that of UTC: Friday evening, Saturday in UTC.
        ("1 business day", "2026-11-21T02:00:00Z", "America/Los_Angeles", "2026-11-24T02:00:00Z"),
        ("3 business days", "2026-11-19T09:00:00Z", "Europe/Vienna", "2026-11-24T09:00:00Z"),
        ("1 business day", "2026-11-22T09:00:00Z", "Europe/Vienna", "2026-11-23T09:00:00Z"),
        // The next such local time: today's while it is ahead, else next week's.
        ("next tuesday 09:30", "2026-11-24T08:29:59Z", "Europe/Vienna", "2026-11-24T08:30:00Z"),
        ("next tuesday 09:30", "2026-11-24T08:30:00Z", "Europe/Vienna", "2026-12-01T08:30:00Z"),
        ("next sunday 02:30", "2026-03-28T12:00:00Z", "Europe/Berlin", "2026-03-29T01:00:00Z"),
        ("next sunday 02:30", "2026-10-25T00:30:00Z", "Europe/Berlin", "2026-11-01T01:30:00Z"),
    ] {
        assert_eq!(due(text, from, name), expected, "{text} from {from} in {name}");
    }
}

#[test]
fn ramadan_moves_the_clocks_of_casablanca_twice() {
    let casablanca = "Africa/Casablanca";
    // Back on 15 February: the first of two times; forth on 22 March: the end of the gap.
    assert_eq!(due("1 day", "2026-02-14T01:30:00Z", casablanca), "2026-02-15T01:30:00Z");
    assert_eq!(due("1 day", "2026-02-15T09:00:00Z", casablanca), "2026-02-16T09:00:00Z");
    assert_eq!(due("1 day", "2026-03-21T02:30:00Z", casablanca), "2026-03-22T02:00:00Z");
    assert_eq!(due("1 day", "2026-03-22T09:00:00Z", casablanca), "2026-03-23T09:00:00Z");
    let wall = |text| zone(casablanca).wall(at(text)).format("%H:%M").to_string();
    assert_eq!(wall("2026-06-01T09:00:00Z"), "10:00");
    assert_eq!(wall("2026-11-24T09:00:00Z"), "09:00");
}

#[test]
fn a_business_day_is_a_day_of_the_window_that_is_no_holiday() {
    let wednesday = at("2026-11-25T15:00:00Z");
    let new_york = zone("America/New_York");
    let due = |window: Option<Window>| {
        Delay::BusinessDays(1).due(wednesday, &new_york, window.as_ref(), None)
    };
    assert_eq!(due(None), at("2026-11-26T15:00:00Z"));
    assert_eq!(due(Some(window(&[]))), at("2026-11-26T15:00:00Z"));
    assert_eq!(due(Some(window(&["US"]))), at("2026-11-27T15:00:00Z"));
    let mut mondays = window(&["GB"]);
    mondays.days = vec![Weekday::Mon];
    // Easter Monday and the early May bank holiday are skipped.
    let friday = at("2026-04-03T09:00:00Z");
    let third = Delay::BusinessDays(4).due(friday, &zone("Europe/London"), Some(&mondays), None);
    assert_eq!(third, at("2026-05-11T09:00:00Z"));
}

#[test]
fn days_off_and_absences_are_no_business_days() {
    let date = |text: &str| text.parse::<NaiveDate>().expect("a date");
    let tuesday = at("2026-11-24T15:00:00Z");
    let due = |window: Option<&Window>, days_off: DaysOff| {
        let delay = Delay::BusinessDays(1);
        let due = delay.due_around(&days_off, tuesday, &zone("UTC"), window, None);
        due.format("%m-%d").to_string()
    };
    let us = window(&["US"]);
    assert_eq!(due(Some(&us), DaysOff::NONE), "11-25");
    assert_eq!(due(Some(&us), DaysOff::new([date("2026-11-25")], Vec::new())), "11-27");
    assert_eq!(due(None, DaysOff::new([date("2026-11-25")], Vec::new())), "11-26");
    let dates = Absence::Dates { first: date("2026-11-20"), last: date("2026-11-29") };
    assert_eq!(due(Some(&us), DaysOff::new([], vec![dates])), "11-30");
    assert_eq!(due(None, DaysOff::new([], vec![dates])), "11-30");
    // Who is away for the window's hours is away for the day, and who leaves some of them is not.
    let hours =
        |until: &str| Absence::Instants { from: at("2026-11-25T08:00:00Z"), until: at(until) };
    let all = hours("2026-11-25T17:00:00Z");
    assert_eq!(due(Some(&us), DaysOff::new([], vec![all])), "11-27");
    assert_eq!(due(None, DaysOff::new([], vec![all])), "11-25");
    assert_eq!(due(Some(&us), DaysOff::new([], vec![hours("2026-11-25T16:59:00Z")])), "11-25");
    // A quarter of a year away is longer than any row of holidays.
    let quarter = Absence::Dates { first: date("2026-11-20"), last: date("2027-02-28") };
    assert_eq!(due(Some(&us), DaysOff::new([], vec![quarter])), "03-01");
}

#[test]
fn a_day_that_a_zone_skipped_is_no_business_day() {
    // Samoa had no 30 December 2011, a Friday.
    let thursday = at("2011-12-29T20:00:00Z");
    let due = Delay::BusinessDays(1).due(thursday, &zone("Pacific/Apia"), None, None);
    assert_eq!(due, at("2012-01-01T20:00:00Z"));
}

#[test]
fn a_fields_date_is_waited_for_and_at_once_when_past_or_missing() {
    let delay = Delay::parse_until("contact.renewal_on - 14 days 09:00").expect("a delay");
    let from = at("2026-11-24T10:00:00Z");
    let due = |date: Option<&str>| {
        let date = date.map(|date| date.parse().expect("a date"));
        delay.due(from, &zone("Europe/Vienna"), None, date)
    };
    assert_eq!(due(Some("2027-01-15")), at("2027-01-01T08:00:00Z"));
    assert_eq!(due(Some("2026-12-08")), from);
    assert_eq!(due(Some("2020-01-01")), from);
    assert_eq!(due(None), from);
}

#[test]
fn the_ends_of_time_and_a_window_without_days_do_not_panic() {
    let mut never = window(&[]);
    never.days.clear();
    for from in [DateTime::<Utc>::MIN_UTC, at("2026-01-01T00:00:00Z"), DateTime::<Utc>::MAX_UTC] {
        for delay in [
            Delay::Elapsed(Duration::MAX),
            Delay::Days(u32::MAX),
            Delay::BusinessDays(3),
            Delay::BusinessDays(0),
            Delay::Next { weekday: Weekday::Mon, at: LocalTime::END_OF_DAY },
        ] {
            assert!(delay.due(from, &zone("Europe/Berlin"), Some(&never), None) >= from);
        }
    }
}

fn instants() -> impl Strategy<Value = DateTime<Utc>> {
    (1_735_689_600_i64..1_893_456_000, 0_u32..1_000_000_000)
        .prop_map(|(second, nano)| DateTime::from_timestamp(second, nano).expect("an instant"))
}

fn zones() -> impl Strategy<Value = Zone> {
    prop::sample::select(Zone::names().collect::<Vec<_>>()).prop_map(zone)
}

fn delays() -> impl Strategy<Value = Delay> {
    let next = (0_u8..7, 0_u16..24).prop_map(|(day, hour)| Delay::Next {
        weekday: Weekday::try_from(day).expect("a day"),
        at: LocalTime::parse(&format!("{hour:02}:30")).expect("a time of day"),
    });
    prop_oneof![
        (1_u32..=366).prop_map(Delay::Days),
        (1_u32..=30).prop_map(Delay::BusinessDays),
        (1_u64..=366 * 86_400).prop_map(|seconds| Delay::Elapsed(Duration::from_secs(seconds))),
        next,
    ]
}

proptest! {
    #[test]
    fn no_delay_is_over_before_it_began(from in instants(), zone in zones(), delay in delays()) {
        prop_assert!(delay.due(from, &zone, Some(&window(&["US"])), None) > from);
    }

    #[test]
    fn who_begins_later_on_another_day_is_due_no_earlier(
        from in instants(), wait in 2_i64..40, zone in zones(), delay in delays()
    ) {
        // Within a fold the same local time comes twice, so that only days apart are ordered.
        let later = from + TimeDelta::days(wait);
        let window = window(&["GB"]);
        let first = delay.due(from, &zone, Some(&window), None);
        let second = delay.due(later, &zone, Some(&window), None);
        // Both may end on the same business day, at local times that a change of the clock moved.
        let slack = match delay {
            Delay::BusinessDays(_) => TimeDelta::hours(3),
            Delay::Elapsed(_) | Delay::Days(_) | Delay::Next { .. } | Delay::Date { .. } => {
                TimeDelta::zero()
            }
        };
        prop_assert!(first <= second + slack);
    }

    #[test]
    fn business_days_end_on_a_business_day(from in instants(), zone in zones(), count in 1_u32..30) {
        let window = window(&["US", "GB"]);
        let due = Delay::BusinessDays(count).due(from, &zone, Some(&window), None);
        let (began, ended) = (zone.wall(from).date(), zone.wall(due).date());
        prop_assert!(window.is_business_day(ended));
        let passed = began.iter_days().skip(1).take_while(|date| *date <= ended);
        let passed = passed.filter(|date| window.is_business_day(*date)).count();
        prop_assert_eq!(passed, usize::try_from(count).expect("a small number"));
    }
}
