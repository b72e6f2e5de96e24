//! A cluster of our own: made once, started on a free port, taken over where a killed `dev` left it
//! running, started again where it died, stopped at the end.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use ring::rand::{SecureRandom, SystemRandom};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor, PgConnection};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::Programs;
use super::locate::{newest, of_version};
use super::place::{Place, unusable};

const DATABASE: &str = "salesos";
const READY_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often a running cluster is looked at.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// A running cluster. The lock on its folder goes with it.
pub(crate) struct Cluster {
    programs: Programs,
    place: Place,
    log: PathBuf,
    password: String,
    port: u16,
    child: Mutex<Option<Child>>,
    _lock: File,
}

impl Cluster {
    /// Starts the cluster of a data folder, and makes it where there is none.
    pub(crate) async fn start(data_dir: &Path) -> Result<Arc<Self>> {
        fs::create_dir_all(data_dir).with_context(|| unusable(data_dir))?;
        let data_dir = data_dir.canonicalize()?;
        let lock = lock(&data_dir)?;
        let place = Place::of(&data_dir)?;
        let folder = place.base.join("postgres");
        let programs = match fs::read_to_string(folder.join("PG_VERSION")) {
            Ok(version) => of_version(&version, &data_dir)?,
            Err(_) => newest()?,
        };
        let password = password(&data_dir, &folder)?;
        if !folder.exists() {
            make(&programs, &place, &password)?;
        }
        let log = place.base.join("postgres.log");
        let (port, child) = match running(&folder, &password).await {
            Some(port) => (port, None),
            None => {
                let port = free_port()?;
                (port, Some(spawn(&programs, &place, &log, port)?))
            }
        };
        let child = Mutex::new(child);
        let cluster = Arc::new(Self { programs, place, log, password, port, child, _lock: lock });
        cluster.ready().await?;
        cluster.ensure_database().await?;
        Ok(cluster)
    }

    /// The owner's URL.
    pub(crate) fn url(&self) -> String {
        self.url_of(DATABASE)
    }

    /// By the socket, which costs less than the port, where there is one; a server that an older version left running
    /// has none.
    fn url_of(&self, database: &str) -> String {
        let (password, port) = (&self.password, self.port);
        let url = format!("postgres://salesos:{password}@127.0.0.1:{port}/{database}");
        match self.place.sockets() {
            Some(folder) if Path::new(folder).join(format!(".s.PGSQL.{port}")).exists() => {
                format!("{url}?host={folder}")
            }
            Some(_) | None => url,
        }
    }

    async fn connect(&self, database: &str) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect_with(&PgConnectOptions::from_str(&self.url_of(database))?).await
    }

    /// Waits until it answers.
    async fn ready(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            let failed = match self.connect("postgres").await {
                Ok(connection) => return Ok(connection.close().await?),
                Err(error) => error,
            };
            let ended = match &mut *self.child.lock().await {
                Some(child) => child.try_wait()?,
                None => None,
            };
            if ended.is_some() {
                // After a kill, the old server's last processes may hold its memory for a moment.
                let busy = self.last_words().contains("still in use");
                if !busy || began.elapsed() > READY_WITHIN {
                    bail!(
                        "Postgres did not start: {} (its log: {})",
                        self.last_words(),
                        self.log.display()
                    );
                }
                let child = spawn(&self.programs, &self.place, &self.log, self.port)?;
                *self.child.lock().await = Some(child);
            }
            if began.elapsed() > READY_WITHIN {
                return Err(
                    anyhow!(failed).context("Postgres did not become ready within a minute")
                );
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The last line of the log that says what is wrong.
    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let told = log.lines().rev().find(|line| line.contains("FATAL") || line.contains("ERROR"));
        told.or_else(|| log.lines().next_back()).unwrap_or("it said nothing").to_owned()
    }

    async fn ensure_database(&self) -> Result<()> {
        let mut admin = self.connect("postgres").await?;
        let there: bool =
            sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
                .bind(DATABASE)
                .fetch_one(&mut admin)
                .await?;
        if !there {
            admin.execute("create database salesos encoding 'UTF8' template template0").await?;
        }
        Ok(admin.close().await?)
    }

    /// Starts the server again when it dies, until told to stop.
    pub(crate) async fn watch(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(WATCH_EVERY)).await.is_some() {
            let mut child = self.child.lock().await;
            let ended = child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(Some(_))));
            let adopted_died = child.is_none()
                && tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err();
            if !(ended || adopted_died) {
                continue;
            }
            tracing::warn!("Postgres ended; it is started again");
            match spawn(&self.programs, &self.place, &self.log, self.port) {
                Ok(started) => *child = Some(started),
                Err(error) => tracing::error!(%error, "Postgres could not be started again"),
            }
        }
    }

    /// Stops the server: open transactions are rolled back, the data are written. Where a slow disk makes that long, the
    /// next start brings them up from the log instead.
    pub(crate) async fn stop(&self) -> Result<()> {
        let stopped =
            self.ask_to_stop("fast", "2").await? || self.ask_to_stop("immediate", "10").await?;
        if let Some(child) = &mut *self.child.lock().await {
            let _ended = child.try_wait()?;
        }
        if stopped {
            Ok(())
        } else {
            bail!("Postgres did not stop; its log: {}", self.log.display())
        }
    }

    /// Whether the server has stopped within so many seconds.
    async fn ask_to_stop(&self, mode: &'static str, seconds: &'static str) -> Result<bool> {
        let mut command = self.place.command(self.programs.program("pg_ctl"));
        command.arg("-D").arg(self.place.base.join("postgres"));
        command.args(["-m", mode, "-t", seconds, "-w", "stop"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Ok(tokio::task::spawn_blocking(move || command.status()).await??.success())
    }
}

/// Takes the folder for this process.
fn lock(data_dir: &Path) -> Result<File> {
    let path = data_dir.join("dev.lock");
    let open = OpenOptions::new().create(true).truncate(false).write(true).read(true).open(&path);
    let mut file = open.with_context(|| unusable(data_dir))?;
    if file.try_lock().is_err() {
        let holder = fs::read_to_string(&path).unwrap_or_default();
        bail!(
            "another `salesos dev` (process {}) runs on {}; stop it, or take another --data-dir",
            holder.trim(),
            data_dir.display()
        );
    }
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())?;
    Ok(file)
}

/// The password of the cluster's owner, drawn once, before there is a cluster.
fn password(data_dir: &Path, cluster: &Path) -> Result<String> {
    let path = data_dir.join("postgres.password");
    if let Ok(password) = fs::read_to_string(&path) {
        return Ok(password.trim().to_owned());
    }
    if cluster.exists() {
        bail!(
            "{} is gone, and with it the way into {}; put it back, or remove that folder to begin anew",
            path.display(),
            cluster.display()
        );
    }
    let password = secret()?;
    write_secret(&path, &password)?;
    Ok(password)
}

/// Thirty-two hexadecimal digits that nobody can guess.
pub(crate) fn secret() -> Result<String> {
    let mut bytes = [0_u8; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| anyhow!("the system gives no random bytes"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Writes a file that only its owner reads.
pub(crate) fn write_secret(path: &Path, content: &str) -> Result<()> {
    let mut file =
        OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?;
    Ok(file.write_all(content.as_bytes())?)
}

/// Makes the cluster beside its place and moves it there whole: half a cluster is never found.
fn make(programs: &Programs, place: &Place, password: &str) -> Result<()> {
    let making = place.base.join("postgres.making");
    if making.exists() {
        fs::remove_dir_all(&making)?;
    }
    let file = place.base.join("password.making");
    write_secret(&file, password)?;
    place.hand_over(&file)?;
    let output = place
        .command(programs.program("initdb"))
        .arg("-D")
        .arg(&making)
        .arg("--pwfile")
        .arg(&file)
        .args(["-U", "salesos", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8"])
        .output()?;
    fs::remove_file(&file)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!("initdb failed: {}", said.lines().last().unwrap_or("it said nothing"));
    }
    Ok(fs::rename(making, place.base.join("postgres"))?)
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

/// The port of a server that runs on this cluster, as a killed `dev` leaves one. It is asked, not believed:
/// the process that the file names may be gone, or be another one by now.
async fn running(folder: &Path, password: &str) -> Option<u16> {
    let file = folder.join("postmaster.pid");
    let text = fs::read_to_string(&file).ok()?;
    let port: u16 = text.lines().nth(3)?.trim().parse().ok()?;
    let url = format!("postgres://salesos:{password}@127.0.0.1:{port}/postgres");
    let options = PgConnectOptions::from_str(&url).ok()?;
    for _ in 0..40 {
        if let Ok(connection) = PgConnection::connect_with(&options).await {
            connection.close().await.ok()?;
            return Some(port);
        }
        // A server that lives and does not answer yet is starting or ending; wait for what comes of it.
        let pid: u32 = text.lines().next()?.trim().parse().ok()?;
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if !String::from_utf8_lossy(&command).contains("postgres") {
            let _stale = fs::remove_file(&file);
            return None;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    None
}

fn spawn(programs: &Programs, place: &Place, log: &Path, port: u16) -> Result<Child> {
    let output = OpenOptions::new().create(true).append(true).open(log)?;
    let mut command = place.command(programs.program("postgres"));
    command.arg("-D").arg(place.base.join("postgres")).arg("-p").arg(port.to_string());
    let sockets = place.sockets().unwrap_or_default();
    command.arg("-c").arg(format!("unix_socket_directories={sockets}"));
    for setting in [
        "listen_addresses=127.0.0.1",
        "max_connections=100",
        "shared_buffers=256MB",
        "max_wal_size=4GB",
        "checkpoint_timeout=15min",
        "wal_compression=on",
        "wal_writer_delay=10ms",
        "autovacuum_naptime=10s",
        "log_min_messages=warning",
    ] {
        command.arg("-c").arg(setting);
    }
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    command.spawn().context("Postgres can't be started")
}
