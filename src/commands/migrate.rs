//! `salesos migrate`: brings the schema up to date, or says what is applied.

use anyhow::Result;

use crate::Ending;
use crate::database::{Database, MIGRATIONS, Role, applied};
use crate::out;
use crate::settings::Settings;

/// Its arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only say which migrations are applied.
    #[arg(long)]
    status: bool,
}

pub(crate) async fn run(args: Args, settings: Settings) -> Result<Ending> {
    let database = Database::find(&settings)?;
    let pool = database.pool(Role::Owner, 2).await?;
    if !args.status {
        database.migrate(&pool).await?;
    }
    let applied = applied(&pool).await?;
    for version in applied.iter().filter(|version| !MIGRATIONS.version_exists(**version)) {
        out::line(format_args!("applied {version} by a newer version of SalesOS"));
    }
    for migration in MIGRATIONS.iter() {
        let state = if applied.contains(&migration.version) { "applied" } else { "pending" };
        out::line(format_args!("{state} {} {}", migration.version, migration.description));
    }
    Ok(Ending::Done)
}
