//! A process of the binary that serves or works until it is stopped. It is killed with its guard.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};

use super::folder::signal;
use super::{Api, Folder};

/// How long a start may take, with a machine that has other things to do.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A running process. What it says goes to files, so that it never waits for a reader.
pub(crate) struct Served {
    child: Child,
    /// What it said behind `ready `.
    ready: String,
    err: PathBuf,
}

impl Served {
    /// Starts one by this command and waits until it is ready; the name tells its files from those of others.
    pub(crate) async fn start(folder: &Folder, name: &str, mut command: Command) -> Self {
        let file = |kind: &str| folder.root().join(format!("{name}.{kind}"));
        let (out, err) = (file("out"), file("err"));
        let (to_out, to_err) = (File::create(&out).unwrap(), File::create(&err).unwrap());
        let mut child = command.stdout(to_out).stderr(to_err).spawn().unwrap();
        let began = Instant::now();
        loop {
            let said = fs::read_to_string(&out).unwrap();
            if let Some(ready) =
                said.strip_prefix("ready ").and_then(|rest| rest.strip_suffix('\n'))
            {
                return Self { child, ready: ready.to_owned(), err };
            }
            let ended = child.try_wait().unwrap();
            assert!(
                ended.is_none() && began.elapsed() < READY_WITHIN,
                "{name} is not ready, ended: {ended:?}; {said}{}",
                fs::read_to_string(&err).unwrap(),
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Its host and port.
    pub(crate) fn address(&self) -> &str {
        let url = self.ready.split(' ').next().unwrap();
        url.strip_prefix("http://").unwrap_or_else(|| panic!("{} is no address", self.ready))
    }

    /// Its port.
    pub(crate) fn port(&self) -> &str {
        self.address().rsplit_once(':').unwrap().1
    }

    /// What answers there.
    pub(crate) fn api(&self) -> Api {
        Api::at(self.address())
    }

    /// What went wrong in it.
    pub(crate) fn errors(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.err).unwrap();
        let wrong = |line: &&str| line.contains(" ERROR ") || line.contains("panicked");
        text.lines().filter(wrong).map(str::to_owned).collect()
    }

    /// Ends it as an operator does.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        signal(self.child.id().expect("it runs"), "TERM");
        let ended = tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await;
        ended.expect("it ends within thirty seconds").unwrap()
    }

    /// Kills it, as a crash does.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}
