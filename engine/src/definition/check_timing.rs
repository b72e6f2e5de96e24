//! Checks `[timing]` and retries. What durations, windows, zones and holidays mean is `timing`'s affair.

use std::time::Duration;

use super::keys;
use super::model::{Retry, Timing};
use super::refusals::{Findings, Problem};
use super::suggest;
use super::tree::{self, Entry};
use crate::timing::{Calendar, LocalTime, Weekday, Window, Zone};

/// Words that stand for a zone to be looked up, beside IANA names.
pub(super) const ZONE_SOURCES: [&str; 3] = ["subject", "sender", "customer"];
pub(super) const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// The keys of `retry`.
pub(super) const RETRY: [&str; 5] = ["attempts", "first", "factor", "max", "jitter"];

/// The `[timing]` of a document, or what holds without it: the zone of the subject, else of the sender,
/// else of the customer, and no window.
pub(super) fn timing(entries: &[Entry], found: &mut Findings<'_>) -> Timing {
    let mut timing = Timing {
        zone: ZONE_SOURCES.iter().map(|&source| source.to_owned()).collect(),
        window: None,
    };
    let Some(entry) = tree::find(entries, "timing") else { return timing };
    let Some(entries) = keys::table(entry, "`[timing]` and its keys below it", found) else {
        return timing;
    };
    keys::refuse_unknown(entries, &["zone", "window"], "`[timing]`", found);
    if let Some(entry) = tree::find(entries, "zone") {
        timing.zone = zones(entry, found);
    }
    timing.window = tree::find(entries, "window").and_then(|entry| window(entry, found));
    timing
}

fn zones(entry: &Entry, found: &mut Findings<'_>) -> Vec<String> {
    const EXAMPLE: &str = "`zone = [\"subject\", \"Europe/Vienna\"]`";
    let names = match entry.node.text() {
        Some(name) => vec![(name, &entry.node.span)],
        None => keys::texts(entry, EXAMPLE, found),
    };
    if names.is_empty() && entry.node.list().is_some_and(<[_]>::is_empty) {
        let problem = Problem::at(entry.node.span.clone(), "`zone` names nothing");
        found.add(problem.help(format!("write {EXAMPLE}, or remove the key")));
    }
    for (name, span) in &names {
        if ZONE_SOURCES.contains(name) || Zone::parse(name).is_ok() {
            continue;
        }
        found.note(|| {
            let nearest = suggest::nearest(name, ZONE_SOURCES).map(str::to_owned);
            let help = match nearest.or_else(|| Zone::nearest(name).map(|zone| zone.to_string())) {
                Some(zone) => format!("did you mean `{zone}`?"),
                None => {
                    "write `subject`, `sender`, `customer` or a name such as `Europe/Vienna`".into()
                }
            };
            let message = format!("there is no time zone `{name}`");
            Problem::at((*span).clone(), message).help(help)
        });
    }
    names.into_iter().map(|(name, _)| name.to_owned()).collect()
}

fn window(entry: &Entry, found: &mut Findings<'_>) -> Option<Window> {
    let entries = keys::table(entry, "`[timing.window]` with `days`, `from` and `to`", found)?;
    keys::refuse_unknown(entries, &["days", "from", "to", "holidays"], "`[timing.window]`", found);
    let days = days(entries, found);
    let from = time(entries, "from", "08:30", entry, found);
    let to = time(entries, "to", "17:00", entry, found);
    let holidays = holidays(entries, found);
    if days.is_empty() {
        // Told at the days already.
        return None;
    }
    Window::new(days, from?, to?, holidays)
        .map_err(|words| {
            let at = tree::find(entries, "to").map_or(&entry.key_span, |to| &to.node.span);
            let help = "a window opens before it closes, as in 08:30 to 17:00, or 22:00 to 06:00 of the next day";
            found.add(Problem::told(at.clone(), &words, help));
        })
        .ok()
}

fn days(entries: &[Entry], found: &mut Findings<'_>) -> Vec<Weekday> {
    const EXAMPLE: &str = "`days = [\"mon\", \"tue\", \"wed\", \"thu\", \"fri\"]`";
    let Some(entry) = tree::find(entries, "days") else {
        return DAYS[..5].iter().filter_map(|name| day(name)).collect();
    };
    let mut days = Vec::new();
    for (name, span) in keys::texts(entry, EXAMPLE, found) {
        match day(name) {
            Some(day) => days.push(day),
            None => found.note(|| {
                let lowered: String = name.to_lowercase().chars().take(3).collect();
                let message = format!("days are written `mon` to `sun`, not `{name}`");
                Problem::at(span.clone(), message).help(suggest::help(&lowered, DAYS))
            }),
        }
    }
    if entry.node.list().is_some_and(<[_]>::is_empty) {
        let problem = Problem::at(entry.node.span.clone(), "a window without days never opens");
        found.add(problem.help(format!("write {EXAMPLE}")));
    }
    days
}

/// A day as documents write it, in one way only, so that equal documents stay equal.
fn day(name: &str) -> Option<Weekday> {
    DAYS.contains(&name).then(|| name.parse().ok())?
}

fn time(
    entries: &[Entry],
    key: &str,
    example: &str,
    window: &Entry,
    found: &mut Findings<'_>,
) -> Option<LocalTime> {
    let Some(entry) = tree::find(entries, key) else {
        let problem =
            Problem::at(window.key_span.clone(), format!("the window has no `{key}`")).around();
        found.add(problem.help(format!("add `{key} = \"{example}\"`")));
        return None;
    };
    let text = keys::text(entry, &format!("`{key} = \"{example}\"`"), found)?;
    LocalTime::parse(text)
        .map_err(|words| {
            let help = format!("write hours and minutes of 24, as in `{key} = \"{example}\"`");
            found.add(Problem::told(entry.node.span.clone(), &words, help));
        })
        .ok()
}

fn holidays(entries: &[Entry], found: &mut Findings<'_>) -> Vec<Calendar> {
    let Some(entry) = tree::find(entries, "holidays") else { return Vec::new() };
    let mut calendars = Vec::new();
    for (name, span) in keys::texts(entry, "`holidays = [\"US\"]`", found) {
        match Calendar::parse(name) {
            Ok(calendar) => calendars.push(calendar),
            Err(_) => found.note(|| {
                let message = format!("there is no holiday calendar `{name}`");
                let help = match Calendar::nearest(name) {
                    Some(known) => format!("did you mean `{known}`?"),
                    None => {
                        let known: Vec<&str> = Calendar::names().collect();
                        format!("write a country's code: {}", known.join(", "))
                    }
                };
                Problem::at(span.clone(), message).help(help)
            }),
        }
    }
    calendars
}

/// The `[retry]` of a document over the engine's own.
pub(super) fn default_retry(entries: &[Entry], found: &mut Findings<'_>) -> Retry {
    match tree::find(entries, "retry") {
        Some(entry) => retry(entry, Retry::default(), found),
        None => Retry::default(),
    }
}

/// A `retry` table; what it does not say is taken from `base`.
pub(super) fn retry(entry: &Entry, base: Retry, found: &mut Findings<'_>) -> Retry {
    let Some(entries) = keys::table(entry, "`retry = { attempts = 5, first = \"30s\" }`", found)
    else {
        return base;
    };
    keys::refuse_unknown(entries, &RETRY, "`retry`", found);
    let mut read = base;
    for entry in entries {
        match entry.key.as_str() {
            "attempts" => set(&mut read.attempts, attempts(entry, found)),
            "first" => set(&mut read.first, keys::duration(entry, "`first = \"30s\"`", found)),
            "max" => set(&mut read.max, keys::duration(entry, "`max = \"1h\"`", found)),
            "factor" => {
                set(&mut read.factor, keys::number(entry, 1.0..=100.0, "`factor = 2.0`", found));
            }
            "jitter" => {
                set(&mut read.jitter, keys::number(entry, 0.0..=1.0, "`jitter = 0.2`", found));
            }
            // Refused above with every unknown key.
            _ => {}
        }
    }
    longest_first(entries, &read, found);
    read
}

fn set<T>(to: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *to = value;
    }
}

fn attempts(entry: &Entry, found: &mut Findings<'_>) -> Option<u16> {
    const EXAMPLE: &str = "`attempts = 8`";
    let attempts = keys::number(entry, 1.0..=100.0, EXAMPLE, found)?;
    if attempts.fract() != 0.0 {
        let problem = Problem::at(entry.node.span.clone(), "`attempts` is a whole number");
        found.add(problem.help(format!("write {EXAMPLE}")));
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 100")]
    Some(attempts as u16)
}

fn longest_first(entries: &[Entry], retry: &Retry, found: &mut Findings<'_>) {
    let stands = ["max", "first"].iter().find_map(|key| tree::find(entries, key));
    let Some(entry) = stands.filter(|_| retry.first > retry.max) else { return };
    let message = "the first delay is longer than the longest one";
    let help = format!("write a `max` of at least {}", shown(retry.first));
    found.add(Problem::at(entry.node.span.clone(), message).help(help));
}

/// A duration as documents write it, in its largest whole unit.
fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds % 3600, seconds % 60) {
        (0, _) => format!("`\"{}h\"`", seconds / 3600),
        (_, 0) => format!("`\"{}m\"`", seconds / 60),
        (_, _) => format!("`\"{seconds}s\"`"),
    }
}
