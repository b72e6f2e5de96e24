use proptest::prelude::*;

use super::*;
use crate::timing::Absence;

fn time(text: &str) -> LocalTime {
    LocalTime::parse(text).expect("a time of day")
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}

fn zone(name: &str) -> Zone {
    Zone::parse(name).expect("a zone")
}

fn date(text: &str) -> NaiveDate {
    text.parse().expect("a date")
}

fn opens(text: &str) -> Opening {
    Opening::Opens { at: at(text), closed_by: Closed::Window }
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
    for (from, to, told) in [
        ("09:00", "09:00", "write another `to`"),
        ("24:00", "24:00", "write `from = \"00:00\"`"),
        ("24:00", "06:00", "write `from = \"00:00\"`"),
    ] {
        let message = Window::new(vec![Weekday::Mon], time(from), time(to), Vec::new());
        let message = message.expect_err("an empty window");
        assert!(message.contains(told), "{message}");
    }
}

#[test]
fn it_opens_at_the_next_business_minute_and_its_end_is_outside() {
    let window = working_hours("08:30", "17:00", &["US"]);
    let closes = |text| Opening::Open { closes_at: at(text) };
    let after = |name, text| Opening::Opens { at: at(text), closed_by: Closed::Holiday(name) };
    for (now, expected) in [
        // A Tuesday in November, five hours behind UTC.
        ("2026-11-24T13:29:59Z", opens("2026-11-24T13:30:00Z")),
        ("2026-11-24T13:30:00Z", closes("2026-11-24T22:00:00Z")),
        ("2026-11-24T21:59:59Z", closes("2026-11-24T22:00:00Z")),
        ("2026-11-24T22:00:00Z", opens("2026-11-25T13:30:00Z")),
        // Over Thanksgiving to the Friday, and over a weekend.
        ("2026-11-25T22:00:00Z", after("Thanksgiving Day", "2026-11-27T13:30:00Z")),
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
    assert_eq!(inside, opens("2026-03-30T00:00:00Z"));
    let across = every_day("02:30", "04:00").opens_at(before, &berlin);
    assert_eq!(across, opens("2026-03-29T01:00:00Z"));
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
    assert_eq!(opening, opens("2011-12-30T19:00:00Z"));
}

#[test]
fn a_window_made_without_days_is_asked_again_in_400_days() {
    let days = Vec::new();
    let window = Window { days, from: time("09:00"), to: time("17:00"), holidays: Vec::new() };
    let opening = window.opens_at(at("2026-01-01T00:00:00Z"), &Zone::utc());
    assert_eq!(opening, opens("2027-02-05T00:00:00Z"));
    window.opens_at(DateTime::<Utc>::MAX_UTC, &Zone::utc());
}

#[test]
fn a_night_belongs_to_the_day_on_which_it_begins() {
    let days = vec![Weekday::Thu, Weekday::Fri];
    let us = vec![Calendar::parse("US").expect("a country")];
    let nights = Window::new(days, time("22:00"), time("06:00"), us).expect("a window");
    let closes = |text| Opening::Open { closes_at: at(text) };
    // The night of Thursday is that of Thanksgiving; the Friday's goes on into Saturday.
    let thanksgiving = Closed::Holiday("Thanksgiving Day");
    for (now, expected) in [
        ("2026-11-20T05:59:59Z", closes("2026-11-20T06:00:00Z")),
        ("2026-11-20T06:00:00Z", opens("2026-11-20T22:00:00Z")),
        ("2026-11-21T02:00:00Z", closes("2026-11-21T06:00:00Z")),
        (
            "2026-11-21T06:00:00Z",
            Opening::Opens { at: at("2026-11-27T22:00:00Z"), closed_by: thanksgiving },
        ),
        (
            "2026-11-27T03:00:00Z",
            Opening::Opens { at: at("2026-11-27T22:00:00Z"), closed_by: thanksgiving },
        ),
        ("2026-11-28T03:00:00Z", closes("2026-11-28T06:00:00Z")),
    ] {
        assert_eq!(nights.opens_at(at(now), &Zone::utc()), expected, "{now}");
    }
}

#[test]
fn every_rule_that_keeps_it_closed_is_named_in_the_order_in_which_it_ends() {
    let window = working_hours("08:30", "17:00", &["US"]);
    let away =
        Absence::Instants { from: at("2026-11-27T10:00:00Z"), until: at("2026-12-01T10:15:00Z") };
    let days_off = DaysOff::new([date("2026-11-25")], vec![away]);
    let tuesday_evening = at("2026-11-24T18:00:00Z");
    let closures = window.closures(tuesday_evening, &Zone::utc(), &days_off);
    let told: Vec<(Closed, String)> = closures
        .iter()
        .map(|closure| (closure.rule, closure.until.format("%m-%d %H:%M").to_string()))
        .collect();
    // Thursday is a holiday. From 08:30 to 10:00 on Friday the window is open.
    assert_eq!(
        told,
        [
            (Closed::OwnDayOff, "11-26 00:00".into()),
            (Closed::Holiday("Thanksgiving Day"), "11-27 00:00".into()),
            (Closed::Window, "11-27 08:30".into()),
        ]
    );
    let opening = window.opening(at("2026-11-27T09:00:00Z"), &Zone::utc(), &days_off);
    assert_eq!(opening, Opening::Open { closes_at: at("2026-11-27T10:00:00Z") });
    let opening = window.opening(at("2026-11-27T10:00:00Z"), &Zone::utc(), &days_off);
    let back = at("2026-12-01T10:15:00Z");
    assert_eq!(opening, Opening::Opens { at: back, closed_by: Closed::Absence });
    assert_eq!(window.closures(back, &Zone::utc(), &days_off), []);
}

#[test]
fn calendars_that_are_not_complete_any_more_are_named() {
    let window = working_hours("08:30", "17:00", &["US", "SG", "IN"]);
    let named = |text| {
        let calendars = window.incomplete(date(text));
        calendars.map(Calendar::name).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(named("2026-12-31"), "");
    assert_eq!(named("2027-01-01"), "IN");
    assert_eq!(named("2028-01-01"), "SG IN");
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
    let hours = (0_u16..24, 0_u16..=24).prop_filter("an hour at least", |(from, to)| from != to);
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
        // The night of the day before may go on.
        let days = [wall.date(), wall.date() - Days::new(1)];
        let holds = |date: NaiveDate| {
            let end = if window.to < window.from { date + Days::new(1) } else { date };
            let hours = window.from.on(date) <= wall && wall < window.to.on(end);
            window.is_business_day(date) && hours
        };
        prop_assert!(days.into_iter().any(holds));
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
                Opening::Opens { at, .. } => prop_assert!(at > closes_at),
                // Midnight of one day is the first minute of the next.
                Opening::Open { .. } => prop_assert_eq!(window.to, LocalTime::END_OF_DAY),
            }
        }
    }
}
