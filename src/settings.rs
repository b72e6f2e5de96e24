//! Settings: the environment, then `.env`. Each is read once, and a bad one stops the start with one line.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// What a process needs to know. Secrets have no `Debug`.
pub(crate) struct Settings {
    /// The database to use instead of one of `dev`'s own.
    pub(crate) database_url: Option<String>,
    /// Where `dev` keeps its data.
    pub(crate) data_dir: PathBuf,
    /// The key that signs access tokens; `dev` draws its own where none is set.
    pub(crate) jwt_secret: Option<String>,
    /// How long an access token is good.
    pub(crate) access_seconds: u64,
    /// How long a refresh token is good.
    pub(crate) refresh_seconds: u64,
    /// What a customer without a mailbox sends through.
    pub(crate) email_provider: EmailProvider,
}

/// What a customer without a mailbox sends through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EmailProvider {
    /// A mock mailbox that is made for it.
    Mock,
    /// Nothing: a mailbox must be connected first.
    Connected,
}

impl Settings {
    /// Reads them.
    pub(crate) fn read() -> Result<Self> {
        let file = from_file(Path::new(".env"))?;
        let get = |name: &str| {
            let set = std::env::var(name).ok().or_else(|| file.get(name).cloned());
            set.filter(|value| !value.is_empty())
        };
        let jwt_secret = get("JWT_SECRET");
        if let Some(secret) = jwt_secret.as_deref().filter(|secret| secret.len() < 32) {
            bail!("JWT_SECRET has {} characters; write at least 32", secret.len());
        }
        Ok(Self {
            database_url: get("DATABASE_URL"),
            data_dir: get("SALESOS_DATA_DIR").unwrap_or_else(|| ".salesos".into()).into(),
            jwt_secret,
            access_seconds: seconds("JWT_ACCESS_EXPIRY", get("JWT_ACCESS_EXPIRY"), "15m")?,
            refresh_seconds: seconds("JWT_REFRESH_EXPIRY", get("JWT_REFRESH_EXPIRY"), "7d")?,
            email_provider: email_provider(get)?,
        })
    }
}

fn email_provider(get: impl Fn(&str) -> Option<String>) -> Result<EmailProvider> {
    let production = match get("SALESOS_ENV").as_deref() {
        None | Some("development") => false,
        Some("production") => true,
        Some(other) => bail!("SALESOS_ENV is `{other}`; write development or production"),
    };
    match (get("EMAIL_PROVIDER").as_deref(), production) {
        (Some("mock"), true) => {
            bail!("EMAIL_PROVIDER is `mock`, which production refuses; connect a mailbox instead")
        }
        (None | Some("mock"), false) => Ok(EmailProvider::Mock),
        (None, true) => Ok(EmailProvider::Connected),
        (Some(other), _) => {
            bail!("EMAIL_PROVIDER is `{other}`; this version sends through mock only")
        }
    }
}

fn seconds(name: &str, given: Option<String>, default: &str) -> Result<u64> {
    let text = given.unwrap_or_else(|| default.into());
    match engine::timing::duration(&text) {
        Ok(length) => Ok(length.as_secs()),
        Err(problem) => bail!("{name} is `{text}`: {problem}"),
    }
}

/// Reads `NAME=value` lines; `#` begins a comment, quotes around a value are left out.
fn from_file(path: &Path) -> Result<HashMap<String, String>> {
    let mut settings = HashMap::new();
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(settings) };
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            bail!("{} line {} is no setting; write NAME=value", path.display(), index + 1);
        };
        let value = value.trim();
        let quoted =
            ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        settings.insert(name.trim().to_owned(), quoted.unwrap_or(value).to_owned());
    }
    Ok(settings)
}
