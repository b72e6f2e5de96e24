//! One field of an expression: the numbers that people write, checked and counted out.

use std::collections::BTreeSet;

use super::days::{Moving, list};
use super::error::CronError;
use super::unit::Unit;
use crate::timing::spelling::did_you_mean;

/// What a field allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Field {
    /// `None` where it restricts nothing.
    pub(super) numbers: Option<BTreeSet<u32>>,
    /// Days that have another number each month.
    pub(super) moving: Vec<Moving>,
    /// Where it says `*/2` or the like, which some programs take for no restriction.
    pub(super) starred_at: Option<usize>,
}

/// One item of a list.
enum Item {
    Numbers(Vec<u32>),
    Moving(Moving),
}

impl Field {
    /// Zero alone.
    pub(super) fn zero() -> Self {
        Self { numbers: Some(BTreeSet::from([0])), ..Self::default() }
    }

    /// Everything.
    pub(super) fn any() -> Self {
        Self::default()
    }

    /// Reads a word that stands in a column, in characters from 1.
    pub(super) fn parse(unit: Unit, word: &str, column: usize) -> Result<Self, CronError> {
        let mut field = Self::default();
        let mut numbers = BTreeSet::new();
        let mut at = column;
        for item in word.split(',') {
            match parse_item(unit, item, at)? {
                Item::Numbers(more) => numbers.extend(more),
                Item::Moving(day) => field.moving.push(day),
            }
            if item.starts_with(['*', '?']) && item.contains('/') {
                field.starred_at = Some(at);
            }
            at += item.chars().count() + 1;
        }
        let all = unit.range().all(|number| numbers.contains(&number));
        field.numbers = (!all).then_some(numbers);
        Ok(field)
    }

    /// As the crate reads it.
    pub(super) fn written(&self) -> String {
        self.numbers.as_ref().map_or_else(|| "*".into(), list)
    }
}

fn parse_item(unit: Unit, item: &str, column: usize) -> Result<Item, CronError> {
    if item.is_empty() {
        let help = "write a list without gaps, such as `1,15`";
        return Err(CronError::at(column, "a number is missing beside a comma", help));
    }
    if let Some(day) = moving(unit, item, column)? {
        return Ok(Item::Moving(day));
    }
    let (range, step) = match item.split_once('/') {
        None => (item, None),
        Some((range, step)) => {
            (range, Some(parse_step(unit, step, column + range.chars().count() + 1)?))
        }
    };
    let open_end = step.is_some();
    let numbers = parse_range(unit, range, open_end, column)?.into_iter();
    let numbers = numbers.step_by(step.unwrap_or(1));
    // Sunday is 0 whichever way it is written.
    let sunday = |number: u32| if unit == Unit::DayOfWeek { number % 7 } else { number };
    Ok(Item::Numbers(numbers.map(sunday).collect()))
}

/// Reads `*`, `5`, `mon-fri`; with a step after it, a number is where the range begins.
fn parse_range(
    unit: Unit,
    range: &str,
    open_end: bool,
    column: usize,
) -> Result<Vec<u32>, CronError> {
    if range == "*" || (range == "?" && unit.is_day()) {
        return Ok(unit.range().collect());
    }
    if range == "?" {
        let help = format!("`?` stands for a day only; write `*` for every {}", unit.word());
        return Err(CronError::at(column, format!("`?` is no {}", unit.word()), help));
    }
    let last = *unit.range().end();
    let Some((first, end)) = range.split_once('-') else {
        let first = number(unit, range, column)?;
        return Ok(if open_end { (first..=last.max(first)).collect() } else { vec![first] });
    };
    let end_column = column + first.chars().count() + 1;
    let (first, end) = (number(unit, first, column)?, number(unit, end, end_column)?);
    if first <= end {
        return Ok((first..=end).collect());
    }
    if unit == Unit::DayOfWeek {
        // A week goes round: Friday to Monday.
        return Ok((first..=last).chain(0..=end).collect());
    }
    let begin = *unit.range().start();
    let help = if unit == Unit::Year {
        format!("write `{end}-{first}`")
    } else {
        format!("write `{first}-{last},{begin}-{end}` where it goes round")
    };
    Err(CronError::at(column, format!("`{range}` runs backwards"), help))
}

fn parse_step(unit: Unit, step: &str, column: usize) -> Result<usize, CronError> {
    let (first, last) = (*unit.range().start(), *unit.range().end());
    let most = last - first;
    match step.parse::<usize>() {
        Ok(0) => Err(CronError::at(column, "a step of 0 stands still", "write at least 1")),
        Ok(wide) if u32::try_from(wide).is_ok_and(|wide| wide <= most) => Ok(wide),
        Ok(wide) => {
            let what = format!("a step of {wide} leaves the range of a {}", unit.word());
            let help = format!(
                "a step begins anew with each range, so write at most {most}, or the times as a list"
            );
            Err(CronError::at(column, what, help))
        }
        Err(_) => {
            let what = format!("`{step}` is no step");
            Err(CronError::at(column, what, "write a number, such as `*/15`"))
        }
    }
}

/// Reads a number or a name.
fn number(unit: Unit, word: &str, column: usize) -> Result<u32, CronError> {
    let refused = |meant: String| {
        let what = format!("`{word}` is no {}{meant}", unit.word());
        CronError::at(column, what, unit.allowed())
    };
    if word.is_empty() {
        return Err(CronError::at(column, "a number is missing", unit.allowed()));
    }
    if word.bytes().all(|byte| byte.is_ascii_digit()) {
        let number = word.parse::<u32>().map_err(|_| refused(String::new()))?;
        let sunday = unit == Unit::DayOfWeek && number == 7;
        let known = sunday || unit.range().contains(&number);
        return if known { Ok(number) } else { Err(refused(String::new())) };
    }
    let lower = word.to_ascii_lowercase();
    if let Some(number) = unit.named(&lower) {
        return Ok(number);
    }
    Err(unknown(unit, word, column).unwrap_or_else(|| refused(did_you_mean(&lower, unit.names()))))
}

/// What other cron programs know, and how to write it here.
fn unknown(unit: Unit, word: &str, column: usize) -> Option<CronError> {
    let upper = word.to_ascii_uppercase();
    let (what, help) = match upper.as_str() {
        "L" if unit == Unit::DayOfWeek => (
            "`L` alone is no day of the week",
            "write `sat`, or `friL` for the last Friday of a month",
        ),
        "L" => ("`L` stands for a day only", unit.allowed()),
        "H" => ("`H` is not known here", "write the time, and give the schedule a jitter"),
        weekday if unit == Unit::DayOfMonth && weekday.ends_with('W') => (
            "the nearest working day (`W`) is not known here",
            "write the day itself, such as 15, or a weekday such as `mon#1`",
        ),
        _other => return None,
    };
    Some(CronError::at(column, what, help))
}

/// Reads `L`, `friL` and `fri#2`.
fn moving(unit: Unit, item: &str, column: usize) -> Result<Option<Moving>, CronError> {
    if unit == Unit::DayOfMonth && item.eq_ignore_ascii_case("L") {
        return Ok(Some(Moving::LastDay));
    }
    if unit == Unit::DayOfMonth && item.to_ascii_uppercase().starts_with("L-") {
        let help = "write `L` for the last day, or the day's number";
        return Err(CronError::at(column, "days before the last are not known here", help));
    }
    if let Some((weekday, nth)) = item.split_once('#') {
        if unit != Unit::DayOfWeek {
            let help = "write it in the field of the day of the week, such as `fri#2`";
            return Err(CronError::at(column, "`#` counts days of the week only", help));
        }
        let weekday = number(unit, weekday, column)? % 7;
        return match nth.parse::<u32>() {
            Ok(nth @ 1..=5) => Ok(Some(Moving::Nth { weekday, nth })),
            Ok(_) | Err(_) => {
                let what = format!("`{item}` counts to no day of a month");
                Err(CronError::at(column, what, "write #1 to #5, such as `fri#2`"))
            }
        };
    }
    let last = item.strip_suffix(['L', 'l']).filter(|weekday| !weekday.is_empty());
    match last {
        Some(weekday) if unit == Unit::DayOfWeek => {
            Ok(Some(Moving::Last { weekday: number(unit, weekday, column)? % 7 }))
        }
        Some(_) | None => Ok(None),
    }
}
