//! A Postgres of the suite's own, with all its durability, that can be crashed and started again. Its tables
//! and its WAL lie on two small disks.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::Mutex;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use tokio::time::Instant;

use crate::disk::Disk;

const DATABASE: &str = "chaos";
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Small files of WAL, so that a full disk is met soon; commit timestamps, by which the suite tells what was
/// first.
const SETTINGS: [&str; 13] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=150",
    "shared_buffers=128MB",
    "fsync=on",
    "synchronous_commit=on",
    "track_commit_timestamp=on",
    "min_wal_size=8MB",
    "max_wal_size=128MB",
    "checkpoint_timeout=30s",
    "autovacuum_naptime=5s",
    "log_min_messages=warning",
    "log_min_error_statement=warning",
];

/// As whom Postgres runs; it refuses to be root.
#[derive(Clone, Copy)]
pub(crate) enum User {
    Ourselves,
    Other { uid: u32, gid: u32 },
}

pub(crate) struct Cluster {
    programs: PathBuf,
    folder: PathBuf,
    user: User,
    pub(crate) port: u16,
    pub(crate) wal: Disk,
    pub(crate) tables: Disk,
    server: Mutex<Option<Child>>,
}

impl Cluster {
    /// Makes one in a folder, starts it, and gives it a database with all migrations.
    pub(crate) async fn make(folder: &Path) -> Self {
        let user = user();
        let cluster = Self {
            programs: programs(),
            folder: folder.to_path_buf(),
            user,
            port: free_port(),
            wal: Disk::make(folder.join("wal"), user),
            tables: Disk::make(folder.join("tables"), user),
            server: Mutex::default(),
        };
        cluster.initialise();
        cluster.start().await;
        cluster.make_database().await;
        cluster
    }

    fn initialise(&self) {
        let data = self.folder.join("data");
        fs::create_dir(&data).unwrap();
        if let User::Other { uid, gid } = self.user {
            chown(&data, Some(uid), Some(gid)).unwrap();
        }
        let mut initdb = self.command("initdb");
        initdb.arg("-D").arg(&data).arg("-X").arg(self.wal.folder());
        initdb.args(["--wal-segsize=4", "-U", "postgres", "-A", "trust", "-E", "UTF8"]);
        let output = initdb.arg("--locale=C.UTF-8").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    async fn make_database(&self) {
        let mut admin = PgConnection::connect_with(&self.options("postgres")).await.unwrap();
        let place = self.tables.folder().display();
        let space = format!("create tablespace small location '{place}'");
        admin.execute(AssertSqlSafe(space)).await.unwrap();
        let make = format!("create database {DATABASE} tablespace small");
        admin.execute(AssertSqlSafe(make)).await.unwrap();
        let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
        let migrator = Migrator::new(migrations).await.unwrap();
        migrator.run(&self.pool(2).await).await.unwrap();
    }

    fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::from_str(&url(self.port, database)).unwrap()
    }

    /// Connections that no fault of the proxy meets.
    pub(crate) async fn pool(&self, connections: u32) -> PgPool {
        pool(self.options(DATABASE), connections)
    }

    /// Crashes it: nothing is written any more, everything has to be found in the WAL.
    pub(crate) fn crash(&self) {
        let mut stop = self.command("pg_ctl");
        stop.arg("-D").arg(self.folder.join("data")).args(["-m", "immediate", "-w", "stop"]);
        let _stopped = stop.stdout(Stdio::null()).stderr(Stdio::null()).status();
        if let Some(mut server) = self.server.lock().unwrap().take() {
            let _ended = server.wait();
        }
    }

    /// Starts it where it does not run, and waits until it answers.
    pub(crate) async fn start(&self) {
        let began = Instant::now();
        loop {
            if self.ended() {
                let server = self.spawn();
                *self.server.lock().unwrap() = Some(server);
            }
            let Ok(connection) = PgConnection::connect_with(&self.options("postgres")).await else {
                assert!(began.elapsed() < READY_WITHIN, "Postgres did not come back");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let _closed = connection.close().await;
            return;
        }
    }

    fn ended(&self) -> bool {
        let mut server = self.server.lock().unwrap();
        server.as_mut().is_none_or(|server| server.try_wait().unwrap().is_some())
    }

    fn spawn(&self) -> Child {
        let log =
            OpenOptions::new().create(true).append(true).open(self.folder.join("postgres.log"));
        let log = log.unwrap();
        let mut postgres = self.command("postgres");
        postgres.arg("-D").arg(self.folder.join("data")).arg("-p").arg(self.port.to_string());
        for setting in SETTINGS {
            postgres.arg("-c").arg(setting);
        }
        postgres.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        postgres.spawn().expect("Postgres can be started")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.process_group(0).current_dir("/").env("LC_ALL", "C.UTF-8");
        // On another date the workers alone live there. libfaketime forgets the date in a process that is interrupted by
        // signals, as the ones here are all the time; Postgres' clock then goes back by years, and with it goes the alarm
        // that resolves its deadlocks.
        command.env_remove("LD_PRELOAD");
        if let User::Other { uid, gid } = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }
}

/// The address of the suite's database behind a port, which may be a proxy's.
pub(crate) fn address(port: u16) -> String {
    url(port, DATABASE)
}

fn url(port: u16, database: &str) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/{database}")
}

/// Connections that are made once they are needed, and given up soon where none can be had.
pub(crate) fn pool(options: PgConnectOptions, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(5))
        .connect_lazy_with(options)
}

fn programs() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/postgres-bin");
    let said = Command::new(script).output().expect("scripts/postgres-bin can be run");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap().trim().into()
}

fn user() -> User {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return User::Ourselves;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let found = users.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let ["postgres", _, uid, gid, ..] = fields.as_slice() else { return None };
        Some(User::Other { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
    });
    found.expect("Postgres refuses to run as root, and there is no user `postgres`")
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}
