//! `salesos runs`: who stands where, why, and moving them.

use std::str::FromStr;

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use clap::builder::PossibleValuesParser;
use crm::{enrollment, inbound, unsubscription};
use engine::definition_store::Definitions;
use engine::explain;
use engine::id;
use engine::run::{self, Action, Change, Filter, HistoryRow, RunRow};
use engine::signal::{self, NewSignal, Target};
use engine::worker::{self, Replanned};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use super::bulk::{Bulk, ago};
use crate::database::{Database, Role};
use crate::listing::{self, Listing};
use crate::settings::Settings;
use crate::{Ending, process, spelling};

const STATES: [&str; 9] = [
    "ready",
    "running",
    "sleeping",
    "waiting",
    "paused",
    "held",
    "completed",
    "exited",
    "cancelled",
];

/// Its subcommands.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Lists runs, newest first.
    List {
        /// In this state only.
        #[arg(long, value_parser = PossibleValuesParser::new(STATES))]
        state: Option<String>,
        /// Of the sequence of this name only.
        #[arg(long)]
        sequence: Option<String>,
        /// At this step only.
        #[arg(long)]
        step: Option<String>,
        /// Changed within so long, such as `2h`.
        #[arg(long)]
        since: Option<String>,
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
    /// Stops runs where they stand; what is left of their delay is kept.
    Pause(Bulk),
    /// Lets paused runs go on.
    Resume(Bulk),
    /// Ends runs.
    Cancel(Bulk),
    /// Lets runs go on behind the step at which they stand, as if it were done.
    Skip(Bulk),
    /// Lets a run enter a step of its version anew, and go on from there.
    Jump {
        /// The run (`run_…` or `enr_…`).
        id: String,
        /// The step's id.
        step: String,
    },
    /// Undoes what runs did, last step first, by the steps that their `compensate` names; then they end.
    Undo(Bulk),
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
        Command::List { state, sequence, step, since, listing } => {
            let since = ago(&db, since.as_deref()).await?;
            let filter = Filter { state, workflow: sequence, step, since, ..Filter::default() };
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
        Command::Jump { id, step } => act(&db, &settings, &[id], &Action::Jump { step }).await,
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
        eprintln!("error: there is no run {text}");
    }
    Ok(found)
}

async fn show(db: &PgPool, text: &str) -> Result<Ending> {
    let Some(found) = find(db, text).await? else { return Ok(Ending::NothingMatched) };
    println!("{}", serde_json::to_string_pretty(&shown(&found)?)?);
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
    println!("{}", serde_json::to_string_pretty(&explained)?);
    Ok(Ending::Done)
}

/// Does the same to several runs, each in a transaction of its own, and says what became of each.
pub(crate) async fn act(
    db: &PgPool,
    settings: &Settings,
    ids: &[String],
    action: &Action,
) -> Result<Ending> {
    let definitions = process::definitions(db.clone(), &settings.data_dir);
    let mut changed = 0;
    for text in ids {
        let run_id = parse(text)?;
        let Some(found) = run::find(db, None, run_id).await? else {
            println!("{text}: there is no such run");
            continue;
        };
        let mut tx = db.begin().await?;
        let customer = found.customer_id;
        let changes =
            enrollment::act(&mut tx, &definitions, customer, &[run_id], action, "cli").await?;
        tx.commit().await?;
        for change in changes {
            match change {
                Change::Changed { .. } => {
                    changed += 1;
                    println!("{text}: done");
                }
                Change::Unchanged(state) => println!("{text}: unchanged, it is {}", state.word()),
                Change::Refused(reason) => println!("{text}: unchanged, {reason}"),
                Change::NotFound => println!("{text}: there is no such run"),
            }
        }
    }
    Ok(if changed > 0 { Ending::Done } else { Ending::NothingMatched })
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
    if found.ended_at.is_some() {
        println!("{text}: unchanged, it is {}", found.state);
        return Ok(Ending::NothingMatched);
    }
    if name == unsubscription::SIGNAL
        && let Some(ending) = unsubscribe(db, &found).await?
    {
        return Ok(ending);
    }
    // A bounce is the contact's as well: its address takes no mail, in no sequence.
    let bounced = name == inbound::BOUNCED;
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
    println!("sent");
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
    println!("unsubscribed {}; {} of its runs ended", id::show("con", contact_id), done.runs);
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
