//! `salesos runs`: who stands where, why, and moving them.

use std::collections::HashMap;
use std::str::FromStr;

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use clap::builder::PossibleValuesParser;
use crm::{enrollment, inbound, unsubscription};
use engine::definition_store::Definitions;
use engine::explain;
use engine::id;
use engine::operation::{self, DoneAtOnce};
use engine::run::{self, Action, Change, Filter, HistoryRow, RunRow};
use engine::signal::{self, NewSignal, Target};
use engine::worker::{self, Replanned};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use super::bulk::{Bulk, Form};
use super::selection;
use crate::database::{Database, Role};
use crate::listing::{self, Listing};
use crate::out;
use crate::settings::Settings;
use crate::{Ending, process, spelling};

/// Its subcommands.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Lists runs, newest first.
    List {
        /// In this state only.
        #[arg(long, value_parser = PossibleValuesParser::new(engine::run::STATES))]
        state: Option<String>,
        #[command(flatten)]
        filter: Box<selection::Filter>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Shows a run as JSON.
    Show {
        /// The run (`run_…` or `enr_…`).
        id: String,
    },
    /// Shows all that became of a run.
    History {
        /// The run (`run_…` or `enr_…`).
        id: String,
        #[command(flatten)]
        listing: Listing,
    },
    /// Says as JSON what a run waits for, and what would change it.
    Explain {
        /// The run (`run_…` or `enr_…`).
        id: String,
    },
    /// Lists the waits that an update of the tz database has moved, newest first.
    Replanned {
        #[command(flatten)]
        listing: Listing,
    },
    /// Pause runs at their step; dates are not moved, and lengths of time keep their rest
    Pause(Box<Bulk>),
    /// Resume paused runs
    Resume(Box<Bulk>),
    /// Ends runs.
    Cancel(Box<Bulk>),
    /// Lets runs go on behind the step at which they stand, as if it were done.
    Skip(Box<Bulk>),
    /// Lets a run enter a step of its version anew, and go on from there.
    Jump {
        /// The run (`run_…` or `enr_…`).
        id: String,
        /// The step's id.
        step: String,
        /// Why, kept in an operation
        #[arg(long)]
        reason: Option<String>,
    },
    /// Undoes what runs did, last step first, by the steps that their `compensate` names; then they end.
    Undo(Box<Bulk>),
    /// Signal a run, as if the signal had come from outside; `contact.unsubscribed` unsubscribes
    /// its contact, `email.bounced.hard` marks it as bounced
    Signal {
        /// The run (`run_…` or `enr_…`).
        id: String,
        /// The signal, such as `email.replied`.
        name: String,
        /// What a waiting step reads of it, as a JSON object.
        #[arg(long, default_value = "{}")]
        data: String,
    },
}

pub(crate) async fn run(command: Command, settings: Settings) -> Result<Ending> {
    let db = Database::find(&settings)?.pool(Role::Worker, 2).await?;
    match command {
        Command::List { state, filter, listing } => {
            let filter = filter.listed(&db, &settings, state).await?;
            list(&db, &filter, &listing).await
        }
        Command::Show { id } => show(&db, &id).await,
        Command::History { id, listing } => history(&db, &id, &listing).await,
        Command::Explain { id } => explain(&db, &id, &settings).await,
        Command::Replanned { listing } => replanned(&db, &listing).await,
        Command::Pause(bulk) => bulk.run(&db, &settings, Action::Pause).await,
        Command::Resume(bulk) => bulk.run(&db, &settings, Action::Resume).await,
        Command::Cancel(bulk) => bulk.run(&db, &settings, Action::Cancel).await,
        Command::Skip(bulk) => bulk.run(&db, &settings, Action::Skip).await,
        Command::Jump { id, step, reason } => {
            let jump = (&Action::Jump { step }, reason.as_deref());
            act(&db, &settings, &[id], jump, Form::Text).await
        }
        Command::Undo(bulk) => bulk.run(&db, &settings, Action::Undo).await,
        Command::Signal { id, name, data } => signal(&db, &settings, &id, name, &data).await,
    }
}

/// The id of a run, also under its enrollment's name.
pub(crate) fn parse(text: &str) -> Result<Uuid> {
    Ok(id::read("enr", text).or_else(|_| id::read("run", text))?)
}

/// A run as JSON shows it.
#[derive(Serialize)]
struct Shown {
    id: String,
    sequence: String,
    contact: String,
    #[serde(flatten)]
    run: Value,
}

fn shown(run: &RunRow) -> Result<Shown> {
    let mut fields = serde_json::to_value(run)?;
    if let Value::Object(fields) = &mut fields {
        for field in ["run_id", "customer_id", "definition_id", "workflow", "subject_id"] {
            fields.remove(field);
        }
        fields.insert("customer".into(), id::show("cus", run.customer_id).into());
    }
    Ok(Shown {
        id: id::show("run", run.run_id),
        sequence: run.workflow.clone(),
        contact: id::show("con", run.subject_id),
        run: fields,
    })
}

/// An instant for people, or a dash.
fn instant(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "–".into(), |at| at.format("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// Lists runs.
pub(crate) async fn list(db: &PgPool, filter: &Filter, args: &Listing) -> Result<Ending> {
    let headers = ["run", "sequence", "state", "step", "attempt", "next", "reason"];
    let field = |row: &Shown, name: &str| {
        let value = &row.run[name];
        let text = value.as_str().map(str::to_owned);
        text.unwrap_or_else(|| if value.is_null() { String::new() } else { value.to_string() })
    };
    let cells = |row: &Shown| {
        let next = field(row, "next_at").parse().ok();
        vec![
            row.id.clone(),
            row.sequence.clone(),
            field(row, "state"),
            field(row, "step"),
            field(row, "attempt"),
            instant(next),
            field(row, "reason"),
        ]
    };
    let rows = || async { run::list(db, filter, args.limit).await?.iter().map(shown).collect() };
    listing::show(args, &headers, cells, rows).await
}

async fn find(db: &PgPool, text: &str) -> Result<Option<RunRow>> {
    let found = run::find(db, None, parse(text)?).await?;
    if found.is_none() {
        out::problem(format_args!("error: there is no run {text}"));
    }
    Ok(found)
}

async fn show(db: &PgPool, text: &str) -> Result<Ending> {
    let Some(found) = find(db, text).await? else { return Ok(Ending::NothingMatched) };
    out::line(serde_json::to_string_pretty(&shown(&found)?)?);
    Ok(Ending::Done)
}

async fn history(db: &PgPool, text: &str, args: &Listing) -> Result<Ending> {
    let Some(RunRow { run_id: id, .. }) = find(db, text).await? else {
        return Ok(Ending::NothingMatched);
    };
    let cells = |row: &HistoryRow| {
        let data = row.data.as_ref().map(ToString::to_string);
        vec![
            row.seq.to_string(),
            instant(Some(row.at)),
            row.kind.clone(),
            row.step.clone().unwrap_or_default(),
            row.attempt.map(|attempt| attempt.to_string()).unwrap_or_default(),
            row.actor.clone(),
            data.unwrap_or_default(),
        ]
    };
    let headers = ["seq", "at", "kind", "step", "attempt", "actor", "data"];
    listing::show(args, &headers, cells, || async { Ok(run::history(db, None, id, -1).await?) })
        .await
}

/// A wait that was moved, as JSON shows it.
#[derive(Serialize)]
struct Moved {
    id: String,
    customer: String,
    #[serde(flatten)]
    moved: Value,
}

fn moved(row: &Replanned) -> Result<Moved> {
    let mut fields = serde_json::to_value(row)?;
    if let Value::Object(fields) = &mut fields {
        for field in ["run_id", "customer_id"] {
            fields.remove(field);
        }
    }
    let customer = id::show("cus", row.customer_id);
    Ok(Moved { id: id::show("run", row.run_id), customer, moved: fields })
}

async fn replanned(db: &PgPool, args: &Listing) -> Result<Ending> {
    let headers = ["run", "step", "zone", "was due", "is due", "tz"];
    let cells = |row: &Moved| {
        let field = |name: &str| row.moved[name].as_str().unwrap_or_default().to_owned();
        let at = |name: &str| instant(field(name).parse().ok());
        vec![
            row.id.clone(),
            field("step"),
            field("zone"),
            at("due_from"),
            at("due_to"),
            format!("{} to {}", field("tz_from"), field("tz_to")),
        ]
    };
    let rows = || async { worker::replanned(db, args.limit).await?.iter().map(moved).collect() };
    listing::show(args, &headers, cells, rows).await
}

async fn explain(db: &PgPool, text: &str, settings: &Settings) -> Result<Ending> {
    let Some(found) = find(db, text).await? else { return Ok(Ending::NothingMatched) };
    let definitions = process::definitions(db.clone(), &settings.data_dir);
    let explained = explain::explain(db, &definitions, &found).await?;
    out::line(serde_json::to_string_pretty(&explained)?);
    Ok(Ending::Done)
}

/// The outcome for a run that was named.
#[derive(Serialize)]
struct Acted {
    id: String,
    changed: bool,
    detail: String,
}

/// Does the same to several runs, each in a transaction of its own, and then prints the outcome of each: a reader that goes
/// away in the middle leaves none of them undone.
pub(super) async fn act(
    db: &PgPool,
    settings: &Settings,
    ids: &[String],
    (action, reason): (&Action, Option<&str>),
    form: Form,
) -> Result<Ending> {
    let run_ids: Vec<Uuid> = ids.iter().map(|id| parse(id)).collect::<Result<_>>()?;
    let definitions = process::definitions(db.clone(), &settings.data_dir);
    let mut acted: HashMap<Uuid, Change> = HashMap::new();
    for (customer_id, runs) in run::by_customer(db, &run_ids).await? {
        let operation_id = reason.map(|_| engine::clock::new_id());
        let actor = match operation_id {
            Some(operation) => format!("cli by {}", id::show("op", operation)),
            None => "cli".to_owned(),
        };
        for run_id in &runs {
            let mut tx = db.begin().await?;
            let one = [*run_id];
            let changes =
                enrollment::act(&mut tx, &definitions, customer_id, &one, action, &actor).await?;
            tx.commit().await?;
            acted.extend(changes.into_iter().map(|change| (*run_id, change)));
        }
        if let (Some(id), Some(reason)) = (operation_id, reason) {
            let changed =
                |run_id: &&Uuid| matches!(acted.get(*run_id), Some(Change::Changed { .. }));
            let changed = runs.iter().filter(changed).count();
            let (customer_id, run_ids, actor) = (Some(customer_id), runs.as_slice(), "cli");
            let done = DoneAtOnce { id, customer_id, action, run_ids, actor, reason, changed };
            operation::record(db, &done).await?;
        }
    }
    let said = ids.iter().zip(&run_ids).map(|(id, run_id)| acted_on(id, acted.get(run_id)));
    let said: Vec<Acted> = said.collect();
    match form {
        Form::Json => out::line(serde_json::to_string_pretty(&said)?),
        Form::Text => {
            said.iter().for_each(|one| out::line(format_args!("{}: {}", one.id, one.detail)));
        }
    }
    let any = said.iter().any(|one| one.changed);
    Ok(if any { Ending::Done } else { Ending::NothingMatched })
}

fn acted_on(text: &str, change: Option<&Change>) -> Acted {
    let (changed, detail) = match change {
        Some(Change::Changed { .. }) => (true, "done".to_owned()),
        Some(Change::Unchanged(state)) => (false, format!("unchanged, it is {}", state.word())),
        Some(Change::Refused(reason)) => (false, format!("unchanged, {reason}")),
        Some(Change::NotFound) | None => (false, "there is no such run".to_owned()),
    };
    Acted { id: text.to_owned(), changed, detail }
}

async fn signal(
    db: &PgPool,
    settings: &Settings,
    text: &str,
    name: String,
    data: &str,
) -> Result<Ending> {
    known_signal(&process::definitions(db.clone(), &settings.data_dir), &name)?;
    let data = match Value::from_str(data) {
        Ok(data @ Value::Object(_)) => data,
        Ok(_) | Err(_) => bail!(
            "--data is no JSON object; write for instance --data '{}'",
            json!({"key": "value"})
        ),
    };
    let Some(found) = find(db, text).await? else { return Ok(Ending::NothingMatched) };
    if name == unsubscription::SIGNAL
        && let Some(ending) = unsubscribe(db, &found).await?
    {
        return Ok(ending);
    }
    // A bounce is the contact's as well: its address takes no mail, in no sequence.
    let bounced = name == inbound::BOUNCED;
    if found.ended_at.is_some() && !bounced {
        out::line(format_args!("{text}: unchanged, it is {}", found.state));
        return Ok(Ending::NothingMatched);
    }
    let target =
        if bounced { Target::Subject(found.subject_id) } else { Target::Run(found.run_id) };
    let key = format!("cli:{}", engine::clock::new_id());
    let signal = NewSignal { customer_id: found.customer_id, target, name, key, data };
    let mut tx = db.begin().await?;
    signal::send(&mut tx, &[signal]).await?;
    if bounced {
        inbound::mark_bounced(&mut tx, found.customer_id, found.subject_id).await?;
    }
    tx.commit().await?;
    out::line("sent");
    Ok(Ending::Done)
}

/// Unsubscribes the contact that a run is about; `None` if it is about something else. The signal says that a person
/// wants no more mail: to end this run alone would leave them to be written to by the next.
async fn unsubscribe(db: &PgPool, found: &RunRow) -> Result<Option<Ending>> {
    let mut tx = db.begin().await?;
    let (customer_id, contact_id) = (found.customer_id, found.subject_id);
    let done = unsubscription::unsubscribe(&mut tx, customer_id, contact_id, "cli").await?;
    let Some(done) = done else { return Ok(None) };
    tx.commit().await?;
    out::line(format_args!(
        "unsubscribed {}; {} of its runs ended",
        id::show("con", contact_id),
        done.runs
    ));
    Ok(Some(Ending::Done))
}

/// Refuses a signal that no workflow can hear, as a misspelled one.
fn known_signal(definitions: &Definitions, name: &str) -> Result<()> {
    let names: Vec<&str> = definitions.registry().signal_names().collect();
    if !names.contains(&name) {
        bail!("there is no signal `{name}`; {}", spelling::hint(name, &names));
    }
    Ok(())
}
