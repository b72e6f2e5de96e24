//! What the broker has: its topics, and how large a message of each may be. Kept for a while, so that a message for a
//! topic that is not there, or too large for it, is known before anything behind it is sent.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;

use super::{Heard, topic_setting};

/// How long what is known is believed.
const BELIEVED_FOR: Duration = Duration::from_secs(30);
/// How long until a topic that was not there is looked for again.
const LOOKED_FOR_AFTER: Duration = Duration::from_secs(2);
/// What Kafka takes where nobody says more.
const USUAL_MAX_BYTES: usize = 1_048_588;
/// The most that stands around a message in its batch, its header among it.
const AROUND_BYTES: usize = 256;

/// The topics that are there, each with the largest message that it takes.
#[derive(Default)]
pub(super) struct Known {
    topics: HashMap<String, usize>,
    asked_at: Option<Instant>,
}

/// Whether what is known still serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// It does.
    Fresh,
    /// It does, and is to be asked anew meanwhile.
    Old,
    /// The broker is to be asked first.
    TooOld,
}

/// Why a message is not sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unsent {
    Missing,
    TooLarge { bytes: usize, most: usize },
}

impl Known {
    /// Whether what is known still serves to judge of these topics.
    pub(super) fn age<'a>(&self, mut topics: impl Iterator<Item = &'a str>) -> Age {
        let Some(asked_at) = self.asked_at else { return Age::TooOld };
        let age = asked_at.elapsed();
        let missing = topics.any(|topic| !self.topics.contains_key(topic));
        if missing && age > LOOKED_FOR_AFTER {
            Age::TooOld
        } else if age > BELIEVED_FOR {
            Age::Old
        } else {
            Age::Fresh
        }
    }

    /// Whether a message of so many bytes can be sent to a topic.
    pub(super) fn takes(&self, topic: &str, bytes: usize) -> Result<(), Unsent> {
        match self.topics.get(topic) {
            None => Err(Unsent::Missing),
            Some(&most) if bytes + AROUND_BYTES > most => Err(Unsent::TooLarge { bytes, most }),
            Some(_) => Ok(()),
        }
    }

    /// Asks the broker.
    pub(super) async fn ask(config: &ClientConfig) -> Result<Self, KafkaError> {
        let admin = config.create_with_context(Heard::default())?;
        let (admin, topics) = super::ask(admin).await?;
        let names = topics.iter().map(|(name, _)| name.as_str());
        // Who may not read a topic's settings may write to it all the same.
        let most = topic_setting(&admin, names, "max.message.bytes").await.unwrap_or_default();
        let mut known: HashMap<String, usize> =
            topics.into_iter().map(|(name, _)| (name, USUAL_MAX_BYTES)).collect();
        known.extend(most);
        Ok(Self { topics: known, asked_at: Some(Instant::now()) })
    }
}
