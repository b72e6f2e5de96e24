//! Which database a command works on, and as whom it connects.

use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{Connection, PgConnection, PgPool};

use crate::postgres::OLDEST;
use crate::settings::{DatabaseSettings, Settings, Tls};

/// All migrations, in the binary. A database may have later ones, which a newer binary has brought.
pub(crate) static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrations = sqlx::migrate!();
    migrations.set_ignore_missing(true);
    migrations
});

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
    /// To the database itself.
    options: PgConnectOptions,
    url: String,
    /// To the transaction pooler through which the API goes, where there is one.
    pooler: Option<PgConnectOptions>,
}

impl Database {
    /// The one that the settings name, else that of the running `dev`.
    pub(crate) fn find(settings: &Settings) -> Result<Self> {
        if let Some(named) = &settings.database {
            return Self::at(named);
        }
        match Running::find(&settings.data_dir) {
            Some(running) => Self::at(&DatabaseSettings::of_url(&running.database_url)),
            None => bail!(
                "no `salesos dev` runs on {}; start it, or set DATABASE_URL",
                settings.data_dir.display()
            ),
        }
    }

    /// The one that is named.
    pub(crate) fn at(named: &DatabaseSettings) -> Result<Self> {
        let read = |setting, url| options(setting, url).map(|options| guarded(options, &named.tls));
        let at_url = read("DATABASE_URL", &named.url)?;
        let Some(direct) = &named.direct_url else {
            return Ok(Self { options: at_url, url: named.url.clone(), pooler: None });
        };
        let options = read("DATABASE_DIRECT_URL", direct)?;
        Ok(Self { options, url: direct.clone(), pooler: Some(at_url) })
    }

    /// Its own URL, past a pooler, with the password.
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
        // A pool goes on trying where nobody listens; a person who misspelled the port waits in vain.
        let first = PgConnection::connect_with(&self.options(role)).await;
        first.map_err(|error| self.unreachable(error))?.close().await?;
        let pool = pool_of(connections)
            .connect_with(self.options(role))
            .await
            .map_err(|error| self.unreachable(error))?;
        Ok(pool)
    }

    /// Connections in a role that are opened once somebody uses them.
    pub(crate) fn unopened(&self, role: Role) -> PgPool {
        PgPoolOptions::new().max_connections(1).connect_lazy_with(self.options(role))
    }

    /// The connections of the API: through the pooler, where there is one.
    pub(crate) async fn serving_pool(&self, connections: u32) -> Result<api::Pool> {
        let Some(pooler) = &self.pooler else {
            return Ok(api::Pool::direct(self.pool(Role::Api, connections).await?));
        };
        // A pooler refuses start-up options that it does not know.
        let pooler = pooler.clone().extra_float_digits(None::<i8>);
        let knows = knows_statements(&pooler).await.map_err(|error| unreachable(&pooler, error))?;
        let kept = if knows { STATEMENTS } else { 0 };
        let pool = pool_of(connections)
            .connect_with(pooler.clone().statement_cache_capacity(kept))
            .await
            .map_err(|error| unreachable(&pooler, error))?;
        Ok(if knows { api::Pool::pooled(pool) } else { api::Pool::pooled_forgetting(pool) })
    }

    fn unreachable(&self, error: sqlx::Error) -> anyhow::Error {
        unreachable(&self.options, error)
    }

    /// Refuses a server that is too old, before anything is done in it.
    pub(crate) async fn check_version(&self, pool: &PgPool) -> Result<()> {
        let version: String = sqlx::query_scalar("show server_version_num").fetch_one(pool).await?;
        refuse_old(version.parse().context("the server's version can't be read")?)
    }

    /// Refuses a database that lacks migrations of this binary: who only serves it does not change it.
    pub(crate) async fn check_migrated(&self) -> Result<()> {
        let owner = self.pool(Role::Owner, 1).await?;
        self.check_version(&owner).await?;
        let applied = applied(&owner).await?;
        owner.close().await;
        let lacks = |version: &i64| !applied.contains(version);
        match MIGRATIONS.iter().filter(|migration| lacks(&migration.version)).count() {
            0 => Ok(()),
            pending => bail!("migrations are not applied ({pending}); run `salesos migrate` first"),
        }
    }

    /// Brings the schema up to date; two processes at once wait for each other.
    pub(crate) async fn migrate(&self, pool: &PgPool) -> Result<()> {
        self.check_version(pool).await?;
        MIGRATIONS.run(pool).await.context("the migrations could not be applied")?;
        let worker = self.pool(Role::Worker, 1).await?;
        let respelled = crm::respelling::run(&mut *worker.acquire().await?).await;
        worker.close().await;
        respelled.context("addresses could not be brought into their present spelling")?;
        Ok(())
    }
}

/// How long ago a connection may have been laid back, which tests it, to be taken without another test: a walk to the
/// server less for each transaction of a busy process.
const TESTED_WITHIN: Duration = Duration::from_secs(1);

/// Pools of so many connections.
fn pool_of(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(10))
        .test_before_acquire(false)
        .before_acquire(|connection, lay| {
            let fresh = lay.idle_for <= TESTED_WITHIN;
            Box::pin(async move { Ok(fresh || connection.ping().await.is_ok()) })
        })
}

/// How many statements a connection keeps prepared.
const STATEMENTS: usize = 100;

/// Whether a pooler knows each client's prepared statements, as PgBouncer does from 1.21 on where its
/// `max_prepared_statements` is not 0: then the server knows a statement by the pooler's name, else by the client's.
async fn knows_statements(pooler: &PgConnectOptions) -> Result<bool, sqlx::Error> {
    let mut db = PgConnection::connect_with(pooler).await?;
    let mut tx = db.begin().await?;
    let own =
        "select name from pg_prepared_statements where statement like '%the statement that asks%'";
    let name: Option<String> = sqlx::query_scalar(own).fetch_optional(&mut *tx).await?;
    tx.rollback().await?;
    db.close().await?;
    Ok(name.is_some_and(|name| !name.starts_with("sqlx_s_")))
}

/// How to connect to what a setting names.
fn options(setting: &str, url: &str) -> Result<PgConnectOptions> {
    let ours = url.starts_with("postgres://") || url.starts_with("postgresql://");
    match PgConnectOptions::from_str(url) {
        Ok(options) if ours => Ok(options),
        Ok(_) | Err(_) => {
            bail!("{setting} is no Postgres URL; write postgres://user:password@host:5432/name")
        }
    }
}

fn guarded(options: PgConnectOptions, tls: &Tls) -> PgConnectOptions {
    match tls {
        Tls::AsUrl => options,
        Tls::Unverified => options.ssl_mode(PgSslMode::Require),
        Tls::Verified { authority: None } => options.ssl_mode(PgSslMode::VerifyFull),
        Tls::Verified { authority: Some(file) } => {
            options.ssl_mode(PgSslMode::VerifyFull).ssl_root_cert(file)
        }
    }
}

/// What to try where a connection fails.
fn unreachable(to: &PgConnectOptions, error: sqlx::Error) -> anyhow::Error {
    let (host, port) = (to.get_host(), to.get_port());
    if matches!(error, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut) {
        return anyhow!(
            "Postgres at {host}:{port} does not answer; is it running, and is DATABASE_URL right?"
        );
    }
    let advice = if matches!(error, sqlx::Error::Tls(_)) {
        "can't be spoken to by TLS as DATABASE_SSL asks; look at its certificate, or name the authority by DATABASE_SSL_CA"
    } else {
        "refused"
    };
    anyhow!(error).context(format!("Postgres at {host}:{port} {advice}"))
}

/// The versions of the migrations that a database has, in their order.
pub(crate) async fn applied(pool: &PgPool) -> Result<Vec<i64>> {
    let known: bool = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null")
        .fetch_one(pool)
        .await?;
    if !known {
        return Ok(Vec::new());
    }
    let versions = "select version from _sqlx_migrations where success order by version";
    Ok(sqlx::query_scalar(versions).fetch_all(pool).await?)
}

/// Refuses a server by its number, such as 150018.
fn refuse_old(number: u32) -> Result<()> {
    if number < OLDEST * 10_000 {
        bail!("Postgres {} is too old; {OLDEST} or newer is needed", number / 10_000);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_before_fourteen_is_refused_with_its_version() {
        let refused = refuse_old(130_022).expect_err("it is too old").to_string();
        assert_eq!(refused, "Postgres 13 is too old; 14 or newer is needed");
        for number in [140_000, 150_018, 180_000] {
            assert!(refuse_old(number).is_ok(), "{number}");
        }
    }
}
