//! A database per test: a copy of a template that holds all migrations, made once per set of migrations.
//!
//! Shared by the integration tests of every crate through `#[path]`. Reads `TEST_DATABASE_URL`.

use std::path::Path;
use std::str::FromStr;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};

/// All migrations, from the folder beside this crate or in it.
async fn migrator() -> Migrator {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let beside = here.join("../migrations");
    let folder = if beside.is_dir() { beside } else { here.join("migrations") };
    Migrator::new(folder).await.expect("the migrations can be read")
}

/// A database of a test's own, dropped with it.
pub(crate) struct TestDatabase {
    /// Connections of its owner.
    pub(crate) pool: PgPool,
    /// How else to connect.
    pub(crate) options: PgConnectOptions,
    name: String,
    server: PgConnectOptions,
}

/// The server's options.
///
/// # Panics
/// Without `TEST_DATABASE_URL`; it says what to do.
#[expect(clippy::disallowed_methods, reason = "it is a setting of the tests alone")]
fn server() -> PgConnectOptions {
    let url = std::env::var("TEST_DATABASE_URL")
        .expect("no TEST_DATABASE_URL: run make test, or eval \"$(scripts/test-postgres)\" first");
    PgConnectOptions::from_str(&url).expect("TEST_DATABASE_URL is a Postgres URL")
}

/// Makes a database with all migrations applied.
pub(crate) async fn database() -> TestDatabase {
    let server = server();
    let mut admin = PgConnection::connect_with(&server).await.expect("the test Postgres answers");
    let template = template(&mut admin, &server).await;
    let name = format!("test_{}", uuid::Uuid::now_v7().simple());
    let copy = format!("create database {name} template {template} strategy wal_log");
    admin.execute(AssertSqlSafe(copy)).await.expect("a template can be copied");
    let options = server.clone().database(&name);
    let pool = PgPoolOptions::new()
        .max_connections(10)
        .connect_with(options.clone())
        .await
        .expect("a copied database answers");
    TestDatabase { pool, options, name, server }
}

/// The template's name; the first test that asks makes it, the others wait for the lock.
async fn template(admin: &mut PgConnection, server: &PgConnectOptions) -> String {
    let migrator = migrator().await;
    let mut key = 0_u64;
    for migration in migrator.iter() {
        for byte in migration.checksum.iter() {
            key = key.wrapping_mul(31).wrapping_add(u64::from(*byte));
        }
    }
    let name = format!("template_{key:016x}");
    admin.execute("select pg_advisory_lock(7305)").await.expect("a lock can be waited for");
    let there: bool =
        sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
            .bind(&name)
            .fetch_one(&mut *admin)
            .await
            .expect("databases can be listed");
    if !there {
        let making = format!("{name}_making");
        let drop = format!("drop database if exists {making} with (force)");
        admin.execute(AssertSqlSafe(drop)).await.expect("half a template can be dropped");
        let create = format!("create database {making}");
        admin.execute(AssertSqlSafe(create)).await.expect("a database can be made");
        let mut fresh = PgConnection::connect_with(&server.clone().database(&making))
            .await
            .expect("a new database answers");
        migrator.run_direct(None, &mut fresh, false).await.expect("the migrations apply");
        fresh.close().await.expect("a connection closes");
        let rename = format!("alter database {making} rename to {name}");
        admin.execute(AssertSqlSafe(rename)).await.expect("a template can be renamed");
    }
    admin.execute("select pg_advisory_unlock(7305)").await.expect("a held lock can be freed");
    name
}

impl TestDatabase {
    /// Checks that the history of every run adds up to its state, and drops the database; called at the end of a
    /// test that passed, so that a failed one can be looked at.
    pub(crate) async fn drop(self) {
        self.check_histories().await;
        self.pool.close().await;
        let mut admin =
            PgConnection::connect_with(&self.server).await.expect("the test Postgres answers");
        let drop = format!("drop database if exists {} with (force)", self.name);
        admin.execute(AssertSqlSafe(drop)).await.expect("a test's database can be dropped");
    }

    /// Each history has no gap, tells at most one end, and comes to the state that its run's row says.
    async fn check_histories(&self) {
        let wrong: Vec<(uuid::Uuid, String, Option<Vec<String>>)> = sqlx::query_as(
            "select id, state, kinds from (
               select r.id, r.state, r.seq, r.ended_at, h.numbers, h.kinds, h.ends, case
                   when h.last in ('run.started', 'run.resumed', 'run.retried', 'run.replanned') then 'live'
                   when h.last in ('run.skipped', 'run.jumped', 'run.undoing') then
                     case when r.state = 'paused' then 'paused' else 'live' end
                   else substr(h.last, 5) end as adds_up_to
               from engine.runs r left join lateral (
                 select array_agg(seq order by seq) as numbers, array_agg(kind order by seq) as kinds,
                   count(*) filter (where kind in ('run.completed', 'run.exited', 'run.cancelled')) as ends,
                   (array_agg(kind order by seq desc) filter (where kind like 'run.%' and kind <> 'run.migrated'))[1] as last
                 from engine.history where run_id = r.id) h on true) a
             where numbers is distinct from array(select generate_series(0, seq))
               or ends <> (ended_at is not null)::int or adds_up_to is distinct from state",
        )
        .fetch_all(&self.pool)
        .await
        .expect("histories can be read");
        assert!(wrong.is_empty(), "runs whose history does not add up to their state: {wrong:#?}");
    }
}
