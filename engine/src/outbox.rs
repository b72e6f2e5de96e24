//! Events on their way out: written in the transaction of what they tell, relayed later in order per key.
//!
//! Owns `engine.outbox`. Whoever publishes holds the lock of the entity's row, so that the order of the
//! sequence is the order of the changes.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::clock;
use crate::relay::CHANNEL;

/// An event that a transaction wants told.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// Whose it is.
    pub customer_id: Uuid,
    /// Such as `contact.created`.
    pub topic: Cow<'static, str>,
    /// The entity's TypeID; events of one key and topic stay in order.
    pub key: String,
    /// Grows with every event of the entity, over all topics.
    pub sequence: i64,
    /// The schema that its data follow, a name and a version: `contact.created:1`.
    pub schema: String,
    /// The event's data.
    pub data: Value,
}

/// An event as the relay reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its place in the outbox.
    pub seq: i64,
    /// Its id, by which consumers apply it once.
    pub id: Uuid,
    /// Whose it is.
    pub customer_id: Uuid,
    /// Such as `contact.created`.
    pub topic: String,
    /// The entity's TypeID.
    pub key: String,
    /// The entity's event sequence.
    pub sequence: i64,
    /// The trace that it is part of (W3C Trace Context), where whoever wrote it named one.
    pub traceparent: Option<String>,
    /// The schema that its data follow; the version before wrote none, and meant the topic's first.
    pub schema: Option<String>,
    /// Its data.
    pub data: Value,
    /// When it was written, by the engine's clock.
    pub at: DateTime<Utc>,
}

/// Writes events in the caller's transaction.
///
/// # Errors
/// What the statement returned; the caller rolls back.
pub async fn publish(tx: &mut PgConnection, events: &[NewEvent]) -> Result<(), sqlx::Error> {
    if events.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = events.iter().map(|_| clock::new_id()).collect();
    let customers: Vec<Uuid> = events.iter().map(|event| event.customer_id).collect();
    let topics: Vec<String> = events.iter().map(|event| event.topic.clone().into_owned()).collect();
    let keys: Vec<String> = events.iter().map(|event| event.key.clone()).collect();
    let sequences: Vec<i64> = events.iter().map(|event| event.sequence).collect();
    let schemas: Vec<String> = events.iter().map(|event| event.schema.clone()).collect();
    let data: Vec<Value> = events.iter().map(|event| event.data.clone()).collect();
    // Its transaction has its number before its events have theirs: the relay goes by that.
    sqlx::query!(
        "with me as materialized (
           select pg_current_xact_id() as xid
         ), written as (
           insert into engine.outbox (id, customer_id, topic, key, sequence, schema, data, xid)
           select id, customer_id, topic, key, sequence, schema, data, xid
           from me, unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::jsonb[])
             with ordinality as e(id, customer_id, topic, key, sequence, schema, data, place)
           order by place
         )
         select pg_notify($8, '') from engine.relays where asleep limit 1",
        &ids,
        &customers,
        &topics,
        &keys,
        &sequences,
        &schemas,
        &data,
        CHANNEL,
    )
    .execute(tx)
    .await?;
    Ok(())
}
