//! Eight writers at once: what they commit, what they take back, and what they hold open.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use sqlx::PgPool;

/// The two topics of these events.
pub(super) const TOPICS: [&str; 2] = ["contact.updated", "contact.deleted"];
const WRITERS: u64 = 8;
const ENTITIES: u64 = 400;
/// How many events a transaction writes, each of another entity.
const EVENTS: u64 = 25;

/// Entities, each with a contact that its events are about.
const MAKE: &str = "create table told_entities as
  select key, customer_id, 1::bigint as sequence from engine.outbox where topic = 'contact.created' order by seq limit 400";

/// As the product writes events: the entities are locked in an order, then the transaction has its number before its events
/// have theirs.
const WRITE: &str = "with locked as (
    select key from told_entities where key = any($1) order by key for update
  ), counted as (
    update told_entities e set sequence = e.sequence + 1 from locked l where e.key = l.key
    returning e.key, e.customer_id, e.sequence
  ), me as materialized (
    select pg_current_xact_id() as xid, count(*) from counted
  )
  insert into engine.outbox (id, customer_id, topic, key, sequence, data, xid)
  select ($3 || '-' || substr(gen_random_uuid()::text, 15))::uuid, c.customer_id, (array['contact.updated', 'contact.deleted'])[1 + c.sequence % 2], c.key,
    c.sequence, jsonb_build_object('contact_id', c.key, 'committed', $2::boolean), me.xid
  from me, counted c order by c.key
  returning id::text";

/// What the writers did.
pub(super) struct Written {
    /// The ids of all events that were committed.
    pub(super) committed: BTreeSet<String>,
    /// How many events were taken back.
    pub(super) taken_back: usize,
    /// How many transactions the database lost.
    pub(super) lost: usize,
}

/// Keeps the entities that the writers tell of.
pub(super) async fn make_entities(db: &PgPool) {
    sqlx::query(MAKE).execute(db).await.unwrap();
    sqlx::query("alter table told_entities add primary key (key)").execute(db).await.unwrap();
}

/// A number that looks drawn, the same for the same place.
fn drawn(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Writes so many events that are committed, in transactions of which every third is rolled back, and some are held open for
/// seconds. A transaction that the database loses is neither.
pub(super) async fn write(db: &PgPool, wanted: u64) -> Written {
    let keys: Vec<String> = sqlx::query_scalar("select key from told_entities order by key")
        .fetch_all(db)
        .await
        .unwrap();
    assert_eq!(keys.len() as u64, ENTITIES);
    // A third is taken back, some entities are drawn twice for a transaction, and some transactions hold only one.
    let turns = wanted.div_ceil(EVENTS).div_ceil(WRITERS) * 8 / 5;
    let writers = (0..WRITERS).map(|writer| one(db, &keys, writer, turns));
    let mut all = Written { committed: BTreeSet::new(), taken_back: 0, lost: 0 };
    for of_one in join_all(writers).await {
        all.committed.extend(of_one.committed);
        all.taken_back += of_one.taken_back;
        all.lost += of_one.lost;
    }
    all
}

async fn one(db: &PgPool, keys: &[String], writer: u64, turns: u64) -> Written {
    let mut written = Written { committed: BTreeSet::new(), taken_back: 0, lost: 0 };
    for turn in 0..turns {
        let seed = writer * 1_000_000 + turn;
        // What is held open holds an entity that is the writer's own, so that the others go on.
        let held = turn % 100 == 50;
        let shared = &keys[WRITERS as usize..];
        let place = |n| (drawn(seed * 100 + n) % shared.len() as u64) as usize;
        let chosen: BTreeSet<&String> = match held {
            true => BTreeSet::from([&keys[writer as usize]]),
            false => (0..EVENTS).map(|n| &shared[place(n)]).collect(),
        };
        let chosen: Vec<String> = chosen.into_iter().cloned().collect();
        let commits = turn % 3 != 2;
        let Ok(ids) = transact(db, &chosen, commits, held).await else {
            // The database crashed.
            written.lost += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        if commits {
            written.committed.extend(ids);
        } else {
            written.taken_back += ids.len();
        }
    }
    written
}

async fn transact(
    db: &PgPool,
    keys: &[String],
    commits: bool,
    held: bool,
) -> Result<Vec<String>, sqlx::Error> {
    let mut tx = db.begin().await?;
    let millis: String = sqlx::query_scalar(
        "select substr(lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0'), 1, 8) || '-' ||
           substr(lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0'), 9, 4)",
    )
    .fetch_one(&mut *tx)
    .await?;
    let ids: Vec<String> =
        sqlx::query_scalar(WRITE).bind(keys).bind(commits).bind(millis).fetch_all(&mut *tx).await?;
    if held {
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    if commits {
        tx.commit().await?
    } else {
        tx.rollback().await?
    }
    Ok(ids)
}

/// What an independent reader got, held against what was committed.
pub(super) struct Arrived {
    /// How many came more than once.
    pub(super) again: usize,
}

/// Holds what arrived against the outbox: every committed event came, none of the others did, and of each topic and key the
/// first arrivals stand in order. With the entities' own counts, so that no event is missing in the outbox either.
pub(super) async fn check(db: &PgPool, read: &[Value], written: &Written) -> Arrived {
    let mut first: BTreeMap<&str, (&str, &str, i64)> = BTreeMap::new();
    let mut last: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    let mut again = 0;
    for event in read {
        let text = |name: &str| event[name].as_str().unwrap_or_else(|| panic!("{name}: {event}"));
        assert_eq!(event["data"]["committed"], true, "it was taken back: {event}");
        assert_eq!([text("type"), text("subject")], [text("topic"), text("key")], "{event}");
        assert_eq!(text("partitionkey"), text("key"), "{event}");
        let sequence: i64 = text("sequence").parse().unwrap();
        if first.insert(text("id"), (text("topic"), text("key"), sequence)).is_some() {
            again += 1;
            continue;
        }
        let before = last.insert((text("topic"), text("key")), sequence);
        assert!(before.is_none_or(|before| before < sequence), "after {before:?} comes {event}");
    }
    // In each entity, over both topics, without a hole.
    let mut sequences: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
    for (_, key, sequence) in first.values() {
        assert!(sequences.entry(key).or_default().insert(*sequence), "twice {key} {sequence}");
    }
    let kept: Vec<(String, i64)> =
        sqlx::query_as("select key, sequence from told_entities where sequence > 1")
            .fetch_all(db)
            .await
            .unwrap();
    assert_eq!(kept.len(), sequences.len());
    for (key, sequence) in kept {
        let came: Vec<i64> = sequences[key.as_str()].iter().copied().collect();
        assert_eq!(came, (2..=sequence).collect::<Vec<i64>>(), "{key}");
    }
    assert!(
        first.len() >= written.committed.len(),
        "{} of {}",
        first.len(),
        written.committed.len()
    );
    Arrived { again }
}
