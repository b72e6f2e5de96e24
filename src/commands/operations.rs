//! `salesos operations`: what bulk commands started.

use anyhow::Result;
use engine::id;
use engine::operation::{self, Operation, OperationFilter};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgPool;

use crate::Ending;
use crate::database::{Database, Role};
use crate::listing::{self, Listing};
use crate::out;
use crate::settings::Settings;

/// Its subcommands.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Lists operations, newest first.
    List {
        #[command(flatten)]
        listing: Listing,
    },
    /// Shows an operation as JSON.
    Show {
        /// The operation (`op_…`).
        id: String,
    },
    /// Stops an operation where it stands; what it has done stays done.
    Stop {
        /// The operation (`op_…`).
        id: String,
    },
}

pub(crate) async fn run(command: Command, settings: Settings) -> Result<Ending> {
    let db = Database::find(&settings)?.pool(Role::Worker, 2).await?;
    match command {
        Command::List { listing } => list(&db, &listing).await,
        Command::Show { id } => show(&db, &id).await,
        Command::Stop { id } => {
            let stopped = operation::stop(&db, None, id::read("op", &id)?).await?;
            out::line(format_args!(
                "{id}: {}",
                if stopped { "stopped" } else { "it is not under way" }
            ));
            Ok(if stopped { Ending::Done } else { Ending::NothingMatched })
        }
    }
}

/// An operation as JSON shows it.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    operation: Operation,
    id: String,
}

fn shown(operation: Operation) -> Shown {
    Shown { id: id::show("op", operation.id), operation }
}

async fn list(db: &PgPool, args: &Listing) -> Result<Ending> {
    let headers = ["operation", "status", "what", "matched", "done", "changed", "skipped", "by"];
    let cells = |row: &Shown| {
        let operation = &row.operation;
        vec![
            row.id.clone(),
            operation.status.clone(),
            what(&operation.wish).to_owned(),
            operation.total.to_string(),
            operation.done.to_string(),
            operation.changed.to_string(),
            operation.skipped.to_string(),
            operation.actor.clone(),
        ]
    };
    let rows = || async {
        let found = operation::list(db, &OperationFilter::default(), args.limit).await?;
        Ok(found.into_iter().map(shown).collect())
    };
    listing::show(args, &headers, cells, rows).await
}

/// The action, or what else is done to each run.
fn what(wish: &Value) -> &str {
    wish["action"].as_str().or_else(|| wish["do"].as_str()).unwrap_or_default()
}

async fn show(db: &PgPool, text: &str) -> Result<Ending> {
    let Some(found) = operation::find(db, None, id::read("op", text)?).await? else {
        out::problem(format_args!("error: there is no operation {text}"));
        return Ok(Ending::NothingMatched);
    };
    print(found)?;
    Ok(Ending::Done)
}

/// Prints an operation as JSON.
pub(super) fn print(operation: Operation) -> Result<()> {
    out::line(serde_json::to_string_pretty(&shown(operation))?);
    Ok(())
}
