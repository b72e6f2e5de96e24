//! `salesos db`: psql on the database, or its URL.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Result, anyhow};

use crate::Ending;
use crate::database::Database;
use crate::out;
use crate::settings::Settings;

/// Its arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only print the URL, with the password.
    #[arg(long)]
    print_url: bool,
    /// What psql gets, as in `salesos db -- -c 'select 1'`.
    #[arg(last = true)]
    psql: Vec<String>,
}

pub(crate) async fn run(args: Args, settings: Settings) -> Result<Ending> {
    let database = Database::find(&settings)?;
    if args.print_url {
        out::line(database.url());
        return Ok(Ending::Done);
    }
    // Becomes psql; comes back only where that failed.
    let error = Command::new("psql").arg(database.url()).args(args.psql).exec();
    Err(anyhow!("psql can't be started ({error}); install the package postgresql-client"))
}
