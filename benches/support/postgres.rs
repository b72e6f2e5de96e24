//! A Postgres with all its durability: that of a `salesos dev`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// A `salesos dev` that lends its Postgres.
pub(crate) struct Postgres {
    dev: Child,
    pub(crate) url: String,
}

impl Postgres {
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let program = env!("CARGO_BIN_EXE_salesos");
        let mut dev = Command::new(program)
            .args(["dev", "--port", "0", "--data-dir"])
            .arg(folder)
            .env_remove("DATABASE_URL")
            .stdout(Stdio::piped())
            .spawn()?;
        let output = dev.stdout.take().context("a piped output is there")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        if !line.starts_with("ready") {
            bail!("salesos dev did not start");
        }
        let printed = Command::new(program)
            .args(["db", "--print-url"])
            .env_remove("DATABASE_URL")
            .env("SALESOS_DATA_DIR", folder)
            .output()?;
        let url = String::from_utf8(printed.stdout)?;
        // By its port, as the peers go, and as most do whose Postgres is their own.
        let url = url.trim().split('?').next().unwrap_or_default().to_owned();
        Ok(Self { dev, url })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _told = Command::new("kill").arg("-INT").arg(self.dev.id().to_string()).status();
        let _ended = self.dev.wait();
    }
}
