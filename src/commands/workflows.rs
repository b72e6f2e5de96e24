//! `salesos workflows`: the schema, checking files, and bringing them to a customer.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use crm::sequence::{self, Existing, Sequence};
use engine::definition::{self, Definition, Format, OwnFields};
use engine::step::Registry;
use engine::{definition_store, id};
use serde::Serialize;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

use super::{scenarios, simulate, versions};
use crate::database::{Database, Role};
use crate::listing::{self, Listing};
use crate::out;
use crate::settings::Settings;
use crate::{Ending, customer, process};

/// Its subcommands.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Prints the JSON Schema of workflow files, for editors.
    Schema,
    /// Prints the reference of the step types, as Markdown.
    Reference,
    /// Checks files and shows everything that is wrong with them.
    Validate {
        /// TOML or JSON files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Plays the scenarios of files on a clock that jumps, and shows what did not come as it must.
    Test(scenarios::Args),
    /// Shows what a sequence will do to a cohort, before anybody is enrolled.
    Simulate(Box<simulate::Args>),
    /// Lists a customer's sequences.
    List {
        /// For which customer (`cus_…`); the only one where there is one.
        #[arg(long)]
        customer: Option<String>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Prints the document of a sequence as it was given.
    Show {
        /// The sequence's name.
        name: String,
        /// For which customer (`cus_…`); the only one where there is one.
        #[arg(long)]
        customer: Option<String>,
    },
    /// Says what a file would change for the sequence of its name and for who is in it, and changes nothing.
    /// Ends with 0 where it would change nothing, 1 where it is refused, 2 where it can be applied.
    Plan(versions::Plan),
    /// Makes a file a customer's sequence, or the next version of it, and activates it. Who is enrolled already
    /// goes over as `plan` says.
    Apply(versions::Apply),
    /// Goes back to the version that was applied before, or to another, with who is enrolled.
    Rollback(versions::Rollback),
    /// Lists the versions of a sequence, and how many runs follow each.
    Versions(versions::Versions),
}

/// A sequence as it is listed.
#[derive(Serialize)]
struct Row {
    id: String,
    name: String,
    title: String,
    status: String,
    version: i32,
}

pub(crate) async fn run(command: Command, settings: Settings) -> Result<Ending> {
    match command {
        Command::Schema => {
            let schema = definition::schema(&registry(&settings)?);
            out::line(serde_json::to_string_pretty(&schema)?);
            Ok(Ending::Done)
        }
        Command::Reference => {
            out::text(definition::manual(&registry(&settings)?));
            Ok(Ending::Done)
        }
        Command::Validate { files } => validate(&files, &registry(&settings)?),
        Command::Test(args) => scenarios::run(&args, &settings),
        Command::Simulate(args) => simulate::run(*args, settings).await,
        Command::List { customer, listing } => list(customer, &listing, &settings).await,
        Command::Show { name, customer } => show(&name, customer, &settings).await,
        Command::Plan(args) => versions::plan(args, &settings).await,
        Command::Apply(args) => versions::apply(args, &settings).await,
        Command::Rollback(args) => versions::rollback(args, &settings).await,
        Command::Versions(args) => versions::list(args, &settings).await,
    }
}

/// The step types, without a database behind them: enough to read documents.
pub(super) fn registry(settings: &Settings) -> Result<Registry> {
    let nowhere = PgPoolOptions::new().connect_lazy("postgres://localhost")?;
    Ok(process::definitions(nowhere, &settings.data_dir).registry().clone())
}

fn validate(files: &[PathBuf], registry: &Registry) -> Result<Ending> {
    let mut ending = Ending::Done;
    for file in files {
        let source = source(file)?;
        match read(file, &source, registry) {
            Ok(definition) => {
                out::line(format_args!(
                    "{}: right, {} with {} steps",
                    file.display(),
                    definition.name,
                    definition.steps.len()
                ));
            }
            Err(drawn) => {
                out::problem(&drawn);
                ending = Ending::Refused;
            }
        }
    }
    Ok(ending)
}

pub(super) fn source(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("can't read {}", file.display()))
}

/// Reads a file's document, or draws what is wrong with it.
pub(super) fn read(file: &Path, source: &str, registry: &Registry) -> Result<Definition, String> {
    read_for(file, source, registry, None)
}

/// The same for a customer whose own fields are these.
pub(super) fn read_for(
    file: &Path,
    source: &str,
    registry: &Registry,
    own: Option<&OwnFields>,
) -> Result<Definition, String> {
    let json = file.extension().is_some_and(|extension| extension == "json");
    let format = if json { Format::Json } else { Format::Toml };
    definition::read_for(&file.display().to_string(), source, format, registry, own)
        .map_err(|refusals| refusals.render(std::io::stderr().is_terminal()))
}

async fn list(customer: Option<String>, args: &Listing, settings: &Settings) -> Result<Ending> {
    let db = Database::find(settings)?.pool(Role::Worker, 1).await?;
    let customer = customer::choose(&db, customer.as_deref()).await?;
    let cells = |row: &Row| {
        vec![
            row.id.clone(),
            row.name.clone(),
            row.title.clone(),
            row.status.clone(),
            row.version.to_string(),
        ]
    };
    listing::show(args, &["id", "name", "title", "status", "version"], cells, || async {
        let found = sequence::list(&db, customer.id, None, args.limit).await?;
        Ok(found.into_iter().map(row).collect())
    })
    .await
}

fn row(sequence: Sequence) -> Row {
    Row {
        id: id::show("seq", sequence.id),
        name: sequence.name,
        title: sequence.title,
        status: sequence.status,
        version: sequence.version,
    }
}

async fn show(name: &str, customer: Option<String>, settings: &Settings) -> Result<Ending> {
    let db = Database::find(settings)?.pool(Role::Worker, 1).await?;
    let customer = customer::choose(&db, customer.as_deref()).await?;
    let Some(sequence) = customer::sequence(&db, &customer, name).await? else {
        return Ok(Ending::NothingMatched);
    };
    let document = definition_store::find(&db, sequence.definition_id).await?;
    out::text(document.context("the sequence's document is gone")?.source);
    Ok(Ending::Done)
}

/// Makes a definition a customer's active sequence.
pub(crate) async fn keep(
    db: &PgPool,
    customer_id: Uuid,
    definition: &Definition,
    source: &str,
) -> Result<Sequence> {
    let mut tx = db.begin().await?;
    let kept = sequence::keep(&mut tx, customer_id, definition, source, Existing::Update).await?;
    let active = sequence::activate(&mut *tx, customer_id, kept.id).await?;
    tx.commit().await?;
    match active {
        Some(active) => Ok(active),
        None => bail!("the sequence `{}` is gone", kept.name),
    }
}
