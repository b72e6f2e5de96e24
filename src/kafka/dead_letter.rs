//! Dead letters: messages that could not be applied, set aside in a topic of their own with why and when, so that what
//! comes after them goes on.

use chrono::{DateTime, SecondsFormat, Utc};
use rdkafka::message::{Header, OwnedHeaders};

use super::consumer::Letter;
use super::sink::{Failed, Outgoing, Producer};

/// The topic of another's dead letters.
pub(super) fn topic(of: &str) -> String {
    format!("{of}.dlq")
}

/// Sets a message aside, and waits until the broker has it.
///
/// # Errors
/// It is not set aside; the caller tries again.
pub(super) async fn send(
    producer: &Producer,
    letter: &Letter,
    reason: &str,
    tries: u32,
    at: DateTime<Utc>,
) -> Result<(), Failed> {
    let (partition, offset) = (letter.partition.to_string(), letter.offset.to_string());
    let (tries, at) = (tries.to_string(), at.to_rfc3339_opts(SecondsFormat::Millis, true));
    let mut headers = OwnedHeaders::new();
    for (key, value) in [
        ("content-type", super::envelope::CONTENT_TYPE),
        ("dead-letter-reason", reason),
        ("dead-letter-at", &at),
        ("dead-letter-tries", &tries),
        ("dead-letter-consumer", super::GROUP),
        ("dead-letter-topic", &letter.topic),
        ("dead-letter-partition", &partition),
        ("dead-letter-offset", &offset),
    ] {
        headers = headers.insert(Header { key, value: Some(value) });
    }
    let topic = topic(&letter.topic);
    let message = Outgoing { topic: &topic, key: &letter.key, payload: &letter.payload, headers };
    producer.send(&message).await
}
