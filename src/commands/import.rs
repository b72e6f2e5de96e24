//! `salesos import`: contacts from a CSV file.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use crm::contact::{self, ImportReport};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::database::{Database, Role};
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
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, settings: Settings) -> Result<Ending> {
    let db = Database::find(&settings)?.pool(Role::Worker, 2).await?;
    let customer = customer::choose(&db, args.customer.as_deref()).await?;
    let report = import(&mut *db.acquire().await?, customer.id, &args.file).await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        tell(&report);
    }
    Ok(Ending::Done)
}

/// Imports a file.
pub(crate) async fn import(
    db: &mut PgConnection,
    customer_id: Uuid,
    file: &Path,
) -> Result<ImportReport> {
    let bytes = std::fs::read(file).with_context(|| format!("can't read {}", file.display()))?;
    let report = contact::import(db, customer_id, &bytes).await;
    report.with_context(|| file.display().to_string())
}

/// Tells a person what an import did.
pub(crate) fn tell(report: &ImportReport) {
    println!(
        "{} rows: {} new contacts, {} known; refused: {} duplicate, {} invalid_email, {} missing_email",
        report.rows,
        report.created,
        report.existing,
        report.duplicate,
        report.invalid_email,
        report.missing_email,
    );
    for row in report.refused.iter().take(SHOWN) {
        let reason = match row.reason {
            contact::RowReason::Duplicate => "duplicate",
            contact::RowReason::InvalidEmail => "invalid_email",
            contact::RowReason::MissingEmail => "missing_email",
        };
        println!("  line {}: {reason} {}", row.line, row.value);
    }
    if report.refused.len() > SHOWN {
        println!("  … {} more; --json lists all", report.refused.len() - SHOWN);
    }
}
