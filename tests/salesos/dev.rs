//! A running `salesos dev`. It is killed with its guard, so that no test leaves one behind.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::process::{Child, Command};

use super::folder::signal;
use super::{Api, Folder, until};

/// How long a start may take, with a machine that has other things to do.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A running `dev`. What it says goes to files, so that it never waits for a reader.
pub(crate) struct Dev {
    /// Connections of the owner to its database.
    pub(crate) db: PgPool,
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Dev {
    /// Starts one and waits until it is ready.
    pub(crate) async fn start(folder: &Folder, args: &[&str]) -> Self {
        let mut command = folder.command(&["dev", "--port", "0"]);
        command.args(args);
        Self::of(folder, command).await
    }

    /// Starts one by this command and waits until it is ready.
    pub(crate) async fn of(folder: &Folder, mut command: Command) -> Self {
        let (out, err) = (folder.root().join("dev.out"), folder.root().join("dev.err"));
        let (to_out, to_err) = (File::create(&out).unwrap(), File::create(&err).unwrap());
        let child = command.stdout(to_out).stderr(to_err).spawn().unwrap();
        let nowhere = PgPoolOptions::new().connect_lazy("postgres://nowhere").unwrap();
        let mut dev = Self { db: nowhere, child, out, err };
        dev.says("ready http://", READY_WITHIN).await;
        let url = folder.run(&["db", "--print-url"]).await.done();
        let options = PgPoolOptions::new().max_connections(2);
        dev.db = options.connect(url.trim()).await.unwrap();
        dev
    }

    /// Waits until it has said a line that begins so, and gives the rest of it.
    pub(crate) async fn says(&mut self, start: &str, within: Duration) -> String {
        let began = Instant::now();
        loop {
            if let Some(rest) = line(&self.out(), start) {
                return rest;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && began.elapsed() < within,
                "no line `{start}…` after {:?}, ended: {ended:?}; {}{}",
                began.elapsed(),
                self.out(),
                self.err(),
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The number that a statement gives.
    pub(crate) async fn count(&self, statement: &'static str) -> i64 {
        sqlx::query_scalar(statement).fetch_one(&self.db).await.unwrap()
    }

    /// What it has said.
    pub(crate) fn out(&self) -> String {
        fs::read_to_string(&self.out).unwrap()
    }

    /// What went wrong in it. That something took long is no error on a busy machine.
    pub(crate) fn errors(&self) -> Vec<String> {
        let lines = self.err();
        let wrong = |line: &&str| line.contains(" ERROR ") || line.contains("panicked");
        lines.lines().filter(wrong).map(str::to_owned).collect()
    }

    /// All that it complained of.
    pub(crate) fn err(&self) -> String {
        fs::read_to_string(&self.err).unwrap()
    }

    /// Its API.
    pub(crate) async fn api(&mut self) -> Api {
        Api::at(&self.says("ready http://", READY_WITHIN).await)
    }

    /// Its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Ends it as Ctrl-C does.
    pub(crate) async fn interrupt(mut self) -> ExitStatus {
        signal(self.process(), "INT");
        let ended = tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("it does not end; {}", self.err())).unwrap()
    }

    /// Kills it, as a crash does; its Postgres stays.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// The rest of the first line that begins so. A line without its end is still being written.
fn line(text: &str, start: &str) -> Option<String> {
    let mut whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.find_map(|line| line.trim_end().strip_prefix(start)).map(str::to_owned)
}

/// Waits until a process is gone.
pub(crate) async fn gone(process: u32) {
    until(&format!("the end of process {process}"), Duration::from_secs(10), || async {
        super::folder::command_line(process).is_empty().then_some(())
    })
    .await;
}
