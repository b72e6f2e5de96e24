use super::*;

fn calendar(name: &str) -> Calendar {
    Calendar::parse(name).expect("a known country")
}

/// The days off of a year that are no weekend, as `MM-DD`.
fn weekdays_off(name: &str, year: i32) -> String {
    let first = NaiveDate::from_ymd_opt(year, 1, 1).expect("a date");
    let days: Vec<String> = first
        .iter_days()
        .take_while(|date| date.year() == year)
        .filter(|date| !is_weekend(*date) && calendar(name).contains(*date).is_some())
        .map(|date| date.format("%m-%d").to_string())
        .collect();
    days.join(" ")
}

/// As the governments publish them: opm.gov, gov.uk, the states' acts, ris.bka.gv.at, bj.admin.ch,
/// service-public.fr, canada.ca, fairwork.gov.au.
#[test]
fn the_days_off_of_2026_and_2027_are_those_that_governments_publish() {
    for (name, year, days) in [
        ("US", 2026, "01-01 01-19 02-16 05-25 06-19 07-03 09-07 10-12 11-11 11-26 12-25"),
        ("US", 2027, "01-01 01-18 02-15 05-31 06-18 07-05 09-06 10-11 11-11 11-25 12-24 12-31"),
        ("GB", 2026, "01-01 04-03 04-06 05-04 05-25 08-31 12-25 12-28"),
        ("GB", 2027, "01-01 03-26 03-29 05-03 05-31 08-30 12-27 12-28"),
        ("DE", 2026, "01-01 04-03 04-06 05-01 05-14 05-25 12-25"),
        ("DE", 2027, "01-01 03-26 03-29 05-06 05-17"),
        ("AT", 2026, "01-01 01-06 04-06 05-01 05-14 05-25 06-04 10-26 12-08 12-25"),
        ("AT", 2027, "01-01 01-06 03-29 05-06 05-17 05-27 10-26 11-01 12-08"),
        ("CH", 2026, "01-01 01-02 04-03 04-06 05-14 05-25 12-25"),
        ("CH", 2027, "01-01 03-26 03-29 05-06 05-17"),
        ("FR", 2026, "01-01 04-06 05-01 05-08 05-14 05-25 07-14 11-11 12-25"),
        ("FR", 2027, "01-01 03-29 05-06 05-17 07-14 11-01 11-11"),
        ("CA", 2026, "01-01 04-03 05-18 07-01 09-07 09-30 10-12 11-11 12-25 12-28"),
        ("CA", 2027, "01-01 03-26 05-24 07-01 09-06 09-30 10-11 11-11 12-27 12-28"),
        ("AU", 2026, "01-01 01-26 04-03 04-06 12-25 12-28"),
        ("AU", 2027, "01-01 01-26 03-26 03-29 12-27 12-28"),
    ] {
        assert_eq!(weekdays_off(name, year), days, "{name} {year}");
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
    let book = Country::UnitedStates.book();
    for year in [*TABLE_YEARS.start(), *TABLE_YEARS.end()] {
        for (date, name) in days_off(&book.holidays, year) {
            assert_eq!(calendar("US").contains(date), Some(name), "{date}");
        }
    }
}

#[test]
fn an_unknown_calendar_lists_those_that_are_known() {
    assert_eq!(Calendar::parse("us").map(Calendar::name), Ok("US"));
    let uk = Calendar::parse("UK").expect_err("a code that is none");
    assert!(uk.contains("did you mean `GB`?"), "{uk}");
    let unknown = Calendar::parse("Atlantis").expect_err("no country");
    assert!(unknown.ends_with("write one of AT, AU, CA, CH, DE, FR, GB, US"), "{unknown}");
    for name in Calendar::names() {
        assert_eq!(calendar(name).name(), name);
    }
}
