//! The sink of events that Kafka is: messages keyed by their entity, acknowledged by all replicas in sync before they
//! count as told, in their order per topic and key.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use engine::outbox::Event;
use engine::relay::{OutOfReach, Sink, Taken};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::OwnedDeliveryResult;
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _, PurgeConfig};
use tokio::sync::MutexGuard;

use super::known::{Age, Known, Unsent};
use super::{Heard, client, config, envelope};
use crate::settings::KafkaSettings;

/// The most bytes of a message that the client takes; a topic may take fewer.
const MOST_BYTES: &str = "10485760";

/// Sends messages, and knows what the broker has.
pub(crate) struct Producer {
    config: ClientConfig,
    /// None once it has failed for good; the next to send makes a new one.
    inner: Mutex<Option<FutureProducer<Heard>>>,
    heard: Heard,
    known: Arc<tokio::sync::Mutex<Known>>,
    /// Whether the broker is being asked anew meanwhile.
    asking: Arc<AtomicBool>,
}

/// A message on its way.
pub(super) struct Outgoing<'a> {
    pub(super) topic: &'a str,
    pub(super) key: &'a [u8],
    pub(super) payload: &'a [u8],
    pub(super) headers: OwnedHeaders,
}

impl Outgoing<'_> {
    fn bytes(&self) -> usize {
        self.key.len() + self.payload.len()
    }
}

/// Why a message did not arrive.
#[derive(Debug)]
pub(super) enum Failed {
    /// The broker does not answer; it may have arrived.
    Away(String),
    /// It never will, as it is.
    Unfit(String),
    /// It will once an operator has done what this says.
    Unready(String),
}

impl Producer {
    /// Connects on its first message.
    ///
    /// # Errors
    /// A setting that the client does not understand.
    pub(crate) fn new(settings: &KafkaSettings) -> Result<Self> {
        let mut config = config(settings);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // Shorter than the lease of a lane: what is sent late comes from whoever holds it.
            .set("message.timeout.ms", "10000")
            .set("linger.ms", "0")
            .set("compression.type", "lz4")
            .set("message.max.bytes", MOST_BYTES)
            .set("topic.metadata.propagation.max.ms", "2000")
            // As Kafka's own clients choose a key's partition.
            .set("partitioner", "murmur2_random");
        let heard = Heard::default();
        let first = client(&config, &heard)?;
        Ok(Self {
            config,
            inner: Mutex::new(Some(first)),
            heard,
            known: Arc::default(),
            asking: Arc::default(),
        })
    }

    fn inner(&self) -> Result<FutureProducer<Heard>, Failed> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(producer) = inner.as_ref().filter(|one| one.client().fatal_error().is_none()) {
            return Ok(producer.clone());
        }
        tracing::warn!("the producer failed for good; a new one begins");
        let new = client(&self.config, &self.heard)
            .map_err(|error| Failed::Away(format!("{error:#}")))?;
        Ok(inner.insert(new).clone())
    }

    /// Asks what the broker has, where these topics want it.
    async fn look<'a>(
        &self,
        topics: impl Iterator<Item = &'a str>,
    ) -> Result<MutexGuard<'_, Known>, Failed> {
        let mut known = self.known.lock().await;
        match known.age(topics) {
            Age::Fresh => {}
            Age::Old => self.look_meanwhile(),
            Age::TooOld => {
                let asked = Known::ask(&self.config).await;
                *known = asked.map_err(|error| Failed::Away(self.heard.reason(&error)))?;
            }
        }
        Ok(known)
    }

    /// Asks the broker while events go on by what is known.
    fn look_meanwhile(&self) {
        if self.asking.swap(true, Ordering::Relaxed) {
            return;
        }
        let (config, known) = (self.config.clone(), Arc::clone(&self.known));
        let asking = Arc::clone(&self.asking);
        tokio::spawn(async move {
            match Known::ask(&config).await {
                Ok(asked) => *known.lock().await = asked,
                Err(error) => {
                    tracing::debug!(%error, "the broker does not say which topics it has")
                }
            }
            asking.store(false, Ordering::Relaxed);
        });
    }

    /// Sends one message, and waits until it is acknowledged.
    pub(super) async fn send(&self, message: &Outgoing<'_>) -> Result<(), Failed> {
        fits(&*self.look(std::iter::once(message.topic)).await?, message)?;
        let producer = self.inner()?;
        let purge = Purge(Some(producer.clone()));
        let sent = self.queue(&producer, message)?.await;
        purge.disarm();
        self.arrived(message.topic, sent)
    }

    /// Sends events, and says of each what became of it.
    async fn tell(&self, events: &[Event]) -> Result<Vec<Taken>, Failed> {
        let known = self.look(events.iter().map(|event| event.topic.as_str())).await?;
        let producer = self.inner()?;
        let purge = Purge(Some(producer.clone()));
        let mut taken: Vec<Taken> = vec![Taken::Waits; events.len()];
        let mut closed: HashSet<(&str, &str)> = HashSet::new();
        let mut under_way = Vec::with_capacity(events.len());
        for (place, event) in events.iter().enumerate() {
            let key = (event.topic.as_str(), event.key.as_str());
            if closed.contains(&key) {
                continue;
            }
            let payload = envelope::write(event);
            let message = outgoing(event, &payload);
            match fits(&known, &message).and_then(|()| self.queue(&producer, &message)) {
                Ok(delivery) => under_way.push(delivery.map(move |sent| (place, sent))),
                Err(failed) => {
                    closed.insert(key);
                    taken[place] = judged(failed)?;
                }
            }
        }
        drop(known);
        let mut refused: Vec<usize> = Vec::new();
        for (place, sent) in join_all(under_way).await {
            match self.arrived(&events[place].topic, sent) {
                Ok(()) => taken[place] = Taken::Told,
                Err(Failed::Away(reason)) => return Err(Failed::Away(reason)),
                Err(Failed::Unfit(_) | Failed::Unready(_)) => refused.push(place),
            }
        }
        purge.disarm();
        self.send_apart(events, &refused, &mut taken).await?;
        Ok(taken)
    }

    /// Sends those again, one after the other, of whose keys the broker refused one: it refuses a batch as a whole for one
    /// of its messages. What came behind it of its key comes again, so that the last that is told is the last in order.
    async fn send_apart(
        &self,
        events: &[Event],
        refused: &[usize],
        taken: &mut [Taken],
    ) -> Result<(), Failed> {
        let key = |place: usize| (events[place].topic.as_str(), events[place].key.as_str());
        let mut first: HashMap<(&str, &str), usize> = HashMap::new();
        for place in refused {
            let known = first.entry(key(*place)).or_insert(*place);
            *known = (*known).min(*place);
        }
        let mut closed = HashSet::new();
        for place in 0..events.len() {
            if first.get(&key(place)).is_none_or(|first| place < *first) {
                continue;
            }
            if closed.contains(&key(place)) {
                taken[place] = Taken::Waits;
                continue;
            }
            let payload = envelope::write(&events[place]);
            taken[place] = match self.send(&outgoing(&events[place], &payload)).await {
                Ok(()) => Taken::Told,
                Err(failed) => {
                    closed.insert(key(place));
                    judged(failed)?
                }
            };
        }
        Ok(())
    }

    /// Hands a message to the client, which sends it by itself.
    fn queue(
        &self,
        producer: &FutureProducer<Heard>,
        message: &Outgoing<'_>,
    ) -> Result<DeliveryFuture, Failed> {
        let record = FutureRecord::to(message.topic)
            .key(message.key)
            .payload(message.payload)
            .headers(message.headers.clone());
        producer.send_result(record).map_err(|(error, _)| self.failed(message.topic, &error))
    }

    /// Whether a message has arrived.
    fn arrived<C>(&self, topic: &str, sent: Result<OwnedDeliveryResult, C>) -> Result<(), Failed> {
        match sent {
            Ok(Ok(_)) => Ok(()),
            Ok(Err((error, _))) => Err(self.failed(topic, &error)),
            Err(_canceled) => Err(Failed::Away("the client was closed".into())),
        }
    }

    fn failed(&self, topic: &str, error: &KafkaError) -> Failed {
        match error.rdkafka_error_code() {
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => {
                missing(topic)
            }
            Some(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => {
                Failed::Unready(format!("Kafka lets nobody of our name write to topic `{topic}`"))
            }
            Some(
                Code::MessageSizeTooLarge
                | Code::InvalidMessage
                | Code::InvalidRecord
                | Code::InvalidTopic
                | Code::InvalidTimestamp
                | Code::PolicyViolation,
            ) => Failed::Unfit(format!("topic `{topic}`: {error}")),
            _ => Failed::Away(self.heard.reason(error)),
        }
    }
}

impl Sink for Producer {
    fn deliver<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<Vec<Taken>, OutOfReach>> {
        async move {
            let told = self.tell(events).await;
            told.map_err(|failed| match failed {
                Failed::Away(reason) | Failed::Unfit(reason) | Failed::Unready(reason) => {
                    OutOfReach(format!("Kafka: {reason}"))
                }
            })
        }
        .boxed()
    }
}

fn outgoing<'a>(event: &'a Event, payload: &'a [u8]) -> Outgoing<'a> {
    let content_type = Header { key: "content-type", value: Some(envelope::CONTENT_TYPE) };
    Outgoing {
        topic: &event.topic,
        key: event.key.as_bytes(),
        payload,
        headers: OwnedHeaders::new_with_capacity(1).insert(content_type),
    }
}

/// What becomes of an event by itself; an error where nothing can be sent at all.
fn judged(failed: Failed) -> Result<Taken, Failed> {
    match failed {
        Failed::Away(reason) => Err(Failed::Away(reason)),
        Failed::Unfit(reason) => Ok(Taken::Unfit(reason)),
        Failed::Unready(reason) => Ok(Taken::Unready(reason)),
    }
}

/// Whether the broker takes a message, by what is known of it.
fn fits(known: &Known, message: &Outgoing<'_>) -> Result<(), Failed> {
    known.takes(message.topic, message.bytes()).map_err(|unsent| match unsent {
        Unsent::Missing => missing(message.topic),
        Unsent::TooLarge { bytes, most } => Failed::Unfit(format!(
            "it has {bytes} bytes, and topic `{}` takes {most} with what stands around it",
            message.topic
        )),
    })
}

fn missing(topic: &str) -> Failed {
    Failed::Unready(format!(
        "there is no topic `{topic}`; make it, as by `salesos kafka topics --apply`"
    ))
}

/// Takes back what was not sent yet, where nobody waits for it any more: it would arrive after what another relay sends.
struct Purge(Option<FutureProducer<Heard>>);

impl Purge {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Purge {
    fn drop(&mut self) {
        if let Some(producer) = self.0.take() {
            producer.purge(PurgeConfig::default().queue());
        }
    }
}
