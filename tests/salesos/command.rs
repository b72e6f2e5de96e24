//! Commands of the binary, and what they say.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use super::Folder;

/// How long a command may take.
const BOUND: Duration = Duration::from_secs(60);

/// Settings that the tests' own environment may hold.
const SETTINGS: [&str; 42] = [
    "ACTIVITIES_SERVICE_URL",
    "AUTH_MODE",
    "AUTH_SERVICE_URL",
    "CALENDAR_SERVICE_URL",
    "CORS_ORIGINS",
    "CRM_SERVICE_URL",
    "DATABASE_DIRECT_URL",
    "DATABASE_POOL_API",
    "DATABASE_POOL_WORKER",
    "DATABASE_SSL",
    "DATABASE_SSL_CA",
    "DATABASE_SSL_REJECT_UNAUTHORIZED",
    "DATABASE_URL",
    "EMAIL_PROVIDER",
    "EMAIL_SERVICE_URL",
    "GATEWAY_REPLICAS",
    "ENCRYPTION_KEY",
    "INTERNAL_SECRET",
    "JWT_ACCESS_EXPIRY",
    "JWT_PREVIOUS_SECRET",
    "JWT_PRIVATE_KEY",
    "JWT_REFRESH_EXPIRY",
    "JWT_SECRET",
    "KAFKA_BROKERS",
    "KAFKA_ENABLED",
    "KAFKA_SASL_MECHANISM",
    "KAFKA_SASL_PASSWORD",
    "KAFKA_SASL_USERNAME",
    "KAFKA_SECURITY_PROTOCOL",
    "KAFKA_SSL_CA",
    "OPS_SERVICE_URL",
    "PUBLIC_URL",
    "RATE_LIMIT_IP",
    "RATE_LIMIT_KEY",
    "RATE_LIMIT_USER",
    "RUST_LOG",
    "SALESOS_DATA_DIR",
    "SALESOS_ENV",
    "SEQUENCES_SERVICE_URL",
    "SYSTEM_MAIL_FROM",
    "SYSTEM_MAIL_URL",
    "TRUSTED_PROXIES",
];

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// What it said, having done what it was asked for without a complaint.
    pub(crate) fn done(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{self:?}");
        self.out
    }

    /// What it said as JSON.
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.done()).expect("--json writes JSON and nothing else")
    }

    /// The one line with which it refused under this exit code, having said nothing else.
    pub(crate) fn refused(self, code: i32) -> String {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{self:?}");
        assert_eq!(self.err.lines().count(), 1, "{self:?}");
        let line = self.err.trim_end().strip_prefix("error: ");
        line.unwrap_or_else(|| panic!("{self:?}")).to_owned()
    }
}

impl Folder {
    /// A command on this folder.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(self.program());
        command.args(args).current_dir(self.root()).stdin(Stdio::null()).kill_on_drop(true);
        for name in SETTINGS {
            command.env_remove(name);
        }
        command.env("SALESOS_DATA_DIR", self.data());
        if let Some(url) = self.database_url() {
            command.env("DATABASE_URL", url);
        }
        if let Some(url) = self.direct_url() {
            command.env("DATABASE_DIRECT_URL", url);
        }
        command
    }

    /// Runs a command on this folder to its end.
    pub(crate) async fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Said {
        said(self.command(args)).await
    }
}

/// Runs a command to its end.
pub(crate) async fn said(mut command: Command) -> Said {
    let output = tokio::time::timeout(BOUND, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{command:?} did not end")).unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
