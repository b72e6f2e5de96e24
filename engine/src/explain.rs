//! Why a run has not continued yet: what it waits for, until when, and what would change it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use utoipa::ToSchema;

use crate::decision::Resumed;
use crate::definition::Definition;
use crate::definition_store::{Definitions, LoadError};
use crate::limit::Line;
use crate::run::{self, Prospect, RunRow};
use crate::step::Reference;
use crate::timing::{Closed, Closure, DaysOff, Delay, Opening, Window, Zone};
use crate::worker::{self, Alive};
use crate::{clock, id, limit};

/// What binds a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
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

/// Whether a rule lets a run continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It lets the run continue now.
    Open,
    /// It holds the run back.
    Closed,
}

/// One rule, and what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ExplainedRule)]
pub struct Binding {
    /// What binds the run.
    pub rule: Rule,
    /// Whether it lets the run continue now.
    pub verdict: Verdict,
    /// Until when it holds the run back, if that is known.
    pub until: Option<DateTime<Utc>>,
    /// The rule in words.
    pub detail: String,
    /// The runs before it in line, the next first; at most 5.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub ahead: Vec<String>,
}

/// A run's state, as people read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Its step is due and waits for a worker.
    Ready,
    /// A worker runs its step.
    Running,
    /// It waits for its time, or for its turn under a limit.
    Sleeping,
    /// It waits for a signal.
    Waiting,
    /// A person paused it.
    Paused,
    /// It needs a person.
    Held,
    /// It came to its end.
    Completed,
    /// A signal or an `exit` step ended it.
    Exited,
    /// A person ended it.
    Cancelled,
}

/// Why a run has not continued yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ExplainedRun)]
pub struct Explanation {
    /// The run's state.
    #[schema(value_type = RunState)]
    pub state: String,
    /// The id of its current step.
    pub step: String,
    /// When it can continue, if that is known.
    pub next_eligible_at: Option<DateTime<Utc>>,
    /// Every rule that binds it.
    pub rules: Vec<Binding>,
    /// What would change it.
    pub would_change: Vec<String>,
}

/// Explains a run on a connection of its own.
///
/// # Errors
/// Returns why its definition or the clock could not be read.
pub async fn explain(
    db: &PgPool,
    definitions: &Definitions,
    run: &RunRow,
) -> Result<Explanation, LoadError> {
    let mut db = db.acquire().await?;
    explain_in(&mut db, definitions, run).await
}

/// Explains a run in the caller's transaction.
///
/// # Errors
/// Returns why its definition or the clock could not be read.
pub async fn explain_in(
    db: &mut PgConnection,
    definitions: &Definitions,
    run: &RunRow,
) -> Result<Explanation, LoadError> {
    let now = clock::now(&mut *db).await?;
    let wait = run::waits_for(&mut *db, run.run_id).await?;
    let mut rules = vec![standing(run, wait.as_deref(), now)];
    let definition = definitions.load(&mut *db, run.definition_id).await?;
    let queue = definition.index_of(&run.step).map_or("", |step| definition.steps[step].kind);
    let lacking = lacking(run, queue, &worker::alive(&mut *db, queue).await?);
    let closures = closures(run, &definition, run.next_at.unwrap_or(now).max(now));
    let opens_at = closures.last().and_then(|closed| closed.until);
    rules.extend(closures);
    let line = limit::line_of(&mut *db, run.run_id).await?;
    rules.extend(line.map(in_line));
    // A person moves it, no instant does.
    let rests = matches!(run.state.as_str(), "paused" | "held");
    let next_eligible_at = opens_at.or(run.next_at).filter(|_| !rests);
    let resume = match run.state.as_str() {
        "paused" => {
            let prospect = run::would_resume(&mut *db, definitions, run.run_id).await?;
            Some(continues(run, prospect, &definition, now))
        }
        _other => None,
    };
    let mut would_change = would_change(run, resume, wait.as_deref(), &definition.exit_on);
    if let Some(lacking) = lacking {
        would_change.insert(0, "a worker starts: it takes the step once that is due".into());
        // That a free worker takes it, or that one runs it, is what it would say.
        rules.retain(|binding| binding.rule != Rule::Worker);
        rules.push(lacking);
    }
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
    let verdict = Verdict::Closed;
    Binding { rule, verdict, until: Some(closure.until), detail, ahead: Vec::new() }
}

/// That no worker that is alive would take the step of a run which needs one.
fn lacking(run: &RunRow, queue: &str, alive: &Alive) -> Option<Binding> {
    let needs = matches!(run.state.as_str(), "ready" | "running" | "sleeping" | "waiting");
    let detail = match (needs, alive.workers, alive.serve) {
        (false, ..) | (true, 1.., true) => return None,
        (true, 1.., false) => format!(
            "no worker that is running takes steps of type `{queue}`; start one that does, by `salesos worker` of a \
             version that knows the type"
        ),
        (true, ..) => {
            "no worker is running; start one by `salesos worker`, or run `salesos dev`".to_owned()
        }
    };
    Some(Binding {
        rule: Rule::Worker,
        verdict: Verdict::Closed,
        until: None,
        detail,
        ahead: Vec::new(),
    })
}

/// The line of a limit in which it waits.
fn in_line(line: Line) -> Binding {
    let name = if line.name.is_empty() { String::new() } else { format!(" of {}", line.name) };
    let ahead = match line.ahead {
        0 => "is the next in line".to_owned(),
        1_000.. => "has 1000 or more before it".to_owned(),
        ahead => format!("has {ahead} before it"),
    };
    let detail = format!("it waits under the {} limit{name} and {ahead}", line.kind);
    let ahead = line.next.iter().map(|run_id| id::show("run", *run_id)).collect();
    Binding { rule: Rule::Limit, verdict: Verdict::Closed, until: line.opens_at, detail, ahead }
}

fn standing(run: &RunRow, wait: Option<&str>, now: DateTime<Utc>) -> Binding {
    let bound = |rule, detail: String| Binding {
        rule,
        verdict: Verdict::Closed,
        until: run.next_at,
        detail,
        ahead: Vec::new(),
    };
    let open = |binding| Binding { verdict: Verdict::Open, ..binding };
    let reason = run.reason.as_deref().unwrap_or("no reason was given");
    match run.state.as_str() {
        "ready" => open(bound(Rule::Worker, "it waits for a free worker".into())),
        "running" => open(bound(Rule::Worker, "a worker runs the step".into())),
        "waiting" => bound(Rule::Signal, format!("it waits for {}", wait.unwrap_or("a signal"))),
        "sleeping" if run.attempt > 0 => {
            bound(Rule::Delay, format!("attempt {} failed; it is tried again later", run.attempt))
        }
        "sleeping" => {
            let waits = bound(Rule::Delay, "it waits for its time".into());
            if run.next_at.is_some_and(|at| at <= now) { open(waits) } else { waits }
        }
        "paused" => bound(Rule::Person, "a person paused it".into()),
        "held" => bound(Rule::Person, format!("it can't continue by itself: {reason}")),
        ended => bound(Rule::End, format!("it is {ended}: {reason}")),
    }
}

fn would_change(
    run: &RunRow,
    resume: Option<String>,
    wait: Option<&str>,
    exits: &[String],
) -> Vec<String> {
    if run.ended_at.is_some() {
        return Vec::new();
    }
    let mut changes = Vec::new();
    changes.extend(resume.map(|resume| format!("resume: {resume}")));
    if run.state == "held" {
        changes.push("retry: the step is tried again".into());
    }
    if let Some(signal) = wait {
        changes.push(format!("{signal}: it continues"));
    }
    let ends = exits.iter().filter(|exit| wait != Some(exit.as_str()));
    changes.extend(ends.map(|exit| format!("{exit}: it ends")));
    changes
}

const AT_ONCE: &str = "it continues at once";

/// What a paused run does once it is resumed.
fn continues(
    run: &RunRow,
    prospect: Option<Prospect>,
    definition: &Definition,
    now: DateTime<Utc>,
) -> String {
    let zone = Zone::parse(&run.zone).ok();
    let local =
        |at: DateTime<Utc>| zone.as_ref().map_or_else(|| at.to_rfc3339(), |zone| zone.local(at));
    match prospect {
        Some(Prospect::Goes(Resumed::Waits { until, .. })) => {
            format!("it continues {}", local(until))
        }
        Some(Prospect::Goes(Resumed::Passed { until })) => {
            format!("{AT_ONCE}, as {} has passed", local(until))
        }
        Some(Prospect::Goes(Resumed::Anew { path })) => {
            format!("it waits until the date that `{path}` then holds")
        }
        Some(Prospect::Listens(signal)) => format!("it waits for {signal}"),
        Some(Prospect::Enters) => match (definition.index_of(&run.step), &zone) {
            (Some(step), Some(zone)) => enters(definition, step, zone, now),
            (_, _) => AT_ONCE.into(),
        },
        Some(Prospect::Goes(Resumed::Now)) | None => AT_ONCE.into(),
    }
}

/// What a run does that enters a step now, as far as that is known without its subject.
fn enters(definition: &Definition, index: usize, zone: &Zone, now: DateTime<Utc>) -> String {
    let step = &definition.steps[index];
    let window = definition.timing.window.as_ref();
    let opening = window.filter(|_| step.windowed).map(|window| window.opens_at(now, zone));
    if let Some(Opening::Opens { at, .. }) = opening {
        let else_at_once =
            if step.when.is_some() { ", or at once if its step is skipped" } else { "" };
        return format!("it continues {}{else_at_once}", zone.local(at));
    }
    let signal = step.step.references().into_iter().find_map(|reference| match reference {
        Reference::Signal { name, .. } if step.step.waits() => Some(name),
        Reference::Signal { .. }
        | Reference::Target { .. }
        | Reference::Step { .. }
        | Reference::Condition { .. }
        | Reference::Template { .. }
        | Reference::DateField { .. } => None,
    });
    let until = match step.step.delay() {
        Some(Delay::Date { path, .. }) => Some(format!("the date that `{path}` then holds")),
        Some(delay) => Some(zone.local(delay.due(now, zone, window, None))),
        None => None,
    };
    let wait = match (signal, until) {
        (Some(signal), Some(until)) => format!("waits for {signal} until {until}"),
        (Some(signal), None) => format!("waits for {signal}"),
        (None, Some(until)) => format!("waits until {until}"),
        (None, None) => return AT_ONCE.into(),
    };
    let condition = if step.when.is_some() { " if its condition holds" } else { "" };
    format!("it enters step `{}`, which {wait}{condition}", step.id)
}
