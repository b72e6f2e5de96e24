//! Settings of whoever serves the API: who may ask, how often, and where services are that run apart.

use std::num::NonZeroU32;

use anyhow::{Result, anyhow, bail};
use api::{InternalSecret, Origins, Outside, Rates, Service, Target, TrustedProxies};

use crate::database::MIGRATIONS;

/// The most requests a second of a limit.
const MOST_A_SECOND: u32 = 1_000_000;

/// The most gateways that share a limit.
const MOST_REPLICAS: u32 = 1_000;

/// What whoever serves the API needs to know.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Serving {
    /// How services that run alone know who asks; by the gateway by default.
    pub(crate) auth_mode: Option<AuthMode>,
    /// What gateway and services share that run apart.
    pub(crate) internal_secret: Option<InternalSecret>,
    /// Where each service answers that runs apart.
    targets: Vec<(Service, Target)>,
    /// What the outer door is told.
    pub(crate) outside: Outside,
}

/// How a service that runs alone knows who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthMode {
    /// It verifies the user's token itself.
    Direct,
    /// The gateway tells it.
    Gateway,
}

impl Serving {
    /// Reads them by their names.
    pub(super) fn of(get: &impl Fn(&str) -> Option<String>, production: bool) -> Result<Self> {
        let secret = get("INTERNAL_SECRET").map(|text| InternalSecret::parse(&text)).transpose();
        let internal_secret = secret.map_err(|problem| anyhow!("INTERNAL_SECRET {problem}"))?;
        let targets = Service::ALL.into_iter().map(|service| target(get, service));
        Ok(Self {
            auth_mode: auth_mode(get)?,
            internal_secret,
            targets: targets.collect::<Result<_>>()?,
            outside: Outside {
                production,
                origins: list(get, "CORS_ORIGINS", "http://localhost:3010", Origins::parse)?,
                rates: rates(get)?,
                trusted_proxies: list(get, "TRUSTED_PROXIES", "", TrustedProxies::parse)?,
                migrations: MIGRATIONS.iter().map(|migration| migration.version).collect(),
            },
        })
    }

    /// Where a service answers.
    pub(crate) fn target(&self, service: Service) -> Target {
        let found = self.targets.iter().find(|(named, _)| *named == service);
        found.map(|(_, target)| target.clone()).expect("each service has a target")
    }
}

fn auth_mode(get: &impl Fn(&str) -> Option<String>) -> Result<Option<AuthMode>> {
    match get("AUTH_MODE").as_deref() {
        None => Ok(None),
        Some("direct") => Ok(Some(AuthMode::Direct)),
        Some("gateway") => Ok(Some(AuthMode::Gateway)),
        Some(other) => bail!("AUTH_MODE is `{other}`; write direct or gateway"),
    }
}

fn target(get: &impl Fn(&str) -> Option<String>, service: Service) -> Result<(Service, Target)> {
    let name = service.url_setting();
    let text = get(name).unwrap_or_else(|| format!("http://127.0.0.1:{}", service.port()));
    match Target::parse(&text) {
        Ok(target) => Ok((service, target)),
        Err(problem) => bail!("{name} is `{text}`; {problem}"),
    }
}

fn list<T>(
    get: &impl Fn(&str) -> Option<String>,
    name: &str,
    default: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<T> {
    match parse(&get(name).unwrap_or_else(|| default.into())) {
        Ok(read) => Ok(read),
        Err(problem) => bail!("{name}: {problem}"),
    }
}

fn rates(get: &impl Fn(&str) -> Option<String>) -> Result<Rates> {
    let number = |name: &str, default: u32, least: u32, most: u32| {
        let Some(text) = get(name) else { return Ok(default) };
        match text.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            Ok(_) | Err(_) => bail!("{name} is `{text}`; write a number from {least} to {most}"),
        }
    };
    let a_second = |name, default| number(name, default, 0, MOST_A_SECOND);
    let replicas = number("GATEWAY_REPLICAS", 1, 1, MOST_REPLICAS)?;
    Ok(Rates {
        user: a_second("RATE_LIMIT_USER", 50)?,
        key: a_second("RATE_LIMIT_KEY", 100)?,
        address: a_second("RATE_LIMIT_IP", 20)?,
        replicas: NonZeroU32::new(replicas).expect("one at least was asked for"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, value: &str) -> String {
        let get = |asked: &str| (asked == name).then(|| value.to_owned());
        Serving::of(&get, false).map(|_| ()).expect_err("it is refused").to_string()
    }

    #[test]
    fn a_bad_setting_is_named_with_what_was_read_and_what_is_expected() {
        let cases = [
            ("AUTH_MODE", "both", "AUTH_MODE is `both`; write direct or gateway"),
            ("INTERNAL_SECRET", "hush", "INTERNAL_SECRET has 4 characters; write at least 32"),
            ("RATE_LIMIT_IP", "-1", "RATE_LIMIT_IP is `-1`; write a number from 0 to 1000000"),
            ("GATEWAY_REPLICAS", "0", "GATEWAY_REPLICAS is `0`; write a number from 1 to 1000"),
        ];
        for (name, value, expected) in cases {
            assert_eq!(refused(name, value), expected);
        }
        for (name, value, expected) in [
            ("CRM_SERVICE_URL", "crm:3002", "CRM_SERVICE_URL is `crm:3002`; write such as http://"),
            ("CORS_ORIGINS", "*", "CORS_ORIGINS: `*` would let every page act"),
            ("CORS_ORIGINS", "app", "CORS_ORIGINS: `app` is no origin; write such as https://"),
            ("TRUSTED_PROXIES", "me", "TRUSTED_PROXIES: `me` is no address; write such as"),
        ] {
            let said = refused(name, value);
            assert!(said.starts_with(expected), "{said}");
        }
    }
}
