use super::*;

fn date(text: &str) -> NaiveDate {
    text.parse().expect("a date")
}

fn holiday(line: &'static str) -> Option<Holiday> {
    let file = File::parse("feast = 2026-01-10 2026-12-31\nfeast = 2027-12-20").expect("a table");
    file.holiday(line)
}

#[test]
fn every_kind_of_rule_is_read() {
    for (line, year, falls) in [
        ("12-25,x", 2026, "2026-12-25"),
        ("02-29,x", 2027, ""),
        ("11/4/thu,x", 2026, "2026-11-26"),
        ("5/last/mon,x", 2026, "2026-05-25"),
        ("5/last/mon,x", 2027, "2027-05-31"),
        ("mon before 05-25,x", 2026, "2026-05-18"),
        ("sat from 06-20,x", 2026, "2026-06-20"),
        ("sat from 06-20,x", 2027, "2027-06-26"),
        ("easter,x", 2026, "2026-04-05"),
        ("easter-2,x", 2026, "2026-04-03"),
        ("orthodox+50,x", 2026, "2026-06-01"),
        ("equinox/03 +09:00,x", 2026, "2026-03-20"),
        ("solstice/06 -04:00,x", 2025, "2025-06-20"),
        ("solstice/12 +00:00,x", 2025, "2025-12-21"),
        ("2023-05-08,x", 2023, "2023-05-08"),
        ("2023-05-08,x", 2024, ""),
        ("2025-06-01 2026-02-27..2026-03-01,x", 2026, "2026-02-27 2026-02-28 2026-03-01"),
        ("feast,x", 2026, "2026-01-10 2026-12-31"),
        ("feast+1,x", 2026, "2026-01-11 2027-01-01"),
        ("feast-1,x", 2027, "2027-12-19"),
        ("feast-1,x", 2028, ""),
        ("between,x", 2026, ""),
    ] {
        let falls: Vec<NaiveDate> = falls.split_whitespace().map(date).collect();
        assert_eq!(holiday(line).expect(line).dates_in(year), falls, "{line} in {year}");
    }
}

#[test]
fn a_holiday_keeps_to_its_years_and_its_weekdays() {
    for (line, kept) in [
        ("06-19 since=2024,x", "2024 2025 2026 2027 2028"),
        ("06-19 until=2024,x", "2022 2023 2024"),
        ("06-19 except=2023/2027,x", "2022 2024 2025 2026 2028"),
        ("06-19 since=2023 every=4,x", "2023 2027"),
        // A Thursday in 2025, and no other year of these.
        ("06-19 only=thu,x", "2025"),
        ("06-19 only=thu/fri,x", "2025 2026"),
    ] {
        let holiday = holiday(line).expect(line);
        let years = (2022..=2028).filter(|year| !holiday.dates_in(*year).is_empty());
        let years: Vec<String> = years.map(|year| year.to_string()).collect();
        assert_eq!(years.join(" "), kept, "{line}");
    }
}

#[test]
fn a_holiday_moves_off_the_weekdays_that_it_names_alone() {
    let holiday = holiday("11-20 moved=tue-1/wed-2/thu+4/fri+3,x").expect("a line");
    for (year, moved) in [
        (2023, "2023-11-20"),
        (2024, "2024-11-18"),
        (2025, "2025-11-24"),
        (2026, "2026-11-23"),
        (2027, "2027-11-20"),
        (2029, "2029-11-19"),
    ] {
        assert_eq!(holiday.dates_in(year), [date(moved)]);
    }
}

#[test]
fn a_line_outside_the_grammar_is_refused() {
    for line in [
        "12-25",
        "13-01,x",
        "11/5/thu,x",
        "11/0/thu,x",
        "whitsun,x",
        "easter+,x",
        "0/1/mon,x",
        "5/1/moon,x",
        "12-25 observed=maybe,x",
        "12-25 observed=sat1,x",
        "12-25 moved=sunday+1,x",
        "12-25 every=0,x",
        "12-25 sometimes=1,x",
        "mon after 05-25,x",
        "equinox/06 +09:00,x",
        "equinox/03,x",
        "2026-01-02 2026-01-01,x",
        "2026-01-02..2026-01-01,x",
        ",x",
    ] {
        assert_eq!(holiday(line), None, "{line}");
    }
    for text in ["complete until always", "feast = soon", "12-25", "nonsense"] {
        assert_eq!(File::parse(text), Err(text));
    }
}
