//! How fast events reach Kafka on this machine: `make bench-outbox`.
//!
//! Runs over the Postgres of a `salesos dev` of its own, with all its durability, a broker of its own, and one
//! `salesos publisher`; all of them share the machine's cores. When an event arrived is what the broker wrote down.

#![expect(clippy::disallowed_macros, reason = "a bench prints its figures")]

#[path = "../support/postgres.rs"]
mod postgres;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use engine::clock;
use engine::outbox::{self, NewEvent};
use postgres::Postgres;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Executor, PgPool};
use uuid::Uuid;

const TOPIC: &str = "contact.updated";
const PARTITIONS: i32 = 6;
/// How many entities the events are of.
const ENTITIES: u64 = 1_000;
/// Events a second, and for how long.
const A_SECOND: u64 = 1_000;
const SECONDS: u64 = 30;
const WRITERS: u64 = 8;
const WARMS_UP_FOR: Duration = Duration::from_secs(5);
const BACKLOG: u64 = 500_000;
const IDLE: Duration = Duration::from_secs(30);
/// How long everything may take to arrive.
const ARRIVES_WITHIN: Duration = Duration::from_secs(120);

/// A broker of its own.
struct Broker {
    folder: PathBuf,
    address: String,
}

impl Broker {
    fn start(folder: PathBuf) -> Result<Self> {
        let started = script("start", &folder)?;
        let address = started.trim().strip_prefix("export KAFKA_BROKERS=");
        let address =
            address.with_context(|| format!("scripts/kafka said `{started}`"))?.to_owned();
        Ok(Self { folder, address })
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.address).set("group.id", "bench");
        config
    }

    /// A topic in which the broker writes down when a message arrived.
    async fn make_topic(&self) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.config().create()?;
        let topic = NewTopic::new(TOPIC, PARTITIONS, TopicReplication::Fixed(1))
            .set("message.timestamp.type", "LogAppendTime");
        for made in admin.create_topics([&topic], &AdminOptions::new()).await? {
            made.map_err(|(name, code)| anyhow::anyhow!("{name}: {code}"))?;
        }
        Ok(())
    }

    /// How many messages there are.
    fn count(&self) -> Result<u64> {
        let asking: BaseConsumer = self.config().create()?;
        let mut count = 0;
        for partition in 0..PARTITIONS {
            let (low, high) = asking.fetch_watermarks(TOPIC, partition, Duration::from_secs(10))?;
            count += u64::try_from(high - low)?;
        }
        Ok(count)
    }

    /// When each message arrived, in milliseconds, by what names its event.
    fn arrivals(&self, wanted: usize) -> Result<HashMap<String, i64>> {
        let reading: BaseConsumer = self.config().create()?;
        let mut all = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            all.add_partition_offset(TOPIC, partition, Offset::Beginning)?;
        }
        reading.assign(&all)?;
        let mut arrivals = HashMap::new();
        while arrivals.len() < wanted {
            let Some(came) = reading.poll(Duration::from_secs(10)) else {
                bail!("{} of {wanted} events arrived", arrivals.len());
            };
            let message = came?;
            let event: serde_json::Value =
                serde_json::from_slice(message.payload().unwrap_or_default())?;
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            let sequence: i64 = text("sequence").parse()?;
            arrivals.insert(
                format!("{}/{sequence}", text("subject")),
                message.timestamp().to_millis().context("it has a time")?,
            );
        }
        Ok(arrivals)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _removed = script("remove", &self.folder);
    }
}

fn script(verb: &str, folder: &Path) -> Result<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/kafka");
    let ended = Command::new(script).arg(verb).arg(folder).env("KAFKA_HEAP", "512m").output()?;
    if !ended.status.success() {
        bail!("scripts/kafka {verb}: {}", String::from_utf8_lossy(&ended.stderr));
    }
    Ok(String::from_utf8(ended.stdout)?)
}

/// A `salesos publisher`; it ends with its guard.
struct Publisher(Child);

impl Publisher {
    fn start(url: &str, broker: &Broker) -> Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_salesos"));
        command
            .args(["publisher", "--metrics", "127.0.0.1:29464"])
            .env("DATABASE_URL", url)
            .stdout(Stdio::null());
        command.env("KAFKA_ENABLED", "true").env("KAFKA_BROKERS", &broker.address);
        Ok(Self(command.spawn()?))
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _told = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ended = self.0.wait();
    }
}

fn event(n: u64) -> NewEvent {
    let key = engine::id::show("con", Uuid::from_u128(u128::from(n % ENTITIES)));
    NewEvent {
        customer_id: Uuid::from_u128(1),
        topic: TOPIC.into(),
        schema: format!("{TOPIC}:1"),
        sequence: i64::try_from(n / ENTITIES).unwrap_or(i64::MAX) + 1,
        data: json!({ "contact_id": key, "changed": ["title", "phone"], "source": "bench" }),
        key,
    }
}

/// A database of its own in the Postgres that is lent.
async fn database(url: &str) -> Result<(PgPool, String)> {
    let admin = PgPool::connect(url).await?;
    admin.execute(AssertSqlSafe("create database outbox".to_owned())).await?;
    admin.close().await;
    let (base, _) = url.rsplit_once('/').context("a URL names a database")?;
    let url = format!("{base}/outbox");
    let options = PgConnectOptions::from_str(&url)?;
    let db = PgPoolOptions::new().max_connections(8).connect_with(options).await?;
    sqlx::migrate!().run(&db).await?;
    Ok((db, url))
}

/// Waits until the topic has so many messages; gives how long that took from here.
async fn arrived(broker: &Broker, wanted: u64) -> Result<Duration> {
    let began = clock::started();
    while broker.count()? < wanted {
        if began.elapsed() > ARRIVES_WITHIN {
            bail!("{} of {wanted} events arrived", broker.count()?);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(began.elapsed())
}

fn print(name: &str, value: f64, unit: &str, reach: &str) {
    println!(
        "{{\"name\":\"{name}\",\"value\":{value:.3},\"unit\":\"{unit}\",\"reach\":\"{reach}\"}}"
    );
}

/// Where an event stands among those of its entity, which names it.
fn name(event: &NewEvent) -> String {
    format!("{}/{}", event.key, event.sequence)
}

#[expect(clippy::disallowed_methods, reason = "the broker's clock is the machine's")]
fn milliseconds() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// Writes its part of the events, each in a transaction, at its part of the speed; gives when each was committed.
async fn write(db: PgPool, writer: u64) -> Result<Vec<(String, i64)>> {
    let mut committed = Vec::new();
    let began = clock::started();
    for turn in 0..A_SECOND * SECONDS / WRITERS {
        let due = Duration::from_micros(turn * WRITERS * 1_000_000 / A_SECOND);
        if let Some(early) = due.checked_sub(began.elapsed()) {
            tokio::time::sleep(early).await;
        }
        let event = event(turn * WRITERS + writer);
        let mut tx = db.begin().await?;
        outbox::publish(&mut tx, std::slice::from_ref(&event)).await?;
        tx.commit().await?;
        // A broker that has just begun is slow for some seconds.
        if began.elapsed() > WARMS_UP_FOR {
            committed.push((name(&event), milliseconds()));
        }
    }
    Ok(committed)
}

/// From each commit until the broker has it, at a thousand events a second.
async fn latency(db: &PgPool, broker: &Broker) -> Result<u64> {
    let writing = (0..WRITERS).map(|writer| tokio::spawn(write(db.clone(), writer)));
    let mut committed = Vec::new();
    for written in futures_util::future::join_all(writing).await {
        committed.extend(written??);
    }
    let count = A_SECOND * SECONDS / WRITERS * WRITERS;
    // One more went before.
    arrived(broker, count + 1).await?;
    let arrivals = broker.arrivals(usize::try_from(count + 1)?)?;
    let mut late: Vec<i64> =
        committed.iter().filter_map(|(name, at)| Some((arrivals.get(name)? - at).max(0))).collect();
    late.sort_unstable();
    for (what, of) in [("p50", 50), ("p99", 99)] {
        #[expect(clippy::cast_precision_loss, reason = "a few milliseconds")]
        let value = late[(late.len() - 1) * of / 100] as f64;
        print(&format!("commit to Kafka {what}"), value, "ms", if of == 50 { "15" } else { "60" });
    }
    Ok(count)
}

/// How many queries a publisher with nothing to do asks, by the log of Postgres.
async fn idle(db: &PgPool, url: &str, broker: &Broker) -> Result<()> {
    let data: String = sqlx::query_scalar("show data_directory").fetch_one(db).await?;
    let log = Path::new(&data).with_file_name("postgres.log");
    let said = || -> Result<usize> {
        let text = std::fs::read_to_string(&log).with_context(|| log.display().to_string())?;
        let asked =
            |line: &&str| line.contains("LOG:  execute") || line.contains("LOG:  statement");
        Ok(text.lines().filter(asked).count())
    };
    // Of this database alone, and of who comes from here on.
    db.execute("alter database outbox set log_statement = 'all'").await?;
    let publisher = Publisher::start(url, broker)?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let before = said()?;
    tokio::time::sleep(IDLE).await;
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    let asked = (said()? - before) as f64;
    print("queries while idle", asked / IDLE.as_secs_f64(), "1/s", "2");
    drop(publisher);
    db.execute("alter database outbox reset log_statement").await?;
    Ok(())
}

/// How fast a backlog leaves.
async fn drain(db: &PgPool, url: &str, broker: &Broker, before: u64) -> Result<()> {
    let mut n = 0;
    while n < BACKLOG {
        let events: Vec<NewEvent> = (n..n + 500).map(event).collect();
        let mut tx = db.begin().await?;
        outbox::publish(&mut tx, &events).await?;
        tx.commit().await?;
        n += 500;
    }
    let _publisher = Publisher::start(url, broker)?;
    // Its first events show that it has begun.
    arrived(broker, before + 1).await?;
    let had = broker.count()?;
    let took = arrived(broker, before + BACKLOG).await?;
    #[expect(clippy::cast_precision_loss, reason = "less than a million")]
    let left = (before + BACKLOG - had) as f64;
    print("a backlog leaves by", left / took.as_secs_f64(), "events/s", "20000");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("salesos-bench-outbox-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let measured = measure(&folder).await;
    std::fs::remove_dir_all(&folder)?;
    measured
}

async fn measure(folder: &Path) -> Result<()> {
    let lent = Postgres::start(&folder.join("dev"))?;
    let broker = Broker::start(folder.join("kafka"))?;
    broker.make_topic().await?;
    let (db, url) = database(&lent.url).await?;
    let publisher = Publisher::start(&url, &broker)?;
    // The first idempotent producer costs a broker seconds.
    let mut tx = db.begin().await?;
    outbox::publish(&mut tx, &[event(u64::MAX / 2)]).await?;
    tx.commit().await?;
    arrived(&broker, 1).await?;
    let count = 1 + latency(&db, &broker).await?;
    drop(publisher);
    idle(&db, &url, &broker).await?;
    drain(&db, &url, &broker, count).await?;
    db.close().await;
    Ok(())
}
