//! Kafka: where events go, and come from, where there is a broker. The one place that knows its client.

mod consumer;
mod dead_letter;
mod envelope;
mod known;
mod replay;
mod sink;
mod topics;

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::FutureExt;
use rdkafka::admin::{AdminClient, AdminOptions, OwnedResourceSpecifier, ResourceSpecifier};
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, Producer as _};
use rdkafka::statistics::Statistics;

use crate::settings::{Authority, KafkaSettings};

pub(crate) use consumer::consume;
pub(crate) use replay::{From, replay};
pub(crate) use sink::Producer;
pub(crate) use topics::{Topic, Topics, apply, wanted};

/// How long the broker may take to answer a question of ours.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// The same where somebody waits for a word on it.
const PROBED_WITHIN: Duration = Duration::from_secs(2);
/// The group whose members share the reading of events.
const GROUP: &str = "salesos-activities";

/// What every client is told.
pub(crate) fn config(settings: &KafkaSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("client.id", "salesos")
        .set("bootstrap.servers", &settings.brokers)
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "1000")
        .set("socket.timeout.ms", "10000")
        .set("socket.keepalive.enable", "true")
        .set("allow.auto.create.topics", "false");
    let protocol = match (&settings.tls, &settings.login) {
        (None, None) => "PLAINTEXT",
        (Some(_), None) => "SSL",
        (None, Some(_)) => "SASL_PLAINTEXT",
        (Some(_), Some(_)) => "SASL_SSL",
    };
    config.set("security.protocol", protocol);
    match &settings.tls {
        Some(Authority::File(file)) => {
            config.set("ssl.ca.location", file.display().to_string());
        }
        Some(Authority::System) => {
            config.set("ssl.ca.location", "probe");
        }
        None => {}
    }
    if let Some(login) = &settings.login {
        config
            .set("sasl.mechanism", login.mechanism.name())
            .set("sasl.username", &login.username)
            .set("sasl.password", &login.password);
    }
    config
}

/// A client of the broker, and what hears it.
///
/// # Errors
/// A setting that the client does not understand.
fn client<T: FromClientConfigAndContext<Heard>>(config: &ClientConfig, heard: &Heard) -> Result<T> {
    config.create_with_context(heard.clone()).context("the settings of Kafka")
}

/// Asks the broker whether it answers.
///
/// # Errors
/// Why it does not, and what to look at.
pub(crate) async fn check(settings: &KafkaSettings) -> Result<()> {
    reach(settings).await.map(drop)
}

/// Which topics the broker has, in how many partitions each; with the client that asked, which may ask more.
type Answer = (AdminClient<Heard>, Vec<(String, usize)>);

/// [`ask`] for people, who want to know why nobody answers.
async fn reach(settings: &KafkaSettings) -> Result<Answer> {
    let config = config(settings);
    let error = match ask(client(&config, &Heard::default())?).await {
        Ok(answer) => return Ok(answer),
        Err(error) => error,
    };
    let reason = tokio::task::spawn_blocking(move || why(&config, &error)).await?;
    bail!(
        "Kafka does not answer at {}: {reason}; is it started, and do KAFKA_BROKERS, KAFKA_SECURITY_PROTOCOL, \
         KAFKA_SSL_CA and KAFKA_SASL_… fit it?",
        settings.brokers
    )
}

/// Asks the broker which topics it has.
async fn ask(admin: AdminClient<Heard>) -> Result<Answer, KafkaError> {
    let asked = tokio::task::spawn_blocking(move || {
        let there = metadata(admin.inner())?;
        Ok((admin, there))
    });
    asked.await.unwrap_or(Err(KafkaError::Canceled))
}

/// Why the broker did not answer. A client says that only to who polls it, as a producer's own thread does.
fn why(config: &ClientConfig, error: &KafkaError) -> String {
    let heard = Heard::default();
    if let Ok(asking) = client::<FutureProducer<Heard>>(config, &heard) {
        let _unanswered = asking.client().fetch_metadata(None, PROBED_WITHIN);
    }
    heard.last().unwrap_or_else(|| error.to_string())
}

/// Asks again and again whether the broker answers, for who looks whether this process is ready. A producer, though it
/// sends nothing: what a client that nobody polls has to say, it keeps.
///
/// # Errors
/// A setting that the client does not understand.
pub(crate) fn probe(settings: &KafkaSettings) -> Result<api::Broker> {
    let asking: FutureProducer<Heard> = client(&config(settings), &Heard::default())?;
    Ok(Arc::new(move || {
        let asking = asking.clone();
        let asked = tokio::task::spawn_blocking(move || {
            asking.client().fetch_metadata(None, PROBED_WITHIN).is_ok()
        });
        async { asked.await.unwrap_or_default() }.boxed()
    }))
}

/// Hears what the client says of itself: to a log, and the last error to who asks why nothing arrives.
#[derive(Clone, Default)]
pub(crate) struct Heard {
    last: Arc<Mutex<Option<String>>>,
}

impl Heard {
    /// An error, with what the client said last.
    fn reason(&self, error: &KafkaError) -> String {
        match self.last() {
            Some(last) => format!("{error} ({last})"),
            None => error.to_string(),
        }
    }

    fn last(&self) -> Option<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Heard {
    fn log(&self, level: RDKafkaLogLevel, about: &str, line: &str) {
        tracing::debug!(?level, about, line, "kafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
        // That all brokers are down follows on the reason of each.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            return;
        }
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
    }

    fn stats(&self, statistics: Statistics) {
        for (topic, of) in statistics.topics {
            let behind = of.partitions.values().map(|partition| partition.consumer_lag.max(0));
            let behind: i64 = behind.sum();
            #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
            metrics::gauge!("salesos_consumer_lag", "topic" => topic).set(behind as f64);
        }
    }
}

impl ConsumerContext for Heard {}

/// What the broker says of its topics, asked with any client; to be called where it may block.
fn metadata<C: ClientContext>(client: &Client<C>) -> Result<Vec<(String, usize)>, KafkaError> {
    let said = client.fetch_metadata(None, ANSWERS_WITHIN)?;
    let there = said.topics().iter().filter(|topic| topic.error().is_none());
    Ok(there.map(|topic| (topic.name().to_owned(), topic.partitions().len())).collect())
}

/// A setting of these topics that is a number, of each that the broker tells of.
async fn topic_setting<T: FromStr>(
    admin: &AdminClient<Heard>,
    topics: impl Iterator<Item = &str>,
    setting: &str,
) -> Result<BTreeMap<String, T>, KafkaError> {
    let asked: Vec<ResourceSpecifier> = topics.map(ResourceSpecifier::Topic).collect();
    if asked.is_empty() {
        return Ok(BTreeMap::new());
    }
    let options = AdminOptions::new().request_timeout(Some(ANSWERS_WITHIN));
    let described = admin.describe_configs(&asked, &options).await?;
    let read = described.into_iter().flatten().filter_map(|resource| {
        let value = resource.get(setting)?.value.as_deref()?.parse().ok()?;
        match resource.specifier {
            OwnedResourceSpecifier::Topic(name) => Some((name, value)),
            OwnedResourceSpecifier::Group(_) | OwnedResourceSpecifier::Broker(_) => None,
        }
    });
    Ok(read.collect())
}
