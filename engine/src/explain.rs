//! Why a run has not gone on yet: what it waits for, until when, and what would change it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgPool;

use crate::decision::Resumed;
use crate::definition::Definition;
use crate::definition_store::{Definitions, LoadError};
use crate::limit::Line;
use crate::run::{self, RunRow};
use crate::timing::{Closed, Closure, DaysOff, Window, Zone};
use crate::{clock, id, limit};

/// What binds a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// A delay, or the pause before another attempt.
    Delay,
    /// The days and hours of its send window.
    Window,
    /// A public holiday.
    Holiday,
    /// One of the customer's own days off.
    DayOff,
    /// The absence of a person.
    Absence,
    /// A limit, under which it waits for its turn.
    Limit,
    /// A signal that it waits for.
    Signal,
    /// A worker that takes it.
    Worker,
    /// A person.
    Person,
    /// It has ended.
    End,
}

/// One rule, and what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Binding {
    /// Which.
    pub rule: Rule,
    /// Whether it lets the run go on now.
    pub open: bool,
    /// Until when it holds the run, where that is known.
    pub until: Option<DateTime<Utc>>,
    /// What a person reads.
    pub detail: String,
    /// The runs that stand before it in line, the next first; at most 5.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ahead: Vec<String>,
}

/// Why a run has not gone on yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The state, as people read it.
    pub state: String,
    /// The step at which it stands.
    pub step: String,
    /// When it can go on, where that is known.
    pub next_eligible_at: Option<DateTime<Utc>>,
    /// Every rule that binds it.
    pub rules: Vec<Binding>,
    /// What would change it.
    pub would_change: Vec<String>,
}

/// Explains a run.
///
/// # Errors
/// What reading its definition or the clock returned.
pub async fn explain(
    db: &PgPool,
    definitions: &Definitions,
    run: &RunRow,
) -> Result<Explanation, LoadError> {
    let now = clock::now(db).await?;
    let wait = run::waits_for(db, run.run_id).await?;
    let mut rules = vec![standing(run, wait.as_deref(), now)];
    let definition = definitions.load(db, run.definition_id).await?;
    let closures = closures(run, &definition, run.next_at.unwrap_or(now).max(now));
    let opens_at = closures.last().and_then(|closed| closed.until);
    rules.extend(closures);
    let line = limit::line_of(db, run.run_id).await?;
    rules.extend(line.map(in_line));
    // A person moves it, no instant does.
    let rests = matches!(run.state.as_str(), "paused" | "held");
    let next_eligible_at = opens_at.or(run.next_at).filter(|_| !rests);
    let resumed = match run.state.as_str() {
        "paused" => {
            let mut db = db.acquire().await?;
            run::would_resume(&mut db, definitions, run.run_id).await?
        }
        _other => None,
    };
    let would_change = would_change(run, resumed.as_ref(), wait.as_deref(), &definition.exit_on);
    Ok(Explanation {
        state: run.state.clone(),
        step: run.step.clone(),
        next_eligible_at,
        rules,
        would_change,
    })
}

/// What keeps the send window of an open run's step closed at an instant, in the order in which it ends.
fn closures(run: &RunRow, definition: &Definition, at: DateTime<Utc>) -> Vec<Binding> {
    let step = definition.index_of(&run.step).filter(|_| run.ended_at.is_none());
    let windowed = step.is_some_and(|step| definition.steps[step].windowed);
    let window = definition.timing.window.as_ref().filter(|_| windowed);
    let (Some(window), Ok(zone)) = (window, Zone::parse(&run.zone)) else { return Vec::new() };
    let closures = window.closures(at, &zone, &DaysOff::NONE).into_iter();
    closures.map(|closure| closed(closure, window, &zone)).collect()
}

fn closed(closure: Closure, window: &Window, zone: &Zone) -> Binding {
    let until = zone.local(closure.until);
    let (rule, detail) = match closure.rule {
        Closed::Window => {
            let mut detail = format!("the send window opens {until}");
            for calendar in window.incomplete(zone.wall(closure.until).date()) {
                let year = calendar.complete_until().unwrap_or_default();
                let name = calendar.name();
                detail.push_str(&format!("; not all holidays of {name} are known after {year}"));
            }
            (Rule::Window, detail)
        }
        Closed::Holiday(name) => (Rule::Holiday, format!("{name} is a holiday, until {until}")),
        Closed::OwnDayOff => (Rule::DayOff, format!("it is a day off, until {until}")),
        Closed::Absence => (Rule::Absence, format!("somebody is away, until {until}")),
    };
    Binding { rule, open: false, until: Some(closure.until), detail, ahead: Vec::new() }
}

/// The line of a limit in which it stands.
fn in_line(line: Line) -> Binding {
    let name = if line.name.is_empty() { String::new() } else { format!(" of {}", line.name) };
    let ahead = match line.ahead {
        0 => "is the next in line".to_owned(),
        1_000.. => "has 1000 or more before it".to_owned(),
        ahead => format!("has {ahead} before it"),
    };
    let detail = format!("it waits under the {} limit{name} and {ahead}", line.kind);
    let ahead = line.next.iter().map(|run_id| id::show("run", *run_id)).collect();
    Binding { rule: Rule::Limit, open: false, until: line.opens_at, detail, ahead }
}

fn standing(run: &RunRow, wait: Option<&str>, now: DateTime<Utc>) -> Binding {
    let bound = |rule, detail: String| Binding {
        rule,
        open: false,
        until: run.next_at,
        detail,
        ahead: Vec::new(),
    };
    let reason = run.reason.as_deref().unwrap_or("no reason was given");
    match run.state.as_str() {
        "ready" => {
            Binding { open: true, ..bound(Rule::Worker, "it waits for a free worker".into()) }
        }
        "running" => Binding { open: true, ..bound(Rule::Worker, "a worker runs the step".into()) },
        "waiting" => bound(Rule::Signal, format!("it waits for {}", wait.unwrap_or("a signal"))),
        "sleeping" if run.attempt > 0 => {
            bound(Rule::Delay, format!("attempt {} failed; it is tried again later", run.attempt))
        }
        "sleeping" => {
            let late = run.next_at.is_some_and(|at| at <= now);
            Binding { open: late, ..bound(Rule::Delay, "it waits for its time".into()) }
        }
        "paused" => bound(Rule::Person, "a person paused it".into()),
        "held" => bound(Rule::Person, format!("it can't go on by itself: {reason}")),
        ended => bound(Rule::End, format!("it is {ended}: {reason}")),
    }
}

fn would_change(
    run: &RunRow,
    resumed: Option<&Resumed>,
    wait: Option<&str>,
    exits: &[String],
) -> Vec<String> {
    if run.ended_at.is_some() {
        return Vec::new();
    }
    let mut changes = Vec::new();
    match run.state.as_str() {
        "paused" => changes.push(format!("resume: {}", continues(run, resumed))),
        "held" => changes.push("retry: the step is tried again".into()),
        _live => {}
    }
    if let Some(signal) = wait {
        changes.push(format!("{signal}: it goes on"));
    }
    let ends = exits.iter().filter(|exit| wait != Some(exit.as_str()));
    changes.extend(ends.map(|exit| format!("{exit}: it ends")));
    changes
}

/// What a paused run does once it is resumed.
fn continues(run: &RunRow, resumed: Option<&Resumed>) -> String {
    let local = |at: &DateTime<Utc>| {
        Zone::parse(&run.zone).map_or_else(|_| at.to_rfc3339(), |zone| zone.local(*at))
    };
    match resumed {
        Some(Resumed::Waits { until, .. }) => format!("it continues {}", local(until)),
        Some(Resumed::Passed { until }) => {
            format!("it continues at once, as {} has passed", local(until))
        }
        Some(Resumed::Anew { path }) => format!("it waits until the date that `{path}` then holds"),
        Some(Resumed::Now) | None => "it continues at once".into(),
    }
}
