//! `salesos migrate`: brings the schema up to date, or says what is applied.

use anyhow::Result;
use sqlx::PgPool;

use crate::Ending;
use crate::database::{Database, MIGRATIONS, Role};
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
    for migration in MIGRATIONS.iter() {
        let state = if applied.contains(&migration.version) { "applied" } else { "pending" };
        println!("{state} {} {}", migration.version, migration.description);
    }
    Ok(Ending::Done)
}

async fn applied(pool: &PgPool) -> Result<Vec<i64>> {
    let known: bool = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null")
        .fetch_one(pool)
        .await?;
    if !known {
        return Ok(Vec::new());
    }
    Ok(sqlx::query_scalar("select version from _sqlx_migrations where success")
        .fetch_all(pool)
        .await?)
}
