//! A real mail server, by `scripts/mail-server`; it ends with its guard.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::{repository, until};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// How long a start may take, with a machine that has other things to do.
const READY_WITHIN: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(60);

/// A running server.
pub(crate) struct RealMailServer {
    /// Its host and port.
    pub(crate) address: String,
    file: PathBuf,
    /// It ends with its standard input, at the latest.
    _child: Child,
}

#[expect(clippy::disallowed_methods, reason = "these are settings of the tests alone")]
fn is_set(name: &str) -> bool {
    std::env::var(name).is_ok_and(|text| !text.is_empty())
}

impl RealMailServer {
    /// Starts one that takes mail for one login. Nothing where none can be had on this machine, which is said; in CI that
    /// fails.
    pub(crate) async fn start(user: &str, password: &str) -> Option<Self> {
        if !is_set("SALESOS_SMTP") {
            assert!(!is_set("CI"), "there is no mail server here; run the tests by make test");
            println!("skipped: there is no mail server here; run the tests by make test");
            return None;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("salesos-mails-{}-{number}.jsonl", std::process::id());
        let file = std::env::temp_dir().join(name);
        let mut command = Command::new(repository().join("scripts/mail-server"));
        command.args([user, password]).arg(&file).kill_on_drop(true);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = tokio::time::timeout(READY_WITHIN, lines.next_line()).await;
        let said = said.expect("it starts").unwrap().expect("it says that it is ready");
        let address = said.strip_prefix("ready ").expect("it says where it answers").to_owned();
        Some(Self { address, file, _child: child })
    }

    /// The mails that it kept, once there are so many.
    pub(crate) async fn came(&self, count: usize) -> Vec<String> {
        until("a mail at the server", SOON, || async {
            let text = fs::read_to_string(&self.file).unwrap_or_default();
            let mails: Vec<String> =
                text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
            (mails.len() >= count).then_some(mails)
        })
        .await
    }
}

impl Drop for RealMailServer {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.file);
    }
}
