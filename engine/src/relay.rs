//! The relay: takes events out of the outbox to their sink, each at least once and in order per topic and
//! key. Owns `engine.relay`, `engine.gaps` and `engine.parked`.
//!
//! A sequence number is not commit order: a transaction may take number 7 and commit after 8. The relay
//! goes on past such a gap and remembers it, until the number shows up or can show up no more.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::json;
use sqlx::{Connection, PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

use crate::outbox::Event;
use crate::worker::lost;

const BATCH: i64 = 500;
const IDLE: Duration = Duration::from_millis(100);
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// How often an event that its sink refuses is tried before it is parked.
const TRIES: u32 = 5;
/// How many relayed events stay, for whoever looks what was told.
const KEPT: i64 = 100_000;
/// How many rows one clearing takes.
const CLEARED: i64 = 5_000;
/// The advisory lock of the one active relay.
const LOCK: i64 = 7_306;

/// Where events go.
pub trait Sink: Send + Sync {
    /// Takes events, all or none; what it writes by `tx` commits with the relay's own place.
    ///
    /// # Errors
    /// One that says that something is out of reach, such as `sqlx::Error::Io`, is no refusal: everything comes
    /// again until it is delivered. Every other error refuses the events; one refused too often is parked.
    fn deliver<'a>(
        &'a self,
        tx: &'a mut PgConnection,
        events: &'a [Event],
    ) -> BoxFuture<'a, Result<(), sqlx::Error>>;
}

/// Relays until told to stop. Of several processes one is active; the others stand by.
pub async fn run(db: PgPool, sink: Arc<dyn Sink>, stop: CancellationToken) {
    let mut tries = HashMap::new();
    while !stop.is_cancelled() {
        let active = be_active(&db, sink.as_ref(), &mut tries);
        match stop.run_until_cancelled(active).await {
            None => return,
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::warn!(%error, "the relay begins again"),
        }
        let _stopped = stop.run_until_cancelled(tokio::time::sleep(AFTER_ERROR)).await;
    }
}

/// Relays while this process holds the lock; comes back at once where another one does.
async fn be_active(
    db: &PgPool,
    sink: &dyn Sink,
    tries: &mut HashMap<i64, u32>,
) -> Result<(), sqlx::Error> {
    // Detached: a connection that goes back to the pool would take the lock with it.
    let mut connection = db.acquire().await?.detach();
    let active = sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "active!""#, LOCK)
        .fetch_one(&mut connection)
        .await?;
    if !active {
        return connection.close().await;
    }
    for turn in 0_u64.. {
        let relayed = step(&mut connection, sink, tries).await?;
        if relayed < usize::try_from(BATCH).unwrap_or(usize::MAX) {
            tokio::time::sleep(IDLE).await;
        }
        if turn % 100 == 0 {
            clear(&mut connection).await?;
        }
    }
    Ok(())
}

/// Relays what there is, at most a batch; returns how many events it looked at.
///
/// # Errors
/// What the statements returned; nothing is lost, the same events come again.
pub async fn step(
    connection: &mut PgConnection,
    sink: &dyn Sink,
    tries: &mut HashMap<i64, u32>,
) -> Result<usize, sqlx::Error> {
    let mut tx = connection.begin().await?;
    let upto = sqlx::query_scalar!("select upto from engine.relay where one for update")
        .fetch_one(&mut *tx)
        .await?;
    let (fresh, late) = pull(&mut tx, upto).await?;
    let mut events: Vec<Event> = late.iter().chain(&fresh).cloned().collect();
    events.sort_by_key(|event| event.seq);
    let delivered = deliver(&mut tx, sink, &events, tries).await?;
    // What comes after an event that is to be tried again waits with it.
    let last = fresh.iter().map(|event| event.seq).take_while(|seq| delivered.contains(seq)).last();
    settle(&mut tx, upto, last.unwrap_or(upto), &delivered).await?;
    tx.commit().await?;
    Ok(events.len())
}

/// The next events, and those that filled a gap since.
async fn pull(tx: &mut PgConnection, upto: i64) -> Result<(Vec<Event>, Vec<Event>), sqlx::Error> {
    let fresh = sqlx::query_as!(
        Event,
        "select seq, id, customer_id, topic, key, sequence, data, at from engine.outbox
         where seq > $1 order by seq limit $2",
        upto,
        BATCH,
    )
    .fetch_all(&mut *tx)
    .await?;
    let late = sqlx::query_as!(
        Event,
        "select o.seq, o.id, o.customer_id, o.topic, o.key, o.sequence, o.data, o.at
         from engine.gaps g join engine.outbox o on o.seq = g.seq order by o.seq limit $1",
        BATCH,
    )
    .fetch_all(tx)
    .await?;
    Ok((fresh, late))
}

/// Delivers a batch, or where the sink refuses it one after the other. Gives those that are done with.
async fn deliver(
    tx: &mut PgConnection,
    sink: &dyn Sink,
    events: &[Event],
    tries: &mut HashMap<i64, u32>,
) -> Result<HashSet<i64>, sqlx::Error> {
    if events.is_empty() {
        return Ok(HashSet::new());
    }
    let parked = parked(tx, events).await?;
    if parked.is_empty() && attempt(tx, sink, events).await.is_ok() {
        return Ok(events.iter().map(|event| event.seq).collect());
    }
    let mut done = HashSet::new();
    let mut parked = parked;
    for event in events {
        let key = (event.topic.clone(), event.key.clone());
        if parked.contains(&key) {
            park(tx, event, 0, "an earlier event of its key is parked").await?;
            done.insert(event.seq);
            continue;
        }
        let Err(error) = attempt(tx, sink, std::slice::from_ref(event)).await else {
            tries.remove(&event.seq);
            done.insert(event.seq);
            continue;
        };
        if lost(&error) {
            // Nobody refused this event: the sink or the database is out of reach, and comes back.
            return Err(error);
        }
        let tried = tries.entry(event.seq).or_default();
        *tried += 1;
        tracing::warn!(%error, event.seq = event.seq, event.topic = event.topic, tries = *tried,
            "an event was refused");
        if *tried < TRIES {
            break;
        }
        park(tx, event, *tried, &error.to_string()).await?;
        tries.remove(&event.seq);
        parked.insert(key);
        done.insert(event.seq);
    }
    Ok(done)
}

/// Delivers events in a savepoint: what a refused batch wrote is undone, the transaction lives on.
async fn attempt(
    tx: &mut PgConnection,
    sink: &dyn Sink,
    events: &[Event],
) -> Result<(), sqlx::Error> {
    let mut savepoint = tx.begin().await?;
    match sink.deliver(&mut savepoint, events).await {
        Ok(()) => savepoint.commit().await,
        Err(error) => {
            savepoint.rollback().await?;
            Err(error)
        }
    }
}

/// The topics and keys of these events of which an earlier one is parked.
async fn parked(
    tx: &mut PgConnection,
    events: &[Event],
) -> Result<HashSet<(String, String)>, sqlx::Error> {
    let topics: Vec<String> = events.iter().map(|event| event.topic.clone()).collect();
    let keys: Vec<String> = events.iter().map(|event| event.key.clone()).collect();
    let rows = sqlx::query!(
        "select distinct p.topic, p.key from engine.parked p
         join unnest($1::text[], $2::text[]) as e(topic, key) on e.topic = p.topic and e.key = p.key",
        &topics,
        &keys,
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.topic, row.key)).collect())
}

async fn park(
    tx: &mut PgConnection,
    event: &Event,
    tries: u32,
    error: &str,
) -> Result<(), sqlx::Error> {
    let whole = json!({
        "id": event.id,
        "customer_id": event.customer_id,
        "sequence": event.sequence,
        "data": event.data,
        "at": event.at,
    });
    sqlx::query!(
        "insert into engine.parked (seq, topic, key, tries, error, event) values ($1, $2, $3, $4, $5, $6)
         on conflict (seq) do nothing",
        event.seq,
        event.topic,
        event.key,
        i32::try_from(tries).unwrap_or(i32::MAX),
        error,
        whole,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Moves the relay's place, remembers new gaps, and forgets those that are filled or never will be.
async fn settle(
    tx: &mut PgConnection,
    from: i64,
    upto: i64,
    delivered: &HashSet<i64>,
) -> Result<(), sqlx::Error> {
    let delivered: Vec<i64> = delivered.iter().copied().collect();
    // A gap gets its horizon one look after it was found: by then whoever took the number also has a
    // transaction number, and that one lies below the horizon.
    sqlx::query!(
        "with filled as (
           delete from engine.gaps where seq = any($3)
         ), gone as (
           delete from engine.gaps g
           where g.seen <= pg_snapshot_xmin(pg_current_snapshot()) and not g.seq = any($3)
             and not exists (select from engine.outbox o where o.seq = g.seq)
         ), judged as (
           update engine.gaps set seen = pg_snapshot_xmax(pg_current_snapshot()) where seen is null and not seq = any($3)
         ), found as (
           insert into engine.gaps (seq) select s from generate_series($1::bigint + 1, $2::bigint) s
           where not s = any($3) on conflict do nothing
         )
         update engine.relay set upto = $2 where one and upto <> $2",
        from,
        upto,
        &delivered,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Clears what was relayed long ago.
async fn clear(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from engine.outbox where seq = any(array(
           select o.seq from engine.outbox o
           where o.seq <= (select upto from engine.relay where one) - $1
             and not exists (select from engine.gaps g where g.seq = o.seq)
           order by o.seq limit $2))",
        KEPT,
        CLEARED,
    )
    .execute(connection)
    .await?;
    Ok(())
}
