//! A plan as people read it: what differs, who stands where and goes where, whose delays move, what stands in
//! the way. Pure.

use std::fmt::Write;

use engine::change::{Capacity, Delayed, Kind, Lead, Places, Plan, Presence, Touched, VersionPlan};

/// The whole plan.
pub(super) fn of(plan: &Plan) -> String {
    let mut text = String::new();
    let to = match plan.to_version {
        Some(version) => format!("version {version}"),
        None => "a new version".to_owned(),
    };
    line(&mut text, &format!("{}: {to} ({})", plan.workflow, plan.to_hash));
    if plan.versions.is_empty() {
        line(&mut text, "it is new: nobody is in it");
    }
    for version in &plan.versions {
        self::version(&mut text, plan, version);
    }
    if !plan.versions.is_empty() {
        let partly = if plan.partly { ", of those that were looked at" } else { "" };
        line(
            &mut text,
            &format!("{} runs come over, {} keep their version", plan.moves, plan.stays),
        );
        line(&mut text, &format!("{} would get something twice{partly}", plan.twice));
        capacity(&mut text, &plan.capacity);
    }
    text.push_str(&refused(plan));
    if plan.changes() {
        line(&mut text, &format!("plan {}", plan.plan_id));
    } else {
        line(&mut text, "nothing changes");
    }
    text
}

/// What stands in its way.
pub(super) fn refused(plan: &Plan) -> String {
    let mut text = String::new();
    for refused in &plan.refused {
        line(&mut text, &format!("refused: {}", refused.message));
        if !refused.sample.is_empty() {
            line(&mut text, &format!("  such as {}", refused.sample.join(", ")));
        }
        line(&mut text, &format!("  {}", refused.help));
    }
    text
}

fn line(text: &mut String, words: &str) {
    writeln!(text, "{words}").expect("a text takes every line");
}

fn version(text: &mut String, plan: &Plan, version: &VersionPlan) {
    let is = if version.current { ", current" } else { "" };
    line(
        text,
        &format!("from version {} ({}{is}), {} runs", version.version, version.hash, version.runs),
    );
    if Some(version.version) == plan.to_version {
        return;
    }
    for touched in &version.difference.document {
        line(text, &format!("  {:<10} {}", word(touched.kind), key(touched)));
    }
    for step in version.difference.steps.iter().filter(|step| step.kind != Kind::Same) {
        let what = match step.presence {
            Presence::Added => "added".to_owned(),
            Presence::Removed => "removed".to_owned(),
            Presence::Both => step.touched.iter().map(key).collect::<Vec<_>>().join(", "),
        };
        line(text, &format!("  {:<10} {}: {what}", word(step.kind), step.id));
    }
    for place in &version.places {
        self::place(text, place);
    }
    for delayed in &version.delayed {
        self::delayed(text, delayed);
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Same => "same",
        Kind::Copy => "copy",
        Kind::Timing => "timing",
        Kind::Structure => "structure",
    }
}

/// A key, with what stood there and what stands there now where both are short.
fn key(touched: &Touched) -> String {
    match (&touched.was, &touched.is) {
        (Some(was), Some(is)) => format!("{} {was} -> {is}", touched.key),
        (Some(was), None) => format!("{} was {was}", touched.key),
        (None, Some(is)) => format!("{} is {is}", touched.key),
        (None, None) => touched.key.clone(),
    }
}

fn place(text: &mut String, place: &Places) {
    let states: Vec<String> =
        place.states.iter().map(|(state, runs)| format!("{runs} {state}")).collect();
    let goes = match &place.leads {
        Lead::Stand(step) if *step == place.step => "come over as they stand".to_owned(),
        Lead::Stand(step) => format!("come over as they stand, to `{step}`"),
        Lead::Enter(step) => format!("enter `{step}`"),
        Lead::Exit => "end".to_owned(),
        Lead::Stay => "keep their version".to_owned(),
        Lead::Vanish => "have nowhere to go".to_owned(),
    };
    line(text, &format!("  at {}: {}: {goes}", place.step, states.join(", ")));
}

fn delayed(text: &mut String, delayed: &Delayed) {
    let Delayed { step, runs, at_once, endless, .. } = delayed;
    let mut words = format!("  at {step}: {runs} go on at another time");
    if let (Some(least), Some(median), Some(most)) =
        (delayed.least_seconds, delayed.median_seconds, delayed.most_seconds)
    {
        let (least, median, most) = (shift(least), shift(median), shift(most));
        words.push_str(&if least == most {
            format!(", by {median}")
        } else {
            format!(", by {least} to {most}, half of them by {median} or more")
        });
    }
    if *at_once > 0 {
        write!(words, "; {at_once} of them at once").expect("a text takes every word");
    }
    if *endless > 0 {
        write!(words, "; {endless} of them get an end to their wait, or lose it")
            .expect("a text takes every word");
    }
    line(text, &words);
}

/// Seconds in their two largest units, with their sign.
fn shift(seconds: i64) -> String {
    let sign = if seconds < 0 { "-" } else { "+" };
    let all = seconds.unsigned_abs();
    let units =
        [(all / 86_400, "d"), (all / 3_600 % 24, "h"), (all / 60 % 60, "m"), (all % 60, "s")];
    let parts: Vec<String> = units
        .iter()
        .filter(|(count, _)| *count > 0)
        .take(2)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if parts.is_empty() { "+0s".to_owned() } else { format!("{sign}{}", parts.join(" ")) }
}

fn capacity(text: &mut String, capacity: &Capacity) {
    if !capacity.known {
        line(text, "capacity: no limit has a cap for the day, so nobody can tell");
        return;
    }
    for limit in &capacity.limits {
        let name = if limit.name.is_empty() { String::new() } else { format!(" {}", limit.name) };
        let days = if limit.days == 1 { "day" } else { "days" };
        let words = format!(
            "capacity: {}{name} has at most {} to do, in {} {days}",
            limit.kind, limit.acts, limit.days
        );
        line(text, &words);
    }
    if capacity.limits.is_empty() {
        line(text, "capacity: nothing is to come under a cap for the day");
    }
}

#[cfg(test)]
mod tests {
    use super::shift;

    #[test]
    fn shifts_are_told_in_two_units_with_their_sign() {
        assert_eq!(shift(2 * 86_400 + 3 * 3_600 + 59), "+2d 3h");
        assert_eq!(shift(-90), "-1m 30s");
        assert_eq!(shift(0), "+0s");
    }
}
