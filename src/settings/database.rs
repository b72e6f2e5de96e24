//! Settings of the database: where it answers, and how the way there is guarded.

use std::path::PathBuf;

use anyhow::{Result, bail};

/// Where the database answers. It may hold passwords, so it has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct DatabaseSettings {
    /// Where it answers, perhaps through a transaction pooler.
    pub(crate) url: String,
    /// Where it answers itself, where the URL is a pooler's.
    pub(crate) direct_url: Option<String>,
    /// How the way there is guarded.
    pub(crate) tls: Tls,
}

/// How the way to the database is guarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tls {
    /// As the URL's `sslmode` says.
    AsUrl,
    /// By TLS, whoever answers.
    Unverified,
    /// By TLS with whoever the certificate of the host's name proves, by this authority or those that browsers know.
    Verified { authority: Option<PathBuf> },
}

/// How many connections a process opens at most, by what they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PoolSizes {
    /// For requests of the API.
    pub(crate) api: u32,
    /// For work in the background.
    pub(crate) worker: u32,
}

impl PoolSizes {
    /// Reads them by their names.
    pub(super) fn of(get: &impl Fn(&str) -> Option<String>) -> Result<Self> {
        Ok(Self {
            api: connections(get, "DATABASE_POOL_API", 8, 2)?,
            worker: connections(get, "DATABASE_POOL_WORKER", 16, 8)?,
        })
    }
}

/// The most connections of a pool; Postgres itself takes 100 by default.
const MOST_CONNECTIONS: u32 = 500;

fn connections(
    get: &impl Fn(&str) -> Option<String>,
    name: &str,
    default: u32,
    least: u32,
) -> Result<u32> {
    let Some(text) = get(name) else { return Ok(default) };
    match text.parse() {
        Ok(number) if (least..=MOST_CONNECTIONS).contains(&number) => Ok(number),
        Ok(_) | Err(_) => {
            bail!("{name} is `{text}`; write a number from {least} to {MOST_CONNECTIONS}")
        }
    }
}

impl DatabaseSettings {
    /// A database of this machine, without more.
    pub(crate) fn of_url(url: &str) -> Self {
        Self { url: url.into(), direct_url: None, tls: Tls::AsUrl }
    }

    /// Reads them by their names; nothing where no database is named.
    pub(super) fn of(get: &impl Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        let (url, direct_url) = (get("DATABASE_URL"), get("DATABASE_DIRECT_URL"));
        let tls = tls(get)?;
        match url {
            Some(url) => Ok(Some(Self { url, direct_url, tls })),
            None if direct_url.is_some() => bail!(
                "DATABASE_DIRECT_URL is set without DATABASE_URL; set both, or DATABASE_URL alone"
            ),
            None => Ok(None),
        }
    }
}

fn tls(get: &impl Fn(&str) -> Option<String>) -> Result<Tls> {
    let wanted = flag(get, "DATABASE_SSL", false)?;
    let verified = flag(get, "DATABASE_SSL_REJECT_UNAUTHORIZED", true)?;
    let authority = get("DATABASE_SSL_CA").map(PathBuf::from);
    if let Some(file) = authority.as_ref().filter(|file| !file.is_file()) {
        bail!(
            "DATABASE_SSL_CA is `{}`, which is no file; write where the PEM lies",
            file.display()
        );
    }
    match (wanted, verified) {
        (false, _) if authority.is_some() => {
            bail!("DATABASE_SSL_CA is set without DATABASE_SSL; set DATABASE_SSL=true as well")
        }
        (false, false) => bail!(
            "DATABASE_SSL_REJECT_UNAUTHORIZED is `false` without DATABASE_SSL; set DATABASE_SSL=true as well"
        ),
        (false, true) => Ok(Tls::AsUrl),
        (true, true) => Ok(Tls::Verified { authority }),
        (true, false) if authority.is_some() => bail!(
            "DATABASE_SSL_CA names who may be believed, DATABASE_SSL_REJECT_UNAUTHORIZED=false believes anybody; keep one"
        ),
        (true, false) => Ok(Tls::Unverified),
    }
}

fn flag(get: &impl Fn(&str) -> Option<String>, name: &str, usual: bool) -> Result<bool> {
    match get(name).as_deref() {
        None => Ok(usual),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => bail!("{name} is `{other}`; write true or false"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Option<DatabaseSettings>> {
        DatabaseSettings::of(&|name: &str| {
            let found = pairs.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn tls_is_verified_unless_somebody_says_otherwise() {
        let tls = |pairs: &[(&str, &str)]| {
            let pairs = [&[("DATABASE_URL", "postgres://db")], pairs].concat();
            read(&pairs).map(|read| read.expect("a URL is set").tls)
        };
        assert_eq!(tls(&[]).expect("good"), Tls::AsUrl);
        let wanted = ("DATABASE_SSL", "true");
        assert_eq!(tls(&[wanted]).expect("good"), Tls::Verified { authority: None });
        let unverified = ("DATABASE_SSL_REJECT_UNAUTHORIZED", "false");
        assert_eq!(tls(&[wanted, unverified]).expect("good"), Tls::Unverified);
        for (bad, said) in [
            (vec![unverified], "DATABASE_SSL=true as well"),
            (vec![("DATABASE_SSL", "yes")], "DATABASE_SSL is `yes`; write true or false"),
            (vec![wanted, ("DATABASE_SSL_CA", "/nowhere.pem")], "/nowhere.pem"),
        ] {
            assert!(tls(&bad).is_err_and(|error| error.to_string().contains(said)), "{said}");
        }
    }

    #[test]
    fn a_pool_has_its_default_size_or_one_within_its_bounds() {
        let read = |name: &'static str, value: &'static str| {
            PoolSizes::of(&|asked: &str| (asked == name).then(|| value.to_owned()))
        };
        let usual = PoolSizes { api: 8, worker: 16 };
        assert_eq!(read("none", "").expect("defaults"), usual);
        assert_eq!(read("DATABASE_POOL_API", "40").expect("good"), PoolSizes { api: 40, ..usual });
        for (name, value, least) in [
            ("DATABASE_POOL_API", "1", 2),
            ("DATABASE_POOL_API", "501", 2),
            ("DATABASE_POOL_WORKER", "-3", 8),
            ("DATABASE_POOL_WORKER", "many", 8),
        ] {
            let refused = read(name, value).expect_err(value).to_string();
            assert_eq!(refused, format!("{name} is `{value}`; write a number from {least} to 500"));
        }
    }

    #[test]
    fn a_way_past_the_pooler_needs_the_pooler() {
        let alone = read(&[("DATABASE_DIRECT_URL", "postgres://db")]);
        assert!(alone.is_err_and(|error| error.to_string().contains("without DATABASE_URL")));
        assert!(read(&[]).is_ok_and(|read| read.is_none()));
    }
}
