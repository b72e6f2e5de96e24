//! Which database a command works on, and as whom it connects.

use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::settings::Settings;

/// All migrations, in the binary.
pub(crate) static MIGRATIONS: Migrator = sqlx::migrate!();

/// What a running `dev` tells other commands.
#[derive(Serialize, Deserialize)]
pub(crate) struct Running {
    /// The owner's URL of its database.
    pub(crate) database_url: String,
    /// Where its API answers.
    pub(crate) api_url: String,
    /// Its process.
    pub(crate) process: u32,
}

impl Running {
    const FILE: &str = "dev.json";

    /// What the `dev` of a data folder tells, where one runs.
    pub(crate) fn find(data_dir: &Path) -> Option<Self> {
        let running: Self =
            serde_json::from_str(&fs::read_to_string(data_dir.join(Self::FILE)).ok()?).ok()?;
        // A killed `dev` leaves the file; its lock went with it.
        let lock = fs::File::open(data_dir.join("dev.lock")).ok()?;
        lock.try_lock().is_err().then_some(running)
    }

    /// Tells it.
    pub(crate) fn tell(&self, data_dir: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        crate::postgres::write_secret(&data_dir.join(Self::FILE), &text)
    }

    /// Tells no more.
    pub(crate) fn forget(data_dir: &Path) {
        let _gone = fs::remove_file(data_dir.join(Self::FILE));
    }
}

/// As whom to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Who owns everything; commands of operators.
    Owner,
    /// The API, under row-level security.
    Api,
    /// The workers, who see all customers.
    Worker,
}

/// A database.
#[derive(Clone)]
pub(crate) struct Database {
    options: PgConnectOptions,
    url: String,
}

impl Database {
    /// The one that the settings name, else that of the running `dev`.
    pub(crate) fn find(settings: &Settings) -> Result<Self> {
        if let Some(url) = &settings.database_url {
            return Self::at(url);
        }
        match Running::find(&settings.data_dir) {
            Some(running) => Self::at(&running.database_url),
            None => bail!(
                "no `salesos dev` runs on {}; start it, or set DATABASE_URL",
                settings.data_dir.display()
            ),
        }
    }

    /// The one of a URL.
    pub(crate) fn at(url: &str) -> Result<Self> {
        let options = PgConnectOptions::from_str(url).map_err(|_| {
            anyhow!(
                "DATABASE_URL is no Postgres URL; write postgres://user:password@host:5432/name"
            )
        })?;
        Ok(Self { options, url: url.into() })
    }

    /// Its URL, with the password.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// How to connect in a role.
    pub(crate) fn options(&self, role: Role) -> PgConnectOptions {
        match role {
            Role::Owner => self.options.clone(),
            Role::Api => self.serving("salesos_api"),
            Role::Worker => self.serving("salesos_worker"),
        }
    }

    /// A process that stands still in a transaction lets go of what it has locked after a minute.
    fn serving(&self, role: &str) -> PgConnectOptions {
        let patience = ("idle_in_transaction_session_timeout", "1min");
        self.options.clone().options([("role", role), patience])
    }

    /// Connections in a role.
    pub(crate) async fn pool(&self, role: Role, connections: u32) -> Result<PgPool> {
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(Duration::from_secs(10))
            .connect_with(self.options(role))
            .await
            .map_err(|error| self.unreachable(error))?;
        Ok(pool)
    }

    fn unreachable(&self, error: sqlx::Error) -> anyhow::Error {
        let (host, port) = (self.options.get_host(), self.options.get_port());
        if matches!(error, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut) {
            return anyhow!(
                "Postgres at {host}:{port} does not answer; is it running, and is DATABASE_URL right?"
            );
        }
        anyhow!(error).context(format!("Postgres at {host}:{port} refused"))
    }

    /// Refuses a server that is too old, before anything is done in it.
    pub(crate) async fn check_version(&self, pool: &PgPool) -> Result<()> {
        let version: String = sqlx::query_scalar("show server_version_num").fetch_one(pool).await?;
        let number: u32 = version.parse().context("the server's version can't be read")?;
        if number < 140_000 {
            bail!("Postgres {} is too old; 14 or newer is needed", number / 10_000);
        }
        Ok(())
    }

    /// Brings the schema up to date; two processes at once wait for each other.
    pub(crate) async fn migrate(&self, pool: &PgPool) -> Result<()> {
        self.check_version(pool).await?;
        MIGRATIONS.run(pool).await.context("the migrations could not be applied")?;
        Ok(())
    }
}
