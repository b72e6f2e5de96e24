//! Reads events from Kafka and applies them, each once: the place in a topic is committed after the database's commit, and
//! what comes twice is known by `processed_events`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use engine::clock;
use engine::outbox::Event;
use engine::relay::{Sink, Taken};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sqlx::PgPool;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::sink::{Failed, Producer};
use super::{GROUP, Heard, client, config, dead_letter, envelope, topics};
use crate::settings::KafkaSettings;

/// How many messages are applied at once.
const AT_ONCE: usize = 500;
/// How long a batch waits for more once it has its first.
const GATHERS_FOR: Duration = Duration::from_millis(20);
/// How often an event that can't be applied is tried before it is a dead letter.
const TRIES: u32 = 5;
const AFTER_REFUSAL: Duration = Duration::from_millis(200);
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// How often it is looked for topics that workflows have begun to publish.
const TOPICS_EVERY: Duration = Duration::from_secs(30);

/// A message as it came.
pub(super) struct Letter {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) key: Vec<u8>,
    pub(super) payload: Vec<u8>,
}

/// A member of the group that reads events.
struct Reader {
    stream: StreamConsumer<Heard>,
    /// Where dead letters go.
    producer: Producer,
    sink: Arc<dyn Sink>,
    db: PgPool,
    stop: CancellationToken,
    /// No broker could be reached, and that was told.
    away: AtomicBool,
}

/// How clients read for the group.
pub(super) fn group(settings: &KafkaSettings) -> ClientConfig {
    let mut config = config(settings);
    config
        .set("group.id", GROUP)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "10000")
        .set("topic.metadata.refresh.interval.ms", "10000")
        .set("queued.max.messages.kbytes", "16384")
        .set("statistics.interval.ms", "5000");
    config
}

/// Reads events and hands them to who applies them, until told to stop.
pub(crate) async fn consume(
    settings: KafkaSettings,
    db: PgPool,
    sink: Arc<dyn Sink>,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        let (db, sink, stopping) = (db.clone(), Arc::clone(&sink), stop.clone());
        match Reader::new(&settings, db, sink, stopping) {
            Ok(reader) => {
                if let Err(error) = reader.read().await {
                    tracing::warn!(%error, "reading events begins again");
                }
                // Leaving says to the group at once that others go on; that blocks.
                let _left = tokio::task::spawn_blocking(move || drop(reader)).await;
            }
            Err(error) => tracing::warn!(%error, "reading events can't begin"),
        }
        let _stopped = stop.run_until_cancelled(tokio::time::sleep(AFTER_ERROR)).await;
    }
}

impl Reader {
    fn new(
        settings: &KafkaSettings,
        db: PgPool,
        sink: Arc<dyn Sink>,
        stop: CancellationToken,
    ) -> Result<Self> {
        let stream = client(&group(settings), &Heard::default())?;
        let (producer, away) = (Producer::new(settings)?, AtomicBool::new(false));
        Ok(Self { stream, producer, sink, db, stop, away })
    }

    /// Takes batches until told to stop.
    async fn read(&self) -> Result<()> {
        let mut subscribed: Vec<String> = Vec::new();
        let mut looked_at = None;
        while !self.stop.is_cancelled() {
            if looked_at.is_none_or(|at: Instant| at.elapsed() > TOPICS_EVERY) {
                self.subscribe(&mut subscribed).await?;
                looked_at = Some(Instant::now());
            }
            let until = Instant::now() + TOPICS_EVERY;
            let gathered = self.stop.run_until_cancelled(self.gather(until)).await;
            let Some(batch) = gathered.transpose()?.filter(|batch| !batch.is_empty()) else {
                continue;
            };
            let read = batch.len();
            if self.apply(&batch).await.is_none() {
                break;
            }
            self.commit(&batch, CommitMode::Async)?;
            metrics::counter!("salesos_consumer_messages_total")
                .increment(u64::try_from(read).unwrap_or_default());
        }
        Ok(())
    }

    /// Reads the topics that there should be, those of workflows among them.
    async fn subscribe(&self, subscribed: &mut Vec<String>) -> Result<()> {
        let wanted: Vec<String> = topics::wanted(&self.db).await?.into_iter().collect();
        if *subscribed != wanted {
            let names: Vec<&str> = wanted.iter().map(String::as_str).collect();
            self.stream.subscribe(&names)?;
            *subscribed = wanted;
        }
        Ok(())
    }

    /// The next messages, none where none came until then.
    async fn gather(&self, mut until: Instant) -> Result<Vec<Letter>, KafkaError> {
        let mut batch = Vec::new();
        while batch.len() < AT_ONCE {
            let Ok(came) = timeout_at(until, self.stream.recv()).await else { break };
            match came {
                Ok(message) => {
                    self.away.store(false, Ordering::Relaxed);
                    if batch.is_empty() {
                        until = Instant::now() + GATHERS_FOR;
                    }
                    batch.push(Letter {
                        topic: message.topic().to_owned(),
                        partition: message.partition(),
                        offset: message.offset(),
                        key: message.key().unwrap_or_default().to_vec(),
                        payload: message.payload().unwrap_or_default().to_vec(),
                    });
                }
                Err(KafkaError::MessageConsumption(code)) => self.tell(code),
                Err(fatal) => return Err(fatal),
            }
        }
        Ok(batch)
    }

    /// Applies a batch to its end; nothing where it was told to stop before.
    async fn apply(&self, batch: &[Letter]) -> Option<()> {
        let mut events: Vec<Event> = Vec::with_capacity(batch.len());
        let mut letters: Vec<&Letter> = Vec::with_capacity(batch.len());
        for letter in batch {
            match envelope::read(&letter.payload) {
                Ok(event) => {
                    events.push(event);
                    letters.push(letter);
                }
                Err(reason) => self.set_aside(letter, &reason, 1).await?,
            }
        }
        let mut tries: HashMap<usize, u32> = HashMap::new();
        let mut open: Vec<usize> = (0..events.len()).collect();
        while !open.is_empty() {
            let now: Vec<Event> = open.iter().map(|place| events[*place].clone()).collect();
            let delivered = self.stop.run_until_cancelled(self.sink.deliver(&now)).await?;
            let taken = match delivered {
                Ok(taken) => taken,
                Err(error) => {
                    tracing::warn!(%error, "events can't be applied now; they are tried again");
                    self.rest(AFTER_ERROR).await?;
                    continue;
                }
            };
            let mut done: HashSet<usize> = HashSet::new();
            let mut refused = false;
            for (place, taken) in open.iter().zip(taken) {
                let reason = match taken {
                    Taken::Told => {
                        done.insert(*place);
                        continue;
                    }
                    Taken::Waits => continue,
                    Taken::Refused(reason) | Taken::Unfit(reason) | Taken::Unready(reason) => {
                        reason
                    }
                };
                let tried = tries.entry(*place).or_default();
                *tried += 1;
                if *tried < TRIES {
                    refused = true;
                    continue;
                }
                self.set_aside(letters[*place], &reason, *tried).await?;
                done.insert(*place);
            }
            open.retain(|place| !done.contains(place));
            if refused {
                self.rest(AFTER_REFUSAL).await?;
            }
        }
        Some(())
    }

    /// Makes a message a dead letter, however often that is to be tried; nothing where it was told to stop before.
    async fn set_aside(&self, letter: &Letter, reason: &str, tries: u32) -> Option<()> {
        let Letter { topic, partition, offset, .. } = letter;
        loop {
            let sent = async {
                let at =
                    clock::now(&self.db).await.map_err(|error| Failed::Away(error.to_string()))?;
                dead_letter::send(&self.producer, letter, reason, tries, at).await
            };
            match self.stop.run_until_cancelled(sent).await? {
                Ok(()) => {
                    tracing::warn!(topic, partition, offset, reason, tries, "a dead letter");
                    metrics::counter!("salesos_consumer_dead_letters_total", "topic" => topic.clone())
                        .increment(1);
                    return Some(());
                }
                Err(Failed::Away(why) | Failed::Unfit(why) | Failed::Unready(why)) => {
                    tracing::error!(
                        topic,
                        partition,
                        offset,
                        reason,
                        why,
                        "an event can't be applied, nor set aside"
                    );
                }
            }
            self.rest(AFTER_ERROR).await?;
        }
    }

    async fn rest(&self, pause: Duration) -> Option<()> {
        self.stop.run_until_cancelled(tokio::time::sleep(pause)).await
    }

    /// Says to the group how far a batch has come.
    fn commit(&self, batch: &[Letter], mode: CommitMode) -> Result<(), KafkaError> {
        let mut next: HashMap<(&str, i32), i64> = HashMap::new();
        for letter in batch {
            let place = next.entry((&letter.topic, letter.partition)).or_default();
            *place = (*place).max(letter.offset + 1);
        }
        let mut offsets = TopicPartitionList::new();
        for ((topic, partition), offset) in next {
            offsets.add_partition_offset(topic, partition, Offset::Offset(offset))?;
        }
        self.stream.commit(&offsets, mode)
    }

    /// Says what hinders the reading; the client goes on by itself.
    #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else hinders heals as well")]
    fn tell(&self, code: RDKafkaErrorCode) {
        match code {
            // Topics may be made later.
            RDKafkaErrorCode::UnknownTopicOrPartition => {
                tracing::debug!(%code, "a topic is not there")
            }
            // Said again with each try to reach one.
            RDKafkaErrorCode::BrokerTransportFailure => tracing::debug!(%code, "a broker is away"),
            RDKafkaErrorCode::AllBrokersDown => {
                if !self.away.swap(true, Ordering::Relaxed) {
                    tracing::warn!("all brokers are away; reading goes on once one is there");
                }
            }
            other => tracing::warn!(code = %other, "events can't be read now"),
        }
    }
}
