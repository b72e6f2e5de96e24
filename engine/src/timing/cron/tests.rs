use chrono::Days as DayCount;
use proptest::prelude::*;

use super::oracle::{Written, written};
use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}

fn zone(name: &str) -> Zone {
    Zone::parse(name).expect("a zone")
}

fn cron(text: &str) -> Cron {
    Cron::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The next occurrences in a zone as the clock on the wall shows them.
fn walls(text: &str, after: &str, zone: &Zone, count: usize) -> Vec<String> {
    let upcoming = cron(text).upcoming(at(after), zone, count);
    upcoming.iter().map(|found| zone.wall(found.at).format("%a %F %T").to_string()).collect()
}

fn utc(text: &str, after: &str, count: usize) -> Vec<String> {
    walls(text, after, &Zone::utc(), count)
}

/// A Wednesday.
const NOW: &str = "2026-11-25T12:00:00Z";

#[test]
fn five_six_and_seven_fields_are_read() {
    assert_eq!(utc("30 9 * * *", NOW, 2), ["Thu 2026-11-26 09:30:00", "Fri 2026-11-27 09:30:00"]);
    assert_eq!(utc("15 30 9 * * *", NOW, 1), ["Thu 2026-11-26 09:30:15"]);
    assert_eq!(utc("0 30 9 1 1 ? 2028", NOW, 2), ["Sat 2028-01-01 09:30:00"]);
    assert_eq!(utc("  0\t9 * *  mon ", NOW, 1), ["Mon 2026-11-30 09:00:00"]);
    assert_eq!(
        utc("*/20 * * * * *", NOW, 2),
        ["Wed 2026-11-25 12:00:20", "Wed 2026-11-25 12:00:40"]
    );
}

#[test]
fn sunday_is_0_and_7_and_names_are_read_in_any_case() {
    for sunday in ["0", "7", "sun", "SUNDAY", "0,7", "7-7"] {
        let found = utc(&format!("0 9 * * {sunday}"), NOW, 2);
        assert_eq!(found, ["Sun 2026-11-29 09:00:00", "Sun 2026-12-06 09:00:00"], "{sunday}");
    }
    for (days, expected) in [
        ("1-5", "Thu Fri Mon Tue Wed Thu Fri"),
        ("mon-fri", "Thu Fri Mon Tue Wed Thu Fri"),
        ("5-7", "Fri Sat Sun Fri Sat Sun Fri"),
        ("fri-mon", "Fri Sat Sun Mon Fri Sat Sun"),
        ("6-1", "Sat Sun Mon Sat Sun Mon Sat"),
        ("0-7", "Thu Fri Sat Sun Mon Tue Wed"),
        ("mon-fri/2", "Fri Mon Wed Fri Mon Wed Fri"),
        ("2/2", "Thu Sat Tue Thu Sat Tue Thu"),
        ("tue,Saturday", "Sat Tue Sat Tue Sat Tue Sat"),
        ("?", "Thu Fri Sat Sun Mon Tue Wed"),
    ] {
        let found = utc(&format!("0 9 * * {days}"), NOW, 7);
        let found: Vec<&str> = found.iter().map(|day| &day[..3]).collect();
        assert_eq!(found.join(" "), expected, "{days}");
    }
    assert_eq!(
        utc("0 0 1 feb,August *", NOW, 2),
        ["Mon 2027-02-01 00:00:00", "Sun 2027-08-01 00:00:00"]
    );
}

#[test]
fn the_last_and_the_nth_day_are_found_in_every_month() {
    for (fields, expected) in [
        (
            "L * *",
            ["Mon 2026-11-30 00:00:00", "Thu 2026-12-31 00:00:00", "Sun 2027-01-31 00:00:00"],
        ),
        (
            "L feb *",
            ["Sun 2027-02-28 00:00:00", "Tue 2028-02-29 00:00:00", "Wed 2029-02-28 00:00:00"],
        ),
        (
            "1,L * *",
            ["Mon 2026-11-30 00:00:00", "Tue 2026-12-01 00:00:00", "Thu 2026-12-31 00:00:00"],
        ),
        (
            "* * friL",
            ["Fri 2026-11-27 00:00:00", "Fri 2026-12-25 00:00:00", "Fri 2027-01-29 00:00:00"],
        ),
        (
            "* * 0L",
            ["Sun 2026-11-29 00:00:00", "Sun 2026-12-27 00:00:00", "Sun 2027-01-31 00:00:00"],
        ),
        (
            "* * tue#2",
            ["Tue 2026-12-08 00:00:00", "Tue 2027-01-12 00:00:00", "Tue 2027-02-09 00:00:00"],
        ),
        (
            "? * 7#1",
            ["Sun 2026-12-06 00:00:00", "Sun 2027-01-03 00:00:00", "Sun 2027-02-07 00:00:00"],
        ),
        (
            "* * mon#5",
            ["Mon 2026-11-30 00:00:00", "Mon 2027-03-29 00:00:00", "Mon 2027-05-31 00:00:00"],
        ),
    ] {
        assert_eq!(utc(&format!("0 0 {fields}"), NOW, 3), expected, "{fields}");
    }
}

#[test]
fn where_both_days_are_restricted_either_is_enough() {
    let found = utc("0 0 13 * fri", NOW, 4);
    let expected = [
        "Fri 2026-11-27 00:00:00",
        "Fri 2026-12-04 00:00:00",
        "Fri 2026-12-11 00:00:00",
        "Sun 2026-12-13 00:00:00",
    ];
    assert_eq!(found, expected);
    assert_eq!(
        utc("0 0 1-31 * fri", NOW, 1),
        ["Fri 2026-11-27 00:00:00"],
        "all days restrict nothing"
    );
}

#[test]
fn words_stand_for_whole_expressions() {
    for (word, fields) in SHORT {
        assert_eq!(utc(word, NOW, 3), utc(fields, NOW, 3), "{word}");
    }
    assert_eq!(utc("@Weekly", NOW, 1), ["Sun 2026-11-29 00:00:00"]);
    assert_eq!(cron(" @hourly ").text(), "@hourly");
}

#[test]
fn what_is_refused_says_where_and_what_to_write() {
    for (text, column, says) in [
        ("", None, "the expression is empty; write `0 9 * * mon`"),
        ("0 9 * *", None, "has 4 fields; write five"),
        ("0 0 9 * * * 2026 1", None, "has 8 fields"),
        ("60 9 * * *", Some(1), "`60` is no minute; write 0 to 59"),
        ("0 24 * * *", Some(3), "`24` is no hour; write 0 to 23, where 0 is midnight"),
        ("0 9 0 * *", Some(5), "`0` is no day of the month; write 1 to 31, or `L` for the last"),
        ("0 9 * 13 *", Some(7), "`13` is no month; write 1 to 12, or jan to dec"),
        ("0 9 * * 8", Some(9), "`8` is no day of the week; write 0 to 7, where 0 and 7 are Sunday"),
        ("0 9 1 1 * 2027", Some(11), "six fields begin with seconds, and a year is the seventh"),
        ("0 0 9 1 1 ? 1969", Some(13), "`1969` is no year; write 1970 to 2100"),
        ("0 9 * * mno", Some(9), "did you mean `mon`?"),
        ("0 9 * jannuary *", Some(7), "did you mean `january`?"),
        ("0 9,,10 * * *", Some(5), "a number is missing beside a comma"),
        ("0 9, * * *", Some(5), "a number is missing beside a comma"),
        ("5-1 * * * *", Some(1), "`5-1` runs backwards; write `5-59,0-1` where it goes round"),
        ("0 0 9 * * * 2030-2028", Some(13), "write `2028-2030`"),
        ("0 9-x * * *", Some(5), "`x` is no hour"),
        ("*/0 * * * *", Some(3), "a step of 0 stands still; write at least 1"),
        ("*/90 * * * *", Some(3), "a step begins anew with each range, so write at most 59"),
        ("*/x * * * *", Some(3), "`x` is no step; write a number, such as `*/15`"),
        ("0 9 15W * *", Some(5), "the nearest working day (`W`) is not known here"),
        ("0 9 L-3 * *", Some(5), "days before the last are not known here"),
        ("0 9 fri#2 * *", Some(5), "write it in the field of the day of the week, such as `fri#2`"),
        ("0 9 * * fri#6", Some(9), "write #1 to #5"),
        ("0 9 * * L", Some(9), "write `sat`, or `friL` for the last Friday of a month"),
        ("L 9 * * *", Some(1), "`L` stands for a day only; write 0 to 59"),
        ("H 9 * * *", Some(1), "give the schedule a jitter"),
        ("0 ? * * *", Some(3), "`?` stands for a day only; write `*` for every hour"),
        ("0 9 */2 * mon", Some(5), "cron programs differ on a step of `*`"),
        ("0 9 1 * */2", Some(9), "cron programs differ on a step of `*`"),
        ("0 0 30 2 *", None, "`0 0 30 2 *` never comes; write a day that its months have"),
        ("@reboot", None, "`@reboot` is no time"),
        ("@every 5m", None, "write minutes by a step, such as `*/15 * * * *`"),
        ("@dayly", None, "did you mean `@daily`?"),
        ("ü 9 x * *", Some(1), "`ü` is no minute"),
        ("0 -1 * * *", Some(3), "a number is missing; write 0 to 23"),
    ] {
        let error = Cron::parse(text).expect_err(text);
        assert_eq!(error.column, column, "{text}: {error}");
        assert!(error.to_string().contains(says), "{text}: {error}");
    }
    let long = format!("{} * * * *", "1,".repeat(100));
    assert!(Cron::parse(&long).expect_err("too long").to_string().contains("write at most 200"));
}

#[test]
fn a_time_in_a_gap_comes_at_its_end_and_once_with_what_is_due_there() {
    let berlin = zone("Europe/Berlin");
    let before = "2026-03-28T22:00:00Z";
    let days = ["Sun 2026-03-29 03:00:00", "Mon 2026-03-30 02:30:00"];
    assert_eq!(walls("30 2 * * *", before, &berlin, 2), days);
    // 02:00, 02:20 and 02:40 do not exist that day; 03:00 does, and they come with it.
    let often = ["01:40", "03:00", "03:20"].map(|time| format!("Sun 2026-03-29 {time}:00"));
    assert_eq!(walls("*/20 1-3 * * *", "2026-03-29T00:20:00Z", &berlin, 3), often);
    let moved = cron("30 2 * * *").next(at(before), &berlin).expect("an occurrence");
    assert_eq!(moved.named.to_string(), "2026-03-29 02:30:00");
    // Samoa had no 30 December in 2011: what was due then came with the first instant of the 31st.
    let apia = zone("Pacific/Apia");
    let skipped = walls("0 12 * * *", "2011-12-29T23:00:00Z", &apia, 2);
    assert_eq!(skipped, ["Sat 2011-12-31 00:00:00", "Sat 2011-12-31 12:00:00"]);
}

#[test]
fn a_time_in_a_fold_comes_when_it_is_shown_first() {
    let berlin = zone("Europe/Berlin");
    let upcoming = cron("*/30 2-3 * * *").upcoming(at("2026-10-25T00:00:00Z"), &berlin, 3);
    let found: Vec<String> = upcoming.iter().map(|found| found.at.to_rfc3339()).collect();
    let expected = ["2026-10-25T00:30:00", "2026-10-25T02:00:00", "2026-10-25T02:30:00"];
    assert_eq!(found, expected.map(|at| format!("{at}+00:00")));
    // Asked from within the second half, no time of the first comes again.
    let inside = cron("15 2 * * *").next(at("2026-10-25T01:10:00Z"), &berlin).expect("the next");
    assert_eq!(inside.at, at("2026-10-26T01:15:00Z"));
    let last = cron("*/15 2 * * *").last(at("2026-10-25T01:10:00Z"), &berlin).expect("the last");
    assert_eq!(last.at, at("2026-10-25T00:45:00Z"));
}

#[test]
fn the_last_occurrence_is_found_across_years_that_are_left_out() {
    let cron = cron("0 0 12 L 2-12 ? 2020,2024");
    let last = |until: &str| cron.last(at(until), &Zone::utc()).map(|found| found.at);
    assert_eq!(last("2026-03-01T00:00:00Z"), Some(at("2024-12-31T12:00:00Z")));
    assert_eq!(last("2024-02-29T12:00:00Z"), Some(at("2024-02-29T12:00:00Z")));
    assert_eq!(last("2024-02-29T11:59:59.5Z"), Some(at("2020-12-31T12:00:00Z")));
    assert_eq!(last("2020-01-01T00:00:00Z"), None);
    assert_eq!(cron.next(at("2024-12-31T12:00:00Z"), &Zone::utc()), None);
}

#[test]
fn fractions_of_a_second_lie_between_occurrences() {
    let cron = cron("* * * * * *");
    let half = at("2026-11-25T12:00:00.5Z");
    let around = (cron.last(half, &Zone::utc()), cron.next(half, &Zone::utc()));
    let (last, next) = (around.0.expect("the last").at, around.1.expect("the next").at);
    assert_eq!((last, next), (at("2026-11-25T12:00:00Z"), at("2026-11-25T12:00:01Z")));
}

/// Zones with the day before one of their changes.
fn changes() -> impl Strategy<Value = (Zone, DateTime<Utc>)> {
    let known = vec![
        ("Europe/Berlin", "2026-03-28T00:00:00Z"),
        ("Europe/Berlin", "2026-10-24T00:00:00Z"),
        ("America/New_York", "2026-10-31T12:00:00Z"),
        ("America/New_York", "2027-03-13T12:00:00Z"),
        // Half an hour.
        ("Australia/Lord_Howe", "2026-04-03T20:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-02T20:00:00Z"),
        // At midnight, to and fro.
        ("America/Havana", "2026-03-07T00:00:00Z"),
        ("America/Havana", "2026-10-31T00:00:00Z"),
        ("Africa/Cairo", "2026-04-23T00:00:00Z"),
        ("Africa/Cairo", "2026-10-29T00:00:00Z"),
        // A whole day, and a zone between the hours.
        ("Pacific/Apia", "2011-12-28T12:00:00Z"),
        ("Asia/Kathmandu", "2026-02-27T00:00:00Z"),
        ("UTC", "2028-02-28T00:00:00Z"),
    ];
    let minutes = 0..2 * 24 * 60_i64;
    (prop::sample::select(known), minutes)
        .prop_map(|((name, from), ahead)| (zone(name), at(from) + TimeDelta::minutes(ahead)))
}

fn check(written: &Written, zone: &Zone, from: DateTime<Utc>) -> Result<(), TestCaseError> {
    let days = 4;
    let due = written.walk(from, days, zone);
    let cron = match Cron::parse(&written.text) {
        Ok(cron) => cron,
        Err(error) => {
            // The days of February and their like, that never come.
            prop_assert!(error.to_string().contains("never comes"), "{}: {}", written.text, error);
            prop_assert!(due.is_empty());
            return Ok(());
        }
    };
    let end = from + DayCount::new(days.unsigned_abs());
    let next = |from: &DateTime<Utc>| cron.next(*from, zone).map(|found| found.at);
    let found: Vec<_> =
        std::iter::successors(next(&from), next).take_while(|found| *found <= end).collect();
    prop_assert_eq!(&found, &due, "{}", written.text);
    for at in due.iter().take(50) {
        for until in [*at, *at + TimeDelta::seconds(59), *at - TimeDelta::seconds(1)] {
            let expected = due.iter().rfind(|due| **due <= until);
            let last = cron.last(until, zone).map(|found| found.at).filter(|last| *last > from);
            prop_assert_eq!(last.as_ref(), expected, "{} until {}", written.text, until);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn it_agrees_with_a_slow_walk_by_minutes(written in written(), (zone, from) in changes()) {
        check(&written, &zone, from)?;
    }

    #[test]
    fn no_text_makes_it_panic(text in "[-*/,#?LWHa-z0-9 @ü]{0,30}") {
        if let Ok(cron) = Cron::parse(&text) {
            cron.next(at(NOW), &Zone::utc());
            cron.last(at(NOW), &Zone::utc());
        }
    }
}
