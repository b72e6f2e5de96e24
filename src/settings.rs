//! Settings: the environment, then `.env`. Each is read once, here and nowhere else, and a bad one stops the
//! start with one line. `.env.example` lists all.

mod database;
mod kafka;
mod serving;
mod system_mail;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use api::TokenKeys;
use crm::vault::Vault;
pub(crate) use database::{DatabaseSettings, PoolSizes, Tls};
use engine::worker::Retention;
pub(crate) use kafka::{Authority, KafkaSettings};
pub(crate) use serving::{AuthMode, Serving};
use steps::AllowedHosts;
pub(crate) use system_mail::SystemMailSettings;

/// What a process needs to know. Secrets have no `Debug`.
pub(crate) struct Settings {
    /// The database to use instead of one of `dev`'s own.
    pub(crate) database: Option<DatabaseSettings>,
    /// How many connections a process opens to it.
    pub(crate) pools: PoolSizes,
    /// Where `dev` keeps its data.
    pub(crate) data_dir: PathBuf,
    /// The keys of access tokens; `dev` draws its own where none is set.
    pub(crate) token_keys: Option<Arc<TokenKeys>>,
    /// Seals the secrets that are kept; `dev` draws a key where none is set.
    pub(crate) vault: Option<Vault>,
    /// Whether this is production, which reaches no inner network and sends no mock mail.
    pub(crate) is_production: bool,
    /// Where people reach the application; links in mails begin with it.
    pub(crate) public_url: String,
    /// How long an access token is good.
    pub(crate) access_seconds: u64,
    /// How long a refresh token is good.
    pub(crate) refresh_seconds: u64,
    /// What a customer without a mailbox sends through.
    pub(crate) email_provider: EmailProvider,
    /// By what way our own mail leaves, such as links that set a password.
    pub(crate) system_mail: SystemMailSettings,
    /// The hosts that workflows may ask.
    pub(crate) http_allow: AllowedHosts,
    /// How long what is over stays.
    pub(crate) retention: Retention,
    /// Where events go, where they go to Kafka.
    pub(crate) kafka: Option<KafkaSettings>,
    /// Who may ask the API, how often, and where services are that run apart.
    pub(crate) serving: Serving,
    /// Which events are told, as `tracing` filters them.
    pub(crate) log_filter: String,
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
    #[expect(clippy::disallowed_methods, reason = "the one place that the ban points to")]
    pub(crate) fn read() -> Result<Self> {
        let file = from_file(Path::new(".env"))?;
        Self::of(|name| std::env::var(name).ok().or_else(|| file.get(name).cloned()))
    }

    /// Where Kafka is, for what can't do without.
    pub(crate) fn kafka(&self) -> Result<&KafkaSettings> {
        self.kafka.as_ref().ok_or_else(|| {
            anyhow!(
                "KAFKA_ENABLED is not true; set it, or leave this to `salesos worker`, which applies events by itself \
                 where there is no Kafka"
            )
        })
    }

    /// Reads them by their names; what is empty is as good as unset.
    fn of(source: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let get = |name: &str| source(name).filter(|value| !value.is_empty());
        let production = production(get("SALESOS_ENV"))?;
        Ok(Self {
            database: DatabaseSettings::of(&get)?,
            pools: PoolSizes::of(&get)?,
            data_dir: get("SALESOS_DATA_DIR").unwrap_or_else(|| ".salesos".into()).into(),
            token_keys: token_keys(&get)?,
            vault: vault(get("ENCRYPTION_KEY"))?,
            is_production: production,
            public_url: public_url(get("PUBLIC_URL"))?,
            access_seconds: seconds("JWT_ACCESS_EXPIRY", get("JWT_ACCESS_EXPIRY"), "15m")?,
            refresh_seconds: seconds("JWT_REFRESH_EXPIRY", get("JWT_REFRESH_EXPIRY"), "7d")?,
            email_provider: email_provider(get("EMAIL_PROVIDER"), production)?,
            system_mail: SystemMailSettings::of(&get, production)?,
            http_allow: http_allow(get("SALESOS_HTTP_ALLOW"))?,
            retention: Retention {
                history: length("RETENTION_HISTORY", get("RETENTION_HISTORY"), "365d")?,
                events: length("RETENTION_EVENTS", get("RETENTION_EVENTS"), "7d")?,
                signals: length("RETENTION_SIGNALS", get("RETENTION_SIGNALS"), "90d")?,
                runs: get("RETENTION_RUNS")
                    .map(|given| length("RETENTION_RUNS", Some(given), ""))
                    .transpose()?,
            },
            kafka: KafkaSettings::of(&get)?,
            serving: Serving::of(&get, production)?,
            log_filter: get("RUST_LOG").unwrap_or_else(|| "warn,sqlx::pool=error".into()),
        })
    }
}

/// A secret, perhaps with the one before it, or private keys, as PEM or in a file.
fn token_keys(get: &impl Fn(&str) -> Option<String>) -> Result<Option<Arc<TokenKeys>>> {
    let before = get("JWT_PREVIOUS_SECRET");
    let read = match (get("JWT_SECRET"), get("JWT_PRIVATE_KEY")) {
        (None, None) if before.is_some() => {
            bail!("JWT_PREVIOUS_SECRET is for the time after a change; set JWT_SECRET as well")
        }
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => bail!("JWT_SECRET and JWT_PRIVATE_KEY exclude each other; keep one"),
        (Some(secret), None) => {
            if let Some(Err(problem)) = before.as_deref().map(|text| TokenKeys::secrets(&[text])) {
                bail!("JWT_PREVIOUS_SECRET {problem}");
            }
            let secrets: Vec<&str> =
                [Some(secret.as_str()), before.as_deref()].into_iter().flatten().collect();
            TokenKeys::secrets(&secrets).map_err(|problem| anyhow!("JWT_SECRET {problem}"))
        }
        (None, Some(text)) => private_keys(text),
    };
    Ok(Some(Arc::new(read?)))
}

/// Keys with commas between, the newest first.
fn vault(given: Option<String>) -> Result<Option<Vault>> {
    let Some(given) = given else { return Ok(None) };
    let keys: Vec<&str> = given.split(',').map(str::trim).collect();
    Vault::of(&keys).map(Some).map_err(|problem| anyhow!("ENCRYPTION_KEY {problem}"))
}

fn private_keys(text: String) -> Result<TokenKeys> {
    let text = if text.contains("-----BEGIN") {
        text
    } else {
        std::fs::read_to_string(&text).map_err(|error| {
            anyhow!("JWT_PRIVATE_KEY is neither a key in PEM nor a file that can be read: {error}")
        })?
    };
    TokenKeys::private(&text).map_err(|problem| anyhow!("JWT_PRIVATE_KEY: {problem}"))
}

fn public_url(given: Option<String>) -> Result<String> {
    let url = given.unwrap_or_else(|| "http://localhost:3010".into());
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    if rest.is_none_or(|rest| rest.is_empty() || rest.contains(char::is_whitespace)) {
        bail!("PUBLIC_URL is `{url}`; write such as https://app.example.com");
    }
    Ok(url.trim_end_matches('/').to_owned())
}

fn production(given: Option<String>) -> Result<bool> {
    match given.as_deref() {
        None | Some("development") => Ok(false),
        Some("production") => Ok(true),
        Some(other) => bail!("SALESOS_ENV is `{other}`; write development or production"),
    }
}

fn email_provider(given: Option<String>, production: bool) -> Result<EmailProvider> {
    match (given.as_deref(), production) {
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

fn http_allow(given: Option<String>) -> Result<AllowedHosts> {
    match AllowedHosts::parse(&given.unwrap_or_default()) {
        Ok(hosts) => Ok(hosts),
        Err(problem) => bail!("SALESOS_HTTP_ALLOW: {problem}"),
    }
}

fn seconds(name: &str, given: Option<String>, default: &str) -> Result<u64> {
    Ok(length(name, given, default)?.as_secs())
}

fn length(name: &str, given: Option<String>, default: &str) -> Result<Duration> {
    let text = given.unwrap_or_else(|| default.into());
    match engine::timing::duration(&text) {
        Ok(length) => Ok(length),
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_example_lists_every_setting_with_its_default_and_nothing_else() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(".env.example");
        let example = from_file(&file).expect("it is read as .env is");
        let asked = RefCell::new(BTreeSet::new());
        let unset = Settings::of(|name| {
            asked.borrow_mut().insert(name.to_owned());
            None
        });
        assert_eq!(asked.into_inner(), example.keys().cloned().collect());
        let copied = Settings::of(|name| example.get(name).cloned());
        let shown = |settings: Result<Settings>| {
            let Settings {
                database,
                pools,
                data_dir,
                token_keys,
                vault,
                is_production,
                public_url,
                access_seconds,
                refresh_seconds,
                email_provider,
                system_mail,
                http_allow,
                retention,
                kafka,
                serving,
                log_filter,
            } = settings.expect("defaults are good");
            let files = matches!(system_mail, SystemMailSettings::Files);
            let kept =
                (token_keys.is_some(), vault.is_some(), is_production, kafka.is_some(), files);
            let texts = (database.is_some(), pools, data_dir, kept, public_url, log_filter);
            (texts, access_seconds, refresh_seconds, email_provider, http_allow, retention, serving)
        };
        assert_eq!(shown(copied), shown(unset));
    }
}
