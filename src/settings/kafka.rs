//! Settings of Kafka: whether events go there, where it answers, and how the way there is guarded.

use std::path::PathBuf;

use anyhow::{Result, bail};

/// Where Kafka answers. It may hold a password, so it has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct KafkaSettings {
    /// The brokers that are asked for the others: `host:port` with commas between.
    pub(crate) brokers: String,
    /// Whether the way there is encrypted, by TLS that this authority proves, or those of the system.
    pub(crate) tls: Option<Authority>,
    /// As whom we log in.
    pub(crate) login: Option<Login>,
}

/// Who proves the brokers' certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Authority {
    /// Those of the system.
    System,
    /// That of a file in PEM.
    File(PathBuf),
}

/// As whom we log in, by SASL.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) mechanism: Mechanism,
    pub(crate) username: String,
    pub(crate) password: String,
}

/// How a login is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mechanism {
    /// By the password itself.
    Plain,
    /// By a challenge (RFC 5802), hashed by SHA-256.
    ScramSha256,
    /// The same by SHA-512.
    ScramSha512,
}

impl Mechanism {
    /// As librdkafka calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl KafkaSettings {
    /// Reads them by their names; nothing where Kafka is not enabled.
    pub(super) fn of(get: &impl Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        let enabled = match get("KAFKA_ENABLED").as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => bail!("KAFKA_ENABLED is `{other}`; write true or false"),
        };
        let settings = Self { brokers: brokers(get)?, tls: tls(get)?, login: login(get)? };
        if cfg!(not(feature = "kafka-tls"))
            && enabled
            && (settings.tls.is_some()
                || settings.login.as_ref().is_some_and(|login| login.mechanism != Mechanism::Plain))
        {
            bail!(
                "this binary was built without TLS and SCRAM for Kafka; build it with `--features kafka-tls`, or set \
                 KAFKA_SECURITY_PROTOCOL to PLAINTEXT"
            );
        }
        Ok(enabled.then_some(settings))
    }
}

fn brokers(get: &impl Fn(&str) -> Option<String>) -> Result<String> {
    let text = get("KAFKA_BROKERS").unwrap_or_else(|| "localhost:9092".into());
    let well = |broker: &str| {
        let port = broker.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0))
    };
    match text.split(',').map(str::trim).find(|broker| !well(broker)) {
        None => Ok(text),
        Some(broker) => bail!(
            "KAFKA_BROKERS holds `{broker}`; write host:port, with commas between, such as kafka-1:9092,kafka-2:9092"
        ),
    }
}

fn tls(get: &impl Fn(&str) -> Option<String>) -> Result<Option<Authority>> {
    let authority = match get("KAFKA_SSL_CA") {
        None => Authority::System,
        Some(file) => Authority::File(file.into()),
    };
    match get("KAFKA_SECURITY_PROTOCOL").as_deref() {
        None | Some("PLAINTEXT" | "SASL_PLAINTEXT") if authority != Authority::System => {
            bail!("KAFKA_SSL_CA is for KAFKA_SECURITY_PROTOCOL=SSL or SASL_SSL; set that as well")
        }
        None | Some("PLAINTEXT" | "SASL_PLAINTEXT") => Ok(None),
        Some("SSL" | "SASL_SSL") => match &authority {
            Authority::File(file) if !file.is_file() => {
                bail!("KAFKA_SSL_CA is `{}`, which is no file", file.display())
            }
            Authority::File(_) | Authority::System => Ok(Some(authority)),
        },
        Some(other) => bail!(
            "KAFKA_SECURITY_PROTOCOL is `{other}`; write PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
        ),
    }
}

fn login(get: &impl Fn(&str) -> Option<String>) -> Result<Option<Login>> {
    let wanted =
        get("KAFKA_SECURITY_PROTOCOL").is_some_and(|protocol| protocol.starts_with("SASL_"));
    let mechanism = match get("KAFKA_SASL_MECHANISM").as_deref() {
        None | Some("PLAIN") => Mechanism::Plain,
        Some("SCRAM-SHA-256") => Mechanism::ScramSha256,
        Some("SCRAM-SHA-512") => Mechanism::ScramSha512,
        Some(other) => {
            bail!("KAFKA_SASL_MECHANISM is `{other}`; write PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
        }
    };
    match (wanted, get("KAFKA_SASL_USERNAME"), get("KAFKA_SASL_PASSWORD")) {
        (false, None, None) => Ok(None),
        (false, _, _) => bail!(
            "KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD are for KAFKA_SECURITY_PROTOCOL=SASL_SSL or SASL_PLAINTEXT; \
             set that as well"
        ),
        (true, Some(username), Some(password)) => Ok(Some(Login { mechanism, username, password })),
        (true, None, _) => bail!("KAFKA_SASL_USERNAME is not set, which SASL needs"),
        (true, _, None) => bail!("KAFKA_SASL_PASSWORD is not set, which SASL needs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[(&str, &str)]) -> Result<Option<KafkaSettings>> {
        KafkaSettings::of(&|asked| {
            let found = settings.iter().find(|(name, _)| *name == asked);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn refused(settings: &[(&str, &str)]) -> String {
        read(settings).map(|_| ()).expect_err("it is refused").to_string()
    }

    #[test]
    fn nothing_goes_to_kafka_where_nobody_says_so() {
        assert!(read(&[("KAFKA_BROKERS", "kafka:9092")]).expect("it is right").is_none());
        let enabled = read(&[("KAFKA_ENABLED", "true")]).expect("it is right");
        assert_eq!(enabled.expect("it is on").brokers, "localhost:9092");
    }

    #[test]
    fn a_login_is_read_whole_or_refused() {
        let plain = [
            ("KAFKA_ENABLED", "true"),
            ("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT"),
            ("KAFKA_SASL_USERNAME", "salesos"),
            ("KAFKA_SASL_PASSWORD", "hush"),
        ];
        let login = read(&plain).expect("it is right").and_then(|settings| settings.login);
        assert!(login.is_some_and(|login| login.username == "salesos"));
        assert!(refused(&plain[..3]).starts_with("KAFKA_SASL_PASSWORD is not set"));
        assert!(refused(&plain[2..]).contains("are for KAFKA_SECURITY_PROTOCOL=SASL_SSL"));
    }

    #[test]
    fn a_bad_setting_is_named_with_what_was_read_and_what_is_expected() {
        for (name, value, expected) in [
            ("KAFKA_ENABLED", "yes", "KAFKA_ENABLED is `yes`; write true or false"),
            ("KAFKA_BROKERS", "a:9092,b", "KAFKA_BROKERS holds `b`; write host:port"),
            ("KAFKA_BROKERS", ":9092", "KAFKA_BROKERS holds `:9092`; write host:port"),
            ("KAFKA_SECURITY_PROTOCOL", "TLS", "KAFKA_SECURITY_PROTOCOL is `TLS`; write PLAIN"),
            ("KAFKA_SASL_MECHANISM", "GSSAPI", "KAFKA_SASL_MECHANISM is `GSSAPI`; write PLAIN"),
            ("KAFKA_SSL_CA", "ca.pem", "KAFKA_SSL_CA is for KAFKA_SECURITY_PROTOCOL=SSL"),
        ] {
            let said = refused(&[(name, value)]);
            assert!(said.starts_with(expected), "{said}");
        }
    }

    #[cfg(not(feature = "kafka-tls"))]
    #[test]
    fn a_binary_without_tls_says_how_to_get_it() {
        let said = refused(&[("KAFKA_ENABLED", "true"), ("KAFKA_SECURITY_PROTOCOL", "SSL")]);
        assert!(said.contains("--features kafka-tls"), "{said}");
    }
}
