//! Rules by which a holiday falls, and the lines of the holiday files that hold them.
//!
//! A line is `RULE [observed=nearest|next] [since=YEAR],NAME`. RULE is one of `12-25`, `2023-05-08`,
//! `11/4/thu` (the fourth Thursday of November), `5/last/mon`, `mon before 05-25`, `easter+1`.

use chrono::{Datelike, Days, NaiveDate, Weekday};

/// One line of a holiday file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holiday {
    pub(super) name: String,
    /// The name of the day off that makes up for a holiday on a weekend.
    pub(super) observed_name: String,
    rule: Rule,
    pub(super) observed: Observed,
    since: i32,
}

/// On which date of a year a holiday falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Fixed { month: u32, day: u32 },
    Once(NaiveDate),
    Nth { month: u32, nth: u8, weekday: Weekday },
    Last { month: u32, weekday: Weekday },
    Before { weekday: Weekday, month: u32, day: u32 },
    Easter { offset_days: i64 },
}

/// What happens when a holiday falls on a weekend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Observed {
    /// Nothing: it is lost.
    Never,
    /// A Saturday moves to the Friday before, a Sunday to the Monday after.
    Nearest,
    /// It moves to the next weekday that is no holiday itself.
    Next,
}

impl Holiday {
    /// Reads a line; `None` when it follows no rule of the grammar.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (rule, name) = line.split_once(',')?;
        let mut observed = Observed::Never;
        let mut since = i32::MIN;
        let mut words = Vec::new();
        for word in rule.split_whitespace() {
            match word.split_once('=') {
                None => words.push(word),
                Some(("observed", "nearest")) => observed = Observed::Nearest,
                Some(("observed", "next")) => observed = Observed::Next,
                Some(("since", year)) => since = year.parse().ok()?,
                Some(_) => return None,
            }
        }
        let observed_name = format!("{name} (observed)");
        Some(Self { name: name.into(), observed_name, rule: rule_of(&words)?, observed, since })
    }

    /// The date on which it falls in `year`, weekend or not.
    pub(super) fn date_in(&self, year: i32) -> Option<NaiveDate> {
        let date = match self.rule {
            Rule::Fixed { month, day } => NaiveDate::from_ymd_opt(year, month, day),
            Rule::Once(date) => Some(date).filter(|date| date.year() == year),
            Rule::Nth { month, nth, weekday } => {
                NaiveDate::from_weekday_of_month_opt(year, month, weekday, nth)
            }
            Rule::Last { month, weekday } => (4..=5)
                .rev()
                .find_map(|nth| NaiveDate::from_weekday_of_month_opt(year, month, weekday, nth)),
            Rule::Before { weekday, month, day } => {
                let end = NaiveDate::from_ymd_opt(year, month, day)?;
                (1..=7)
                    .filter_map(|back| end.checked_sub_days(Days::new(back)))
                    .find(|date| date.weekday() == weekday)
            }
            Rule::Easter { offset_days } => {
                easter(year)?.checked_add_signed(chrono::TimeDelta::days(offset_days))
            }
        };
        date.filter(|_| year >= self.since)
    }
}

fn rule_of(words: &[&str]) -> Option<Rule> {
    match words {
        [weekday, "before", date] => {
            let (month, day) = month_and_day(date)?;
            Some(Rule::Before { weekday: super::weekday(weekday).ok()?, month, day })
        }
        [word] if word.starts_with("easter") => {
            let offset_days = word.strip_prefix("easter")?.parse().ok()?;
            Some(Rule::Easter { offset_days })
        }
        [word] if word.contains('/') => weekday_of_month(word),
        [word] => month_and_day(word)
            .map(|(month, day)| Rule::Fixed { month, day })
            .or_else(|| word.parse().ok().map(Rule::Once)),
        _ => None,
    }
}

fn weekday_of_month(word: &str) -> Option<Rule> {
    let [month, nth, weekday] = word.split('/').collect::<Vec<_>>().try_into().ok()?;
    let month = month.parse().ok().filter(|month| (1..=12).contains(month))?;
    let weekday = super::weekday(weekday).ok()?;
    if nth == "last" {
        return Some(Rule::Last { month, weekday });
    }
    let nth = nth.parse().ok().filter(|nth| (1..=4).contains(nth))?;
    Some(Rule::Nth { month, nth, weekday })
}

/// `12-25`; a leap year lends its days to the check.
fn month_and_day(word: &str) -> Option<(u32, u32)> {
    let date: NaiveDate = format!("2000-{word}").parse().ok()?;
    Some((date.month(), date.day()))
}

/// Easter Sunday of the Gregorian calendar, by the anonymous algorithm that J. Meeus prints
/// (Astronomical Algorithms, chapter 8).
pub(super) fn easter(year: i32) -> Option<NaiveDate> {
    let golden = year.rem_euclid(19);
    let (century, of_century) = (year.div_euclid(100), year.rem_euclid(100));
    let moon_shift = (century + 8).div_euclid(25);
    let moon_shift = (century - moon_shift + 1).div_euclid(3);
    let epact = (19 * golden + century - century.div_euclid(4) - moon_shift + 15).rem_euclid(30);
    let to_sunday = (32 + 2 * century.rem_euclid(4) + 2 * of_century.div_euclid(4)
        - epact
        - of_century.rem_euclid(4))
    .rem_euclid(7);
    let late = (golden + 11 * epact + 22 * to_sunday).div_euclid(451);
    let days_past_march = epact + to_sunday - 7 * late + 114;
    let month = u32::try_from(days_past_march / 31).ok()?;
    let day = u32::try_from(days_past_march % 31 + 1).ok()?;
    NaiveDate::from_ymd_opt(year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().expect("a date")
    }

    #[test]
    fn easter_falls_as_the_almanac_says() {
        for text in [
            "1818-03-22",
            "1954-04-18",
            "2000-04-23",
            "2024-03-31",
            "2025-04-20",
            "2026-04-05",
            "2027-03-28",
            "2038-04-25",
            "2285-03-22",
        ] {
            assert_eq!(easter(date(text).year()), Some(date(text)));
        }
    }

    #[test]
    fn every_kind_of_rule_is_read() {
        for (line, year, falls) in [
            ("12-25,x", 2026, Some("2026-12-25")),
            ("02-29,x", 2027, None),
            ("11/4/thu,x", 2026, Some("2026-11-26")),
            ("5/last/mon,x", 2026, Some("2026-05-25")),
            ("5/last/mon,x", 2027, Some("2027-05-31")),
            ("mon before 05-25,x", 2026, Some("2026-05-18")),
            ("easter-2,x", 2026, Some("2026-04-03")),
            ("06-19 observed=nearest since=2021,x", 2020, None),
            ("06-19 observed=nearest since=2021,x", 2021, Some("2021-06-19")),
            ("2023-05-08,x", 2023, Some("2023-05-08")),
            ("2023-05-08,x", 2024, None),
        ] {
            let holiday = Holiday::parse(line).expect(line);
            assert_eq!(holiday.date_in(year), falls.map(date), "{line} in {year}");
        }
    }

    #[test]
    fn a_line_outside_the_grammar_is_refused() {
        for line in [
            "12-25",
            "13-01,x",
            "11/5/thu,x",
            "11/0/thu,x",
            "easter,x",
            "0/1/mon,x",
            "5/1/moon,x",
            "12-25 observed=maybe,x",
            "mon after 05-25,x",
            ",x",
        ] {
            assert_eq!(Holiday::parse(line), None, "{line}");
        }
    }
}
