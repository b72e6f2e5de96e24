//! An event as it stands on the wire: CloudEvents 1.0, structured mode, JSON (cloudevents.io, "JSON Event Format" and
//! "Kafka Protocol Binding").

use chrono::{DateTime, Utc};
use engine::id;
use engine::outbox::Event;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the header `content-type` says of such a message.
pub(super) const CONTENT_TYPE: &str = "application/cloudevents+json; charset=UTF-8";
/// Who tells: ids are unique within it.
const SOURCE: &str = "urn:salesos";
const JSON: &str = "application/json";

/// What an event holds on the wire.
#[derive(Serialize)]
struct Envelope<'a> {
    specversion: &'static str,
    /// Its TypeID (`evt_…`).
    id: String,
    source: &'static str,
    r#type: &'a str,
    /// The entity's TypeID.
    subject: &'a str,
    time: DateTime<Utc>,
    datacontenttype: &'static str,
    dataschema: String,
    /// The message's key (CloudEvents "Partitioning" extension).
    partitionkey: &'a str,
    /// The place among the entity's events, from 1 and without a hole; as text of 20 digits, so that texts stand in the
    /// order of the numbers (CloudEvents "Sequence" extension).
    sequence: String,
    /// The customer's TypeID.
    customerid: String,
    /// W3C Trace Context.
    traceparent: String,
    data: &'a Value,
}

/// The message of an event.
pub(super) fn write(event: &Event) -> Vec<u8> {
    let envelope = Envelope {
        specversion: "1.0",
        id: id::show("evt", event.id),
        source: SOURCE,
        r#type: &event.topic,
        subject: &event.key,
        time: event.at,
        datacontenttype: JSON,
        dataschema: crm::event::schema_of(event),
        partitionkey: &event.key,
        sequence: format!("{:020}", event.sequence),
        customerid: id::show("cus", event.customer_id),
        traceparent: event.traceparent.clone().unwrap_or_else(|| own_trace(event)),
        data: &event.data,
    };
    serde_json::to_vec(&envelope).expect("texts and JSON can be written")
}

/// The trace of an event that no request caused: that of its entity, which its other events share.
fn own_trace(event: &Event) -> String {
    let entity = id::uuid(&event.key).unwrap_or(event.id);
    format!("00-{}-{}-00", entity.simple(), &event.id.simple().to_string()[16..])
}

/// What we read of an envelope; what else it holds is let be.
#[derive(Deserialize)]
struct Read {
    specversion: String,
    id: String,
    r#type: String,
    subject: String,
    time: DateTime<Utc>,
    sequence: String,
    customerid: String,
    dataschema: Option<String>,
    traceparent: Option<String>,
    data: Value,
}

/// The event of a message.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(message: &[u8]) -> Result<Event, String> {
    let read: Read =
        serde_json::from_slice(message).map_err(|error| format!("it is no event: {error}"))?;
    if read.specversion != "1.0" {
        return Err(format!("it is of CloudEvents {}, not 1.0", read.specversion));
    }
    let uuid = |kind, text: &str| id::read(kind, text).map_err(|error| error.to_string());
    Ok(Event {
        seq: 0,
        id: uuid("evt", &read.id)?,
        customer_id: uuid("cus", &read.customerid)?,
        topic: read.r#type,
        key: read.subject,
        sequence: read
            .sequence
            .parse()
            .map_err(|_| format!("its `sequence` is `{}`, no number", read.sequence))?,
        schema: read.dataschema.as_deref().and_then(crm::event::schema_named),
        traceparent: read.traceparent,
        data: read.data,
        at: read.time,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn event() -> Event {
        Event {
            seq: 0,
            id: Uuid::from_u128(7),
            customer_id: Uuid::from_u128(8),
            topic: "contact.created".into(),
            key: "con_1".into(),
            sequence: 12,
            schema: Some("contact.created:1".into()),
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
            data: json!({ "contact_id": "con_1" }),
            at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        assert_eq!(read(&write(&event())), Ok(event()));
    }

    #[test]
    fn an_event_that_no_request_caused_is_part_of_its_entitys_trace() {
        let key = id::show("con", Uuid::from_u128(9));
        let untraced = Event { traceparent: None, key, ..event() };
        let read = read(&write(&untraced)).expect("it is one");
        let trace = "00-00000000000000000000000000000009-0000000000000007-00";
        assert_eq!(read.traceparent.as_deref(), Some(trace));
    }

    #[test]
    fn an_envelope_has_what_cloudevents_ask_for() {
        let written: Value = serde_json::from_slice(&write(&event())).expect("it is JSON");
        assert_eq!(
            written,
            json!({
                "specversion": "1.0",
                "id": "evt_00000000000000000000000007",
                "source": "urn:salesos",
                "type": "contact.created",
                "subject": "con_1",
                "time": "1970-01-01T00:00:00Z",
                "datacontenttype": "application/json",
                "dataschema": "urn:salesos:event:contact.created:1",
                "partitionkey": "con_1",
                "sequence": "00000000000000000012",
                "customerid": "cus_00000000000000000000000008",
                "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                "data": { "contact_id": "con_1" },
            })
        );
    }

    #[test]
    fn what_is_no_event_is_told() {
        let with = |name: &str, value: Value| {
            let mut written: Value = serde_json::from_slice(&write(&event())).expect("JSON");
            written[name] = value;
            read(written.to_string().as_bytes()).expect_err("it is none")
        };
        assert!(read(b"{").expect_err("broken").starts_with("it is no event: "));
        assert_eq!(with("specversion", json!("0.3")), "it is of CloudEvents 0.3, not 1.0");
        assert_eq!(with("sequence", json!("x")), "its `sequence` is `x`, no number");
        assert!(with("customerid", json!("con_1")).contains("cus"));
    }
}
