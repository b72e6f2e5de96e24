//! `salesos workflows plan | apply | rollback | versions`: a sequence changes while people are in it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use crm::custom_field;
use crm::customer::Customer;
use crm::sequence::{self, ApplyError, Change};
use engine::change::{self, Map, Plan as Planned};
use engine::definition::{self, Definition, Destination};
use engine::definition_store::{self, Definitions, VersionRow};
use engine::id;
use serde::Serialize;
use sqlx::PgPool;

use super::plan_text;
use super::workflows::{read_for, source};
use crate::database::{Database, Role};
use crate::listing::{self, Listing};
use crate::out;
use crate::settings::Settings;
use crate::{Ending, customer, process};

/// What it is applied by in the record.
const ACTOR: &str = "cli";

/// What every plan takes.
#[derive(clap::Args)]
struct Wanted {
    /// For which customer (`cus_…`); the only one where there is one.
    #[arg(long)]
    customer: Option<String>,
    /// Where runs go that stand at a step, beyond what the file says: `bump=call`, `bump=exit`, `bump=stay`.
    #[arg(long = "map", value_name = "OLD=NEW")]
    maps: Vec<String>,
}

/// Of `plan`.
#[derive(clap::Args)]
pub(crate) struct Plan {
    /// A TOML or JSON file.
    file: PathBuf,
    #[command(flatten)]
    wanted: Wanted,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// Of `apply`.
#[derive(clap::Args)]
pub(crate) struct Apply {
    /// A TOML or JSON file.
    file: PathBuf,
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    given: Given,
}

/// What everything takes that changes something.
#[derive(clap::Args)]
struct Given {
    /// The plan that you have seen; refused where it would be another one by now.
    #[arg(long)]
    plan: Option<String>,
    /// Why, for whoever reads what was done.
    #[arg(long)]
    reason: Option<String>,
}

/// Of `rollback`.
#[derive(clap::Args)]
pub(crate) struct Rollback {
    /// The sequence's name.
    name: String,
    /// To which version; by default the one that was applied before.
    #[arg(long)]
    to: Option<i32>,
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    given: Given,
    /// Only says what it would do, and ends as `plan` does.
    #[arg(long)]
    dry_run: bool,
    /// JSON instead of text, with `--dry-run`.
    #[arg(long, requires = "dry_run")]
    json: bool,
}

/// Of `versions`.
#[derive(clap::Args)]
pub(crate) struct Versions {
    /// The sequence's name.
    name: String,
    /// For which customer (`cus_…`); the only one where there is one.
    #[arg(long)]
    customer: Option<String>,
    #[command(flatten)]
    listing: Listing,
}

/// A definition with what it is planned against.
struct Draft {
    db: PgPool,
    customer: Customer,
    definition: Definition,
    source: String,
    asked: Map,
    plan: Planned,
}

pub(crate) async fn plan(args: Plan, settings: &Settings) -> Result<Ending> {
    let Some(draft) = of_file(&args.file, args.wanted, settings).await? else {
        return Ok(Ending::Refused);
    };
    show(&draft.plan, args.json)
}

pub(crate) async fn apply(args: Apply, settings: &Settings) -> Result<Ending> {
    let Some(draft) = of_file(&args.file, args.wanted, settings).await? else {
        return Ok(Ending::Refused);
    };
    bring(&draft, &args.given).await
}

pub(crate) async fn rollback(args: Rollback, settings: &Settings) -> Result<Ending> {
    let db = Database::find(settings)?.pool(Role::Worker, 2).await?;
    let customer = customer::choose(&db, args.wanted.customer.as_deref()).await?;
    let Some(sequence) = customer::sequence(&db, &customer, &args.name).await? else {
        return Ok(Ending::NothingMatched);
    };
    let kept = definition_store::versions(&db, customer.id, &sequence.name).await?;
    let to = target(&kept, args.to)?;
    let found = definition_store::find(&db, to.id).await?;
    let document = found.context("the version's document is gone")?;
    let definitions = process::definitions(db.clone(), &settings.data_dir);
    let definition = definition::from_document(&document.document, definitions.registry())?;
    let read = (definition, document.source);
    let draft = draft(db, customer, read, &args.wanted.maps, definitions).await?;
    if args.dry_run { show(&draft.plan, args.json) } else { bring(&draft, &args.given).await }
}

/// The version to go back to.
fn target(kept: &[VersionRow], wanted: Option<i32>) -> Result<&VersionRow> {
    if let Some(wanted) = wanted {
        let found = kept.iter().find(|row| row.version == wanted);
        return found.with_context(|| {
            let numbers: Vec<String> = kept.iter().map(|row| row.version.to_string()).collect();
            format!("there is no version {wanted}; there are {}", numbers.join(", "))
        });
    }
    let before = kept.iter().filter(|row| !row.current).max_by_key(|row| row.applied);
    before.context("there is one version only, so there is none to go back to")
}

async fn of_file(file: &Path, wanted: Wanted, settings: &Settings) -> Result<Option<Draft>> {
    let db = Database::find(settings)?.pool(Role::Worker, 2).await?;
    let customer = customer::choose(&db, wanted.customer.as_deref()).await?;
    let definitions = process::definitions(db.clone(), &settings.data_dir);
    let text = source(file)?;
    let own = custom_field::of_texts(&db, customer.id).await?;
    let definition = match read_for(file, &text, definitions.registry(), own.as_ref()) {
        Ok(definition) => definition,
        Err(drawn) => {
            out::problem(&drawn);
            return Ok(None);
        }
    };
    let read = (definition, text);
    draft(db, customer, read, &wanted.maps, definitions).await.map(Some)
}

async fn draft(
    db: PgPool,
    customer: Customer,
    (definition, source): (Definition, String),
    maps: &[String],
    definitions: Definitions,
) -> Result<Draft> {
    let asked = maps.iter().map(|map| asked(map, &definition)).collect::<Result<Map>>()?;
    let plan =
        change::plan(&mut *db.acquire().await?, &definitions, customer.id, &definition, &asked)
            .await?;
    Ok(Draft { db, customer, definition, source, asked, plan })
}

fn asked(map: &str, definition: &Definition) -> Result<(String, Destination)> {
    let Some((was, is)) = map.split_once('=') else {
        bail!("`--map {map}` names no step to go to; write `--map {map}=STEP`");
    };
    let destination = Destination::read(is, &definition.steps).map_err(anyhow::Error::msg)?;
    Ok((was.to_owned(), destination))
}

fn show(plan: &Planned, json: bool) -> Result<Ending> {
    if json {
        out::line(serde_json::to_string_pretty(plan)?);
    } else {
        out::text(plan_text::of(plan));
    }
    Ok(match (plan.refused.is_empty(), plan.changes()) {
        (false, _) => Ending::Refused,
        (true, true) => Ending::Changes,
        (true, false) => Ending::Done,
    })
}

/// Applies what was planned.
async fn bring(draft: &Draft, given: &Given) -> Result<Ending> {
    let plan = &draft.plan;
    let mut tx = draft.db.begin().await?;
    let change = Change {
        plan,
        shown: given.plan.as_deref(),
        asked: &draft.asked,
        actor: ACTOR,
        reason: given.reason.as_deref(),
    };
    let read = (&draft.definition, draft.source.as_str());
    let applied = sequence::apply(&mut tx, draft.customer.id, read, change).await;
    let (kept, operation) = match applied {
        Ok(applied) => applied,
        Err(ApplyError::Order(error)) => {
            out::problem_text(plan_text::refused(plan));
            out::problem(format_args!("error: {error}"));
            return Ok(Ending::Refused);
        }
        Err(error @ (ApplyError::Sequence(_) | ApplyError::Database(_))) => {
            return Err(error.into());
        }
    };
    let active = sequence::activate(&mut *tx, draft.customer.id, kept.id).await?;
    tx.commit().await?;
    let kept = active.with_context(|| format!("the sequence `{}` is gone", kept.name))?;
    out::line(format_args!("{} version {} is {}", kept.name, kept.version, kept.status));
    if let Some(operation) = operation {
        let (moves, shown) = (plan.moves, id::show("op", operation));
        out::line(format_args!(
            "{moves} of its runs come over; watch it by `salesos operations show {shown}`"
        ));
    }
    if plan.stays > 0 {
        out::line(format_args!("{} keep the version that they follow", plan.stays));
    }
    Ok(Ending::Done)
}

/// A version as it is listed.
#[derive(Serialize)]
struct Row {
    version: i32,
    hash: String,
    current: bool,
    runs: i64,
    created_at: chrono::DateTime<chrono::Utc>,
}

pub(crate) async fn list(args: Versions, settings: &Settings) -> Result<Ending> {
    let db = Database::find(settings)?.pool(Role::Worker, 1).await?;
    let customer = customer::choose(&db, args.customer.as_deref()).await?;
    let Some(sequence) = customer::sequence(&db, &customer, &args.name).await? else {
        return Ok(Ending::NothingMatched);
    };
    let cells = |row: &Row| {
        vec![
            row.version.to_string(),
            row.hash.clone(),
            if row.current { "current".to_owned() } else { String::new() },
            row.runs.to_string(),
            row.created_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        ]
    };
    listing::show(&args.listing, &["version", "hash", "", "open runs", "kept"], cells, || async {
        let kept = definition_store::versions(&db, customer.id, &sequence.name).await?;
        Ok(kept.into_iter().map(row).collect())
    })
    .await
}

fn row(version: VersionRow) -> Row {
    Row {
        version: version.version,
        hash: definition::short_hash(&version.hash),
        current: version.current,
        runs: version.runs,
        created_at: version.created_at,
    }
}
