use proptest::prelude::*;

use super::*;

fn time(text: &str) -> LocalTime {
    LocalTime::parse(text).expect("a time of day")
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}

fn zone(name: &str) -> Zone {
    Zone::parse(name).expect("a zone")
}

fn working_hours(from: &str, to: &str, holidays: &[&str]) -> Window {
    let days =
        vec![Weekday::Fri, Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Mon];
    let holidays = holidays.iter().map(|name| Calendar::parse(name).expect("a country"));
    Window::new(days, time(from), time(to), holidays.collect()).expect("a window")
}

fn every_day(from: &str, to: &str) -> Window {
    let days = (0..7).map(|day| Weekday::try_from(day).expect("a day")).collect();
    Window::new(days, time(from), time(to), Vec::new()).expect("a window")
}

#[test]
fn days_are_sorted_and_kept_once() {
    let window = working_hours("08:30", "17:00", &[]);
    let days = [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri];
    assert_eq!(window.days, days);
}

#[test]
fn a_window_that_never_opens_is_refused() {
    let none = Window::new(Vec::new(), time("08:30"), time("17:00"), Vec::new());
    assert!(none.expect_err("no days").contains("days = ["));
    for (from, to) in [("17:00", "08:30"), ("09:00", "09:00"), ("24:00", "24:00")] {
        let message = Window::new(vec![Weekday::Mon], time(from), time(to), Vec::new());
        let message = message.expect_err("an empty window");
        assert!(message.contains("write `from` before `to`"), "{message}");
    }
}

#[test]
fn it_opens_at_the_next_business_minute_and_its_end_is_outside() {
    let window = working_hours("08:30", "17:00", &["US"]);
    let closes = |text| Opening::Open { closes_at: at(text) };
    let opens = |text| Opening::Opens { at: at(text) };
    for (now, expected) in [
        // A Tuesday in November, five hours behind UTC.
        ("2026-11-24T13:29:59Z", opens("2026-11-24T13:30:00Z")),
        ("2026-11-24T13:30:00Z", closes("2026-11-24T22:00:00Z")),
        ("2026-11-24T21:59:59Z", closes("2026-11-24T22:00:00Z")),
        ("2026-11-24T22:00:00Z", opens("2026-11-25T13:30:00Z")),
        // Over Thanksgiving to the Friday, and over a weekend.
        ("2026-11-25T22:00:00Z", opens("2026-11-27T13:30:00Z")),
        ("2026-11-27T22:00:00Z", opens("2026-11-30T13:30:00Z")),
        // Summer time begins on a weekend.
        ("2026-03-06T22:00:00Z", opens("2026-03-09T12:30:00Z")),
    ] {
        assert_eq!(window.opens_at(at(now), &zone("America/New_York")), expected, "{now}");
    }
}

#[test]
fn midnight_ends_a_window_where_it_is_written_so() {
    let window = every_day("20:00", "24:00");
    let opening = window.opens_at(at("2026-06-01T22:30:00Z"), &Zone::utc());
    assert_eq!(opening, Opening::Open { closes_at: at("2026-06-02T00:00:00Z") });
}

#[test]
fn a_window_inside_a_gap_is_left_out_and_one_that_begins_in_it_opens_at_its_end() {
    let berlin = zone("Europe/Berlin");
    let before = at("2026-03-28T23:30:00Z");
    let inside = every_day("02:00", "02:45").opens_at(before, &berlin);
    assert_eq!(inside, Opening::Opens { at: at("2026-03-30T00:00:00Z") });
    let across = every_day("02:30", "04:00").opens_at(before, &berlin);
    assert_eq!(across, Opening::Opens { at: at("2026-03-29T01:00:00Z") });
}

#[test]
fn a_window_stays_open_through_a_fold_that_it_holds() {
    let window = every_day("01:00", "04:00");
    let second_half_past_two = at("2026-10-25T01:30:00Z");
    let opening = window.opens_at(second_half_past_two, &zone("Europe/Berlin"));
    assert_eq!(opening, Opening::Open { closes_at: at("2026-10-25T03:00:00Z") });
}

#[test]
fn a_day_that_a_zone_skipped_does_not_open() {
    let opening =
        every_day("09:00", "17:00").opens_at(at("2011-12-30T03:00:00Z"), &zone("Pacific/Apia"));
    assert_eq!(opening, Opening::Opens { at: at("2011-12-30T19:00:00Z") });
}

#[test]
fn a_window_made_without_days_is_asked_again_in_400_days() {
    let days = Vec::new();
    let window = Window { days, from: time("09:00"), to: time("17:00"), holidays: Vec::new() };
    let opening = window.opens_at(at("2026-01-01T00:00:00Z"), &Zone::utc());
    assert_eq!(opening, Opening::Opens { at: at("2027-02-05T00:00:00Z") });
    window.opens_at(DateTime::<Utc>::MAX_UTC, &Zone::utc());
}

fn instants() -> impl Strategy<Value = DateTime<Utc>> {
    (1_735_689_600_i64..1_893_456_000)
        .prop_map(|seconds| DateTime::from_timestamp(seconds, 0).expect("an instant"))
}

fn zones() -> impl Strategy<Value = Zone> {
    prop::sample::select(vec![
        "America/New_York",
        "Europe/Berlin",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
        "America/Havana",
        "Asia/Beirut",
        "America/Scoresbysund",
        "Pacific/Chatham",
        "UTC",
    ])
    .prop_map(zone)
}

fn windows() -> impl Strategy<Value = Window> {
    let days = prop::collection::vec(
        (0_u8..7).prop_map(|day| Weekday::try_from(day).expect("a day")),
        1..7,
    );
    let hours = (0_u16..24).prop_flat_map(|from| (Just(from), from + 1..=24));
    let holidays = prop::sample::subsequence(vec!["US", "GB", "AT"], 0..=2);
    (days, hours, holidays).prop_map(|(days, (from, to), holidays)| {
        let holidays = holidays.into_iter().map(|name| Calendar::parse(name).expect("a country"));
        let (from, to) = (format!("{from:02}:00"), format!("{to:02}:00"));
        Window::new(days, time(&from), time(&to), holidays.collect()).expect("a window")
    })
}

proptest! {
    #[test]
    fn an_opening_lies_inside_the_window(now in instants(), zone in zones(), window in windows()) {
        let opening = window.opens_at(now, &zone).first_instant(now);
        prop_assert!(opening >= now);
        let is_open = match window.opens_at(opening, &zone) {
            Opening::Open { closes_at } => closes_at > opening,
            Opening::Opens { .. } => false,
        };
        prop_assert!(is_open);
        let wall = zone.wall(opening);
        prop_assert!(window.is_business_day(wall.date()));
        prop_assert!(wall >= window.from.on(wall.date()) && wall < window.to.on(wall.date()));
    }

    #[test]
    fn who_comes_later_is_never_let_in_earlier(
        now in instants(), wait in 0_i64..700_000, zone in zones(), window in windows()
    ) {
        let later = now + TimeDelta::seconds(wait);
        let first = window.opens_at(now, &zone).first_instant(now);
        prop_assert!(first <= window.opens_at(later, &zone).first_instant(later));
    }

    #[test]
    fn an_open_window_is_closed_at_its_end(now in instants(), zone in zones(), window in windows()) {
        if let Opening::Open { closes_at } = window.opens_at(now, &zone) {
            let just_before = closes_at - TimeDelta::nanoseconds(1);
            prop_assert_eq!(window.opens_at(just_before, &zone), Opening::Open { closes_at });
            match window.opens_at(closes_at, &zone) {
                Opening::Opens { at } => prop_assert!(at > closes_at),
                // Midnight of one day is the first minute of the next.
                Opening::Open { .. } => prop_assert_eq!(window.to, LocalTime::END_OF_DAY),
            }
        }
    }
}
