//! A data folder of a test's own. Whatever still runs on it ends with it, also when the test fails.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

/// How many folders with a Postgres on them there are at once, however many tests run.
static TURNS: Semaphore = Semaphore::const_new(2);
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// The repository's folder.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder in which commands run, with the data folder `data` in it.
pub(crate) struct Folder {
    root: PathBuf,
    /// The binary.
    program: PathBuf,
    /// The database that its commands are told, where it is not their own.
    database_url: Option<String>,
    /// The way past the pooler, where that URL is one's.
    direct_url: Option<String>,
    /// Held until the folder is gone.
    turn: Option<SemaphorePermit<'static>>,
}

impl Folder {
    /// One on which a `dev` will run; waits for its turn.
    pub(crate) async fn new() -> Self {
        let mut folder = Self::bare();
        folder.turn = Some(TURNS.acquire().await.unwrap());
        folder
    }

    /// One on which no Postgres will run.
    pub(crate) fn bare() -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("salesos-stories-{}-{number}", std::process::id());
        let root = std::env::temp_dir().join(name);
        fs::create_dir_all(&root).unwrap();
        let program = env!("CARGO_BIN_EXE_salesos").into();
        Self { root, program, database_url: None, direct_url: None, turn: None }
    }

    /// The same with another version's binary.
    pub(crate) fn with_program(mut self, program: PathBuf) -> Self {
        self.program = program;
        self
    }

    /// One whose commands work on the database and the mailboxes of another folder.
    pub(crate) fn beside(other: &Self, database_url: String) -> Self {
        let mut folder = Self::bare();
        folder.database_url = Some(database_url);
        fs::create_dir(folder.data()).unwrap();
        symlink(other.data().join("mail"), folder.data().join("mail")).unwrap();
        folder
    }

    /// The same, whose commands are told this database.
    pub(crate) fn with_database(mut self, url: String) -> Self {
        self.database_url = Some(url);
        self
    }

    /// The same, whose workers go past the pooler by this URL.
    pub(crate) fn with_direct_url(mut self, url: String) -> Self {
        self.direct_url = Some(url);
        self
    }

    pub(super) fn direct_url(&self) -> Option<&str> {
        self.direct_url.as_deref()
    }

    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    pub(super) fn database_url(&self) -> Option<&str> {
        self.database_url.as_deref()
    }

    /// Where commands run.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The data folder; the first `dev` makes it.
    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Writes a file beside the data folder.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.root.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// The folder of the cluster: below another one where we are root, as Postgres then runs as another user.
    pub(crate) fn cluster(&self) -> PathBuf {
        let below = self.data().join("cluster/postgres");
        if below.exists() { below } else { self.data().join("postgres") }
    }

    /// The process of the Postgres that runs on the folder, also after its `dev` was killed.
    pub(crate) fn postgres(&self) -> Option<u32> {
        let cluster = self.cluster();
        let file = fs::read_to_string(cluster.join("postmaster.pid")).ok()?;
        let process = file.lines().next()?.trim().parse().ok()?;
        // The number may be another process's by now.
        command_line(process).contains(cluster.to_str()?).then_some(process)
    }
}

/// The command line of a process; empty where there is none.
pub(crate) fn command_line(process: u32) -> String {
    let bytes = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Sends a signal to a process, such as `KILL`; one that is gone gets none.
pub(crate) fn signal(process: u32, name: &str) {
    // The shell has it built in, so that no package is needed for it.
    let line = format!("kill -{name} {process} 2>/dev/null");
    Command::new("sh").args(["-c", &line]).status().unwrap();
}

impl Drop for Folder {
    #[expect(clippy::disallowed_methods, reason = "a guard has nobody to wait for it")]
    fn drop(&mut self) {
        if let Some(process) = self.postgres() {
            // Postgres' quickest stop that leaves no process of its own behind.
            signal(process, "QUIT");
            for _ in 0..500 {
                if command_line(process).is_empty() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let _removed = fs::remove_dir_all(&self.root);
    }
}
