//! A Kafka broker of a test's own, by `scripts/kafka`; it ends with its guard.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::folder::{command_line, signal};
use super::{Folder, repository, until};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// How long a start may take, with a machine that has other things to do.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// How long it may take to read all events.
const READ_WITHIN: Duration = Duration::from_secs(180);

/// A running broker.
pub(crate) struct Broker {
    folder: PathBuf,
    /// Where it answers.
    pub(crate) address: String,
}

#[expect(clippy::disallowed_methods, reason = "these are settings of the tests alone")]
fn is_set(name: &str) -> bool {
    std::env::var(name).is_ok_and(|text| !text.is_empty())
}

impl Broker {
    /// Starts one. Nothing where none can be had on this machine, which is said; in CI that fails.
    pub(crate) async fn start() -> Option<Self> {
        if !is_set("SALESOS_KAFKA") {
            assert!(!is_set("CI"), "there is no Kafka here; run the tests by make test");
            println!("skipped: there is no Kafka here; run the tests by make test");
            return None;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("salesos-kafka-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let address = script("start", &folder).await;
        Some(Self { folder, address })
    }

    /// Kills it, as a crash does.
    pub(crate) async fn kill(&self) {
        let process = fs::read_to_string(self.folder.join("pid")).unwrap().trim().parse().unwrap();
        signal(process, "KILL");
        until("the broker to be gone", READY_WITHIN, || async {
            command_line(process).is_empty().then_some(())
        })
        .await;
    }

    /// Starts it again where it was, with what it had.
    pub(crate) async fn again(&self) {
        assert_eq!(script("start", &self.folder).await, self.address);
    }

    /// The same folder with a command that goes to this broker.
    pub(crate) fn command(&self, folder: &Folder, args: &[&str]) -> tokio::process::Command {
        let mut command = folder.command(args);
        command.env("KAFKA_ENABLED", "true").env("KAFKA_BROKERS", &self.address);
        command
    }

    /// All events of these topics, as a reader in another language parses them with a stock library for CloudEvents, in
    /// the order of each partition.
    pub(crate) async fn read(&self, topics: &[&str]) -> Vec<Value> {
        let out = self.folder.join("read.jsonl");
        let mut command = python();
        command
            .arg(repository().join("tests/kafka/consume.py"))
            .arg(&self.address)
            .args(topics)
            .args(["--until-idle", "3", "--out"])
            .arg(&out);
        let ended = tokio::time::timeout(READ_WITHIN, command.output()).await;
        let ended = ended.expect("it reads to the end").unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        let lines = fs::read_to_string(&out).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A Python that has a client of Kafka.
pub(crate) fn python() -> tokio::process::Command {
    tokio::process::Command::new(repository().join("scripts/kafka-consumer"))
}

/// Runs `scripts/kafka`, and gives where the broker answers.
async fn script(verb: &str, folder: &Path) -> String {
    let mut command = tokio::process::Command::new(repository().join("scripts/kafka"));
    command.arg(verb).arg(folder);
    let ended = tokio::time::timeout(READY_WITHIN, command.output()).await;
    let ended = ended.expect("the broker starts").unwrap();
    let said = String::from_utf8(ended.stdout).unwrap();
    let problem = String::from_utf8_lossy(&ended.stderr);
    let address = said.trim().strip_prefix("export KAFKA_BROKERS=");
    address.unwrap_or_else(|| panic!("scripts/kafka {verb}: {said}{problem}")).to_owned()
}

impl Drop for Broker {
    fn drop(&mut self) {
        let script = repository().join("scripts/kafka");
        let _removed = Command::new(script).arg("remove").arg(&self.folder).output();
    }
}
