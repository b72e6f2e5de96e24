//! The workers' processes, and what is done to them.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use tokio::process::{Child, ChildStdin, Command};

use crate::outside::uptime;
use crate::worker::Orders;

/// How many processes work.
pub(crate) const WORKERS: usize = 3;
/// How long a worker that is told to stop may take.
const STOPPED_WITHIN: Duration = Duration::from_secs(20);

/// A time in which a process stood still, by the machine's [`uptime`].
#[derive(Clone, Copy)]
pub(crate) struct Frozen {
    pub(crate) process: u32,
    pub(crate) from: f64,
    pub(crate) until: f64,
}

/// A worker's process. It ends when its standard input closes, and waiting for it would close that.
struct Hand {
    child: Child,
    _input: Option<ChildStdin>,
}

pub(crate) struct Crew {
    folder: PathBuf,
    group: i32,
    databases: Vec<u16>,
    outside: u16,
    /// The library that shifts a process's wall clock, where it is installed.
    faketime: Option<PathBuf>,
    /// By how many seconds the suite's own wall clock is moved.
    shift_seconds: i64,
    hands: Mutex<Vec<Option<Hand>>>,
    frozen: Mutex<Vec<Frozen>>,
}

impl Crew {
    /// Starts all, each with its own way to the database.
    pub(crate) fn start(folder: &Path, group: i32, databases: Vec<u16>, outside: u16) -> Self {
        let shift = crate::setting("SALESOS_CLOCK_SHIFT");
        let crew = Self {
            folder: folder.to_path_buf(),
            group,
            databases,
            outside,
            faketime: faketime(),
            shift_seconds: shift.map_or(0, |seconds| seconds.parse().expect("a number of seconds")),
            hands: Mutex::new((0..WORKERS).map(|_| None).collect()),
            frozen: Mutex::default(),
        };
        crew.fill_up();
        crew
    }

    /// Whether the workers' clocks can be moved.
    pub(crate) fn has_clocks(&self) -> bool {
        self.faketime.is_some()
    }

    /// Starts those that do not run.
    pub(crate) fn fill_up(&self) {
        for place in 0..WORKERS {
            let mut hands = self.hands.lock().unwrap();
            let ended = |hand: &mut Hand| hand.child.try_wait().unwrap().is_some();
            if hands[place].as_mut().is_none_or(ended) {
                hands[place] = Some(self.spawn(place));
            }
        }
    }

    fn spawn(&self, place: usize) -> Hand {
        let orders = Orders {
            name: format!("worker {place}"),
            database: self.databases[place],
            outside: self.outside,
        };
        let log = self.folder.join(format!("worker-{place}.log"));
        let log = OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("worker").arg(serde_json::to_string(&orders).unwrap());
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        command.process_group(self.group).kill_on_drop(true);
        // Steps panic on purpose, too often for a page of frames each.
        command.env("RUST_BACKTRACE", "0");
        if let Some(library) = &self.faketime {
            if !self.clock(place).exists() {
                self.set_clock(place, 0);
            }
            command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", self.clock(place));
            // Where the tests themselves run on another date, this would win over the file.
            command.env_remove("FAKETIME");
            command.env("FAKETIME_CACHE_DURATION", "1");
            // What a process waits for runs on; only the time of day is another.
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
        }
        let mut child = command.spawn().expect("a worker can be started");
        Hand { _input: child.stdin.take(), child }
    }

    fn clock(&self, place: usize) -> PathBuf {
        self.folder.join(format!("clock-{place}"))
    }

    /// Moves the wall clock of a worker, also while it runs: by how many seconds it is ahead of the suite's own.
    pub(crate) fn set_clock(&self, place: usize, ahead_seconds: i64) {
        let shift = self.shift_seconds + ahead_seconds;
        fs::write(self.clock(place), format!("{shift:+}")).unwrap();
    }

    /// Kills a worker where it stands.
    pub(crate) fn kill(&self, place: usize) {
        if let Some(hand) = &mut self.hands.lock().unwrap()[place] {
            hand.child.start_kill().unwrap();
        }
    }

    /// Lets a worker stand still for so long.
    pub(crate) async fn freeze(&self, place: usize, length: Duration) {
        let Some(process) = self.process(place) else { return };
        tell(process, "STOP");
        let from = uptime();
        tokio::time::sleep(length).await;
        let until = uptime();
        tell(process, "CONT");
        self.frozen.lock().unwrap().push(Frozen { process, from, until });
    }

    /// Tells a worker to stop in order.
    pub(crate) fn dismiss(&self, place: usize) {
        if let Some(process) = self.process(place) {
            tell(process, "TERM");
        }
    }

    fn process(&self, place: usize) -> Option<u32> {
        self.hands.lock().unwrap()[place].as_ref()?.child.id()
    }

    /// Tells all to stop in order, and waits until they have.
    pub(crate) async fn disband(&self) {
        for place in 0..WORKERS {
            self.dismiss(place);
        }
        let hands = std::mem::take(&mut *self.hands.lock().unwrap());
        for mut hand in hands.into_iter().flatten() {
            let ended = tokio::time::timeout(STOPPED_WITHIN, hand.child.wait()).await;
            let status = ended.expect("a worker stops when it is told to").unwrap();
            assert!(status.success(), "a worker does not stop in order: {status}");
        }
    }

    /// When processes stood still.
    pub(crate) fn frozen(&self) -> Vec<Frozen> {
        self.frozen.lock().unwrap().clone()
    }

    /// How often the workers' logs have a line with these words.
    pub(crate) fn said(&self, words: &str) -> usize {
        let log = |place| self.folder.join(format!("worker-{place}.log"));
        let text = |place| fs::read_to_string(log(place)).unwrap_or_default();
        (0..WORKERS).map(|place| text(place).matches(words).count()).sum()
    }
}

/// Sends a signal to one process, which is a child of ours and not waited for yet, so that the number is its own.
fn tell(process: u32, signal: &str) {
    let kill = format!("kill -{signal} {process}");
    let kill = std::process::Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status();
    // It may have been killed while it stood still.
    assert!(kill.is_ok(), "a shell can be started");
}

fn faketime() -> Option<PathBuf> {
    let found = fs::read_dir("/usr/lib").ok()?.flatten();
    let library = |folder: PathBuf| folder.join("faketime/libfaketimeMT.so.1");
    found.map(|entry| library(entry.path())).find(|library| library.is_file())
}
