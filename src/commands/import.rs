//! `salesos import`: contacts from a CSV file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use crm::import::{self, Column, Counts, OnDuplicate, Options, RefusedRow, Target, Whole};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::database::{Database, Role};
use crate::out;
use crate::settings::Settings;
use crate::{Ending, customer};

/// How many refused rows are shown to a person.
const SHOWN: usize = 20;

/// Its arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The file, with a header line; one column holds email addresses.
    file: PathBuf,
    /// For which customer (`cus_…`); the only one where there is one.
    #[arg(long)]
    customer: Option<String>,
    /// Field that a column fills, such as `Work mail=email` or `Seats=custom.seats`; `Internal=` leaves the
    /// column out. Repeatable.
    #[arg(long, value_name = "HEADER=FIELD", value_parser = mapped)]
    map: Vec<(String, Option<String>)>,
    /// What becomes of a row whose contact is there.
    #[arg(long, value_name = "skip|update", default_value = "skip", value_parser = on_duplicate)]
    on_duplicate: OnDuplicate,
    /// Leave companies that have no account a name.
    #[arg(long)]
    no_accounts: bool,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
}

fn mapped(text: &str) -> Result<(String, Option<String>), String> {
    let (header, field) =
        text.rsplit_once('=').ok_or("write HEADER=FIELD, such as \"Work mail=email\"")?;
    Ok((header.to_owned(), Some(field.to_owned()).filter(|field| !field.is_empty())))
}

fn on_duplicate(text: &str) -> Result<OnDuplicate, String> {
    match text {
        "skip" => Ok(OnDuplicate::Skip),
        "update" => Ok(OnDuplicate::Update),
        _other => Err("write skip or update".into()),
    }
}

/// What an import did, as JSON.
#[derive(Serialize)]
pub(crate) struct Report {
    #[serde(flatten)]
    counts: Counts,
    /// How many rows say that their person gets no mail.
    unsubscribed: u64,
    columns: Vec<Filled>,
    refused: Vec<RefusedRow>,
}

/// A column and the field that it fills; `null` if it is left out.
#[derive(Serialize)]
struct Filled {
    header: String,
    field: Option<Target>,
}

pub(crate) async fn run(args: Args, settings: Settings) -> Result<Ending> {
    let db = Database::find(&settings)?.pool(Role::Worker, 2).await?;
    let customer = customer::choose(&db, args.customer.as_deref()).await?;
    let options = Options {
        mapping: args.map.into_iter().collect(),
        on_duplicate: args.on_duplicate,
        create_accounts: !args.no_accounts,
        ..usual(&args.file)
    };
    let done = import(&mut *db.acquire().await?, customer.id, &options, &args.file).await?;
    let report = report(&done);
    if args.json {
        out::line(serde_json::to_string_pretty(&report)?);
    } else {
        tell(&report);
    }
    Ok(Ending::Done)
}

/// How a file is imported where nothing else is said.
pub(crate) fn usual(file: &Path) -> Options {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
    Options {
        name: name.unwrap_or_else(|| "contacts.csv".into()),
        mapping: BTreeMap::new(),
        on_duplicate: OnDuplicate::Skip,
        create_accounts: true,
        actor: "cli".into(),
    }
}

/// Imports a file.
pub(crate) async fn import(
    db: &mut PgConnection,
    customer_id: Uuid,
    options: &Options,
    file: &Path,
) -> Result<Whole> {
    let bytes = std::fs::read(file).with_context(|| format!("can't read {}", file.display()))?;
    let done = import::whole(db, customer_id, options, &bytes).await;
    done.with_context(|| file.display().to_string())
}

/// What people read of it.
pub(crate) fn report(done: &Whole) -> Report {
    let filled =
        |column: &Column| Filled { header: column.header.clone(), field: column.target.clone() };
    Report {
        counts: done.counts,
        unsubscribed: done.unsubscribed,
        columns: done.columns.iter().map(filled).collect(),
        refused: done.refused.clone(),
    }
}

/// Tells a person what an import did.
pub(crate) fn tell(report: &Report) {
    let Counts {
        rows,
        created,
        updated,
        skipped,
        duplicate,
        invalid_email,
        missing_email,
        invalid,
    } = report.counts;
    out::line(format_args!(
        "{rows} rows: {created} new contacts, {} known; refused: {duplicate} duplicate, {invalid_email} invalid_email, \
         {missing_email} missing_email, {invalid} invalid",
        updated + skipped,
    ));
    if report.unsubscribed > 0 {
        out::line(format_args!("people who get no mail: {}", report.unsubscribed));
    }
    let left_out = report.columns.iter().filter(|column| column.field.is_none());
    let left_out: Vec<String> = left_out
        .filter(|column| !column.header.is_empty())
        .map(|column| format!("`{}`", column.header))
        .collect();
    if !left_out.is_empty() {
        out::line(format_args!(
            "columns left out: {}; fill a field with one by --map HEADER=FIELD",
            left_out.join(", ")
        ));
    }
    for row in report.refused.iter().take(SHOWN) {
        out::line(format_args!("  line {}: {} {}", row.line, row.reason.word(), row.value));
    }
    if report.refused.len() > SHOWN {
        out::line(format_args!("  … {} more; --json lists all", report.refused.len() - SHOWN));
    }
}
