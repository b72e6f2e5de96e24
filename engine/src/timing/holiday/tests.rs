use std::collections::BTreeMap;

use super::*;

fn calendar(name: &str) -> Calendar {
    Calendar::parse(name).expect("a known country")
}

/// All days off of a year, weekends among them, as `MM-DD`.
fn every_day_off(name: &str, year: i32) -> String {
    let first = NaiveDate::from_ymd_opt(year, 1, 1).expect("a date");
    let days: Vec<String> = first
        .iter_days()
        .take_while(|date| date.year() == year)
        .filter(|date| calendar(name).contains(*date).is_some())
        .map(|date| date.format("%m-%d").to_string())
        .collect();
    days.join(" ")
}

/// By code and year.
fn published() -> BTreeMap<(&'static str, i32), &'static str> {
    let text = include_str!("../../../tests/data/holidays.txt");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let read = lines.map(|line| {
        let (head, days) = line.split_once(": ").expect("a colon");
        let (code, year) = head.split_once(' ').expect("a code and a year");
        ((code, year.parse().expect("a year")), days)
    });
    read.collect()
}

#[test]
fn the_days_off_are_those_that_governments_publish_and_no_more() {
    let published = published();
    for ((code, year), days) in &published {
        assert_eq!(every_day_off(code, *year), *days, "{code} {year}");
    }
    for code in Calendar::names() {
        for year in [2025, 2026] {
            assert!(published.contains_key(&(code, year)), "{code} {year} was not held against");
        }
    }
}

#[test]
fn every_file_is_compiled_in_names_its_source_and_is_sorted_by_its_code() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/data/holidays");
    let files = std::fs::read_dir(folder).expect("the folder of the data").count();
    assert_eq!(files, FILES.len());
    assert!(Calendar::names().is_sorted());
    for (code, text) in FILES {
        let path = format!("{folder}/{code}.csv");
        assert_eq!(std::fs::read_to_string(path).expect("a file of that name"), text);
        assert!(text.contains("# Source: "), "{code} names no source");
        assert!(File::parse(text).is_ok(), "{code}: {:?}", File::parse(text).err());
    }
}

/// What follows the moon, or is decided year by year, is known for some years only, and says so.
#[test]
fn a_calendar_of_dated_feasts_says_until_when_it_is_complete_and_holds_them_until_then() {
    for (code, text) in FILES {
        let file = File::parse(text).expect("the files follow the grammar");
        let Some(end) = calendar(code).complete_until() else {
            assert!(file.feasts.is_empty(), "{code} has feasts without an end");
            continue;
        };
        assert!((2026..=2089).contains(&end), "{code}");
        for (feast, dates) in &file.feasts {
            for year in 2025..=end {
                let held = dates.iter().any(|date| date.year() == year);
                assert!(held, "{code} has no {feast} in {year}");
            }
        }
        let held = |year| every_day_off(code, year).split(' ').count();
        assert!(held(end) >= 10 || code == "IL", "{code} keeps {} days in {end}", held(end));
    }
    assert_eq!(calendar("US").complete_until(), None);
    assert_eq!(calendar("SG").complete_until(), Some(2027));
}

/// 15 Nisan by the rules of the fixed calendar, as E. M. Reingold and N. Dershowitz count them (Calendrical
/// Calculations, chapter 8): Rosh Hashanah by its new moon and its postponements, and Passover 163 days
/// before the next.
#[test]
fn passover_is_that_of_the_fixed_hebrew_calendar() {
    let elapsed = |year: i64| {
        let months = (235 * year - 234) / 19;
        let days = 29 * months + (12_084 + 13_753 * months) / 25_920;
        if (3 * (days + 1)) % 7 < 3 { days + 1 } else { days }
    };
    let new_year = |year: i64| {
        let lengths = (elapsed(year) - elapsed(year - 1), elapsed(year + 1) - elapsed(year));
        elapsed(year) + if lengths.1 == 356 { 2 } else { i64::from(lengths.0 == 382) }
    };
    // Rosh Hashanah of 5786 was 2025-09-23.
    let known = NaiveDate::from_ymd_opt(2025, 9, 23).expect("a date");
    let file = File::parse(include_str!("../../../data/holidays/IL.csv")).expect("a file");
    for passover in &file.feasts["pesach"] {
        let since = new_year(i64::from(passover.year()) + 3761) - new_year(5786);
        let computed = known.checked_add_signed(chrono::TimeDelta::days(since - 163));
        assert_eq!(Some(*passover), computed);
    }
}

#[test]
fn a_holiday_is_told_by_name() {
    let on = |name: &str, date: &str| calendar(name).contains(date.parse().expect("a date"));
    assert_eq!(on("US", "2026-11-26"), Some("Thanksgiving Day"));
    assert_eq!(on("US", "2026-07-04"), Some("Independence Day"));
    assert_eq!(on("US", "2026-07-03"), Some("Independence Day (observed)"));
    assert_eq!(on("AT", "2026-10-26"), Some("Nationalfeiertag"));
    assert_eq!(on("GB", "2022-12-27"), Some("Christmas Day (observed)"));
    assert_eq!(on("GB", "2022-12-26"), Some("Boxing Day"));
    assert_eq!(on("JP", "2026-05-06"), Some("Constitution Memorial Day (observed)"));
    assert_eq!(on("JP", "2026-09-22"), Some("Citizens' Holiday"));
    assert_eq!(on("JP", "2026-09-24"), None);
    assert_eq!(on("US", "2026-11-27"), None);
}

#[test]
fn years_outside_the_table_follow_the_same_rules() {
    let on = |date: &str| calendar("US").contains(date.parse().expect("a date"));
    assert_eq!(on("2095-11-24"), Some("Thanksgiving Day"));
    // The first of January 2101 is a Saturday.
    assert_eq!(on("2100-12-31"), Some("New Year's Day (observed)"));
    assert_eq!(on("2101-07-05"), None);
    // Both edges of the table see the days off of the years beside it.
    let book = calendar("US").book();
    for year in [*TABLE_YEARS.start(), *TABLE_YEARS.end()] {
        for (date, _) in days_off(&book.file.holidays, year) {
            assert!(calendar("US").contains(date).is_some(), "{date}");
        }
    }
}

#[test]
fn an_unknown_calendar_lists_those_that_are_known() {
    assert_eq!(Calendar::parse("us").map(Calendar::name), Ok("US"));
    let uk = Calendar::parse("UK").expect_err("a code that is none");
    assert!(uk.contains("did you mean `GB`?"), "{uk}");
    let unknown = Calendar::parse("Atlantis").expect_err("no country");
    assert!(unknown.contains("write one of AE, AR, AT, AU, BE,"), "{unknown}");
    assert!(unknown.ends_with("TR, TW, US, ZA"), "{unknown}");
    for name in Calendar::names() {
        assert_eq!(calendar(name).name(), name);
    }
}
