//! Events that are set aside, in the order of their keys: what their sink would not take, and what comes after it.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, PgExecutor};
use utoipa::ToSchema;
use uuid::Uuid;

use super::judge::{Key, Park, key};
use super::{Sink, Taken};
use crate::id;
use crate::outbox::Event;

/// How many parked events are tried again at once.
const AT_ONCE: i64 = 100;
/// How long until one that may heal is tried again by itself.
const HEALS_AFTER: Duration = Duration::from_secs(30);

/// An event that is set aside.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = ParkedEvent)]
pub struct Parked {
    /// Its place in the outbox.
    #[serde(skip)]
    pub seq: i64,
    /// Its id (`evt_…`).
    #[serde(serialize_with = "event_id")]
    #[schema(value_type = String)]
    pub id: Uuid,
    /// Whose it is (`cus_…`).
    #[serde(serialize_with = "customer_id")]
    #[schema(value_type = String)]
    pub customer_id: Uuid,
    /// Its topic.
    pub topic: String,
    /// The entity; what comes after it of this topic and key waits behind it.
    pub key: String,
    /// How often it was tried; 0 where it waits behind another.
    pub tries: i32,
    /// Why it is set aside.
    pub reason: String,
    /// Since when, by the real clock.
    pub parked_at: DateTime<Utc>,
    /// When it is tried again by itself, where that is so.
    pub retry_at: Option<DateTime<Utc>>,
}

fn event_id<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    id::show("evt", *id).serialize(serializer)
}

fn customer_id<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    id::show("cus", *id).serialize(serializer)
}

/// What is set aside of one customer or of all, in the order in which it came, after a place; at most `limit` (bounded to
/// 1,000).
///
/// # Errors
/// What the statement returned.
pub async fn list(
    db: impl PgExecutor<'_>,
    customer_id: Option<Uuid>,
    after: i64,
    limit: u32,
) -> Result<Vec<Parked>, sqlx::Error> {
    sqlx::query_as!(
        Parked,
        r#"select seq, (event ->> 'id')::uuid as "id!", (event ->> 'customer_id')::uuid as "customer_id!", topic, key, tries,
             error as reason, parked_at, retry_at
           from engine.parked
           where seq > $1 and ($3::uuid is null or event ->> 'customer_id' = $3::text) order by seq limit $2"#,
        after,
        i64::from(limit.min(1_000)),
        customer_id,
    )
    .fetch_all(db)
    .await
}

/// Has parked events tried again at once, each with those that wait behind it: one by its id, those of one topic, or all; of one
/// customer or of all. Gives how many.
///
/// # Errors
/// What the statement returned.
pub async fn retry(
    db: impl PgExecutor<'_>,
    customer_id: Option<Uuid>,
    id: Option<Uuid>,
    topic: Option<&str>,
) -> Result<u64, sqlx::Error> {
    let due = sqlx::query!(
        "update engine.parked p set retry_at = clock_timestamp()
         where ($2::text is null or p.topic = $2) and ($1::uuid is null
           or (p.topic, p.key) = (select o.topic, o.key from engine.parked o where o.event ->> 'id' = $1::text))
           and ($3::uuid is null or p.event ->> 'customer_id' = $3::text)",
        id,
        topic,
        customer_id,
    )
    .execute(db)
    .await?;
    Ok(due.rows_affected())
}

/// The topics and keys of these events of which an earlier one is parked.
pub(super) async fn blocked(
    connection: &mut PgConnection,
    events: &[Event],
) -> Result<HashSet<Key>, sqlx::Error> {
    if events.is_empty() {
        return Ok(HashSet::new());
    }
    let topics: Vec<String> = events.iter().map(|event| event.topic.clone()).collect();
    let keys: Vec<String> = events.iter().map(|event| event.key.clone()).collect();
    let rows = sqlx::query!(
        "select distinct p.topic, p.key from engine.parked p
         join unnest($1::text[], $2::text[]) as e(topic, key) on e.topic = p.topic and e.key = p.key",
        &topics,
        &keys,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.topic, row.key)).collect())
}

/// An event as it is kept, beside its place, topic and key.
#[derive(Serialize, Deserialize)]
struct Kept {
    id: Uuid,
    customer_id: Uuid,
    sequence: i64,
    /// Nothing where the version before set it aside.
    #[serde(default)]
    traceparent: Option<String>,
    /// Not there where the version before set it aside.
    #[serde(default)]
    schema: Option<String>,
    data: Value,
    at: DateTime<Utc>,
}

/// Sets events aside.
pub(super) async fn park(tx: &mut PgConnection, parked: &[&Park]) -> Result<(), sqlx::Error> {
    if parked.is_empty() {
        return Ok(());
    }
    let kept = |Park { event, .. }: &Park| {
        json!(Kept {
            id: event.id,
            customer_id: event.customer_id,
            sequence: event.sequence,
            traceparent: event.traceparent.clone(),
            schema: event.schema.clone(),
            data: event.data.clone(),
            at: event.at,
        })
    };
    let places: Vec<i64> = parked.iter().map(|park| park.event.seq).collect();
    let topics: Vec<String> = parked.iter().map(|park| park.event.topic.clone()).collect();
    let keys: Vec<String> = parked.iter().map(|park| park.event.key.clone()).collect();
    let tries = parked.iter().map(|park| i32::try_from(park.tries).unwrap_or(i32::MAX));
    let reasons: Vec<String> = parked.iter().map(|park| park.reason.clone()).collect();
    let wholes: Vec<Value> = parked.iter().map(|park| kept(park)).collect();
    let heal: Vec<bool> = parked.iter().map(|park| park.heals).collect();
    sqlx::query!(
        "insert into engine.parked (seq, topic, key, tries, error, event, retry_at)
         select seq, topic, key, tries, reason, event, case when heals then clock_timestamp() + make_interval(secs => $8) end
         from unnest($1::bigint[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::jsonb[], $7::boolean[])
           as p(seq, topic, key, tries, reason, event, heals)
         on conflict (seq) do nothing",
        &places,
        &topics,
        &keys,
        &tries.collect::<Vec<i32>>(),
        &reasons,
        &wholes,
        &heal,
        HEALS_AFTER.as_secs_f64(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Tries parked events again that are due, of the lanes of a relay: the first of each key, then those behind it. Gives
/// how many are told now.
pub(super) async fn tell_again(
    connection: &mut PgConnection,
    id: Uuid,
    sink: &dyn Sink,
) -> Result<usize, sqlx::Error> {
    let rows = sqlx::query!(
        "select p.seq, p.topic, p.key, p.event from engine.parked p
         join engine.relay_lanes l on l.lane = engine.relay_lane(p.key) and l.holder = $1
         where p.retry_at <= clock_timestamp() and not exists (
           select from engine.parked b where b.topic = p.topic and b.key = p.key and b.seq < p.seq)
         order by p.seq limit $2",
        id,
        AT_ONCE,
    )
    .fetch_all(&mut *connection)
    .await?;
    let event = |seq: i64, topic: String, key: String, whole: Value| {
        let Kept { id, customer_id, sequence, traceparent, schema, data, at } =
            serde_json::from_value(whole).ok()?;
        Some(Event { seq, id, customer_id, topic, key, sequence, traceparent, schema, data, at })
    };
    let read = rows.into_iter().filter_map(|row| event(row.seq, row.topic, row.key, row.event));
    let events: Vec<Event> = read.collect();
    if events.is_empty() {
        return Ok(0);
    }
    let taken = match sink.deliver(&events).await {
        Ok(taken) => taken,
        Err(error) => {
            tracing::warn!(%error, "the sink is out of reach; what is parked waits");
            return Ok(0);
        }
    };
    let mut tx = connection.begin().await?;
    let mut told = 0;
    for (event, taken) in events.iter().zip(taken) {
        let (reason, heals) = match taken {
            Taken::Told => {
                told += 1;
                go_on(&mut tx, event).await?;
                continue;
            }
            Taken::Waits => continue,
            Taken::Refused(reason) | Taken::Unfit(reason) => (reason, false),
            Taken::Unready(reason) => (reason, true),
        };
        sqlx::query!(
            "update engine.parked set tries = tries + 1, error = $2,
               retry_at = clock_timestamp() + make_interval(secs => $3)
             where seq = $1",
            event.seq,
            reason,
            heals.then_some(HEALS_AFTER.as_secs_f64()),
        )
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    Ok(told)
}

/// Forgets a parked event that is told; the next of its key is due.
async fn go_on(tx: &mut PgConnection, event: &Event) -> Result<(), sqlx::Error> {
    let (topic, key) = key(event);
    sqlx::query!("delete from engine.parked where seq = $1", event.seq).execute(&mut *tx).await?;
    sqlx::query!(
        "update engine.parked set retry_at = clock_timestamp() where seq = (
           select min(seq) from engine.parked where topic = $1 and key = $2)",
        topic,
        key,
    )
    .execute(tx)
    .await?;
    Ok(())
}
