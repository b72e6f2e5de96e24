//! What every measurement needs: a database, workflows, a worker.

use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use engine::clock;
use engine::context::Context;
use engine::definition::{self, Format};
use engine::definition_store::{self, Definitions};
use engine::fact::FactWriters;
use engine::limit::{self, Rule};
use engine::run::{self, NewRun, Priority};
use engine::step::{Effect, Outcome, Registry, Step, StepError, StepType, Subject};
use engine::worker::{self, Settings, Worker};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Executor, PgPool};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How many mailboxes have a limit.
pub(crate) const MAILBOXES: usize = 1_000;

/// A subject, and when a step of its run acted.
pub(crate) type Act = (Uuid, DateTime<Utc>);

/// What the steps of a world tell.
#[derive(Clone)]
pub(crate) struct Told {
    /// How many steps have run.
    pub(crate) steps: Arc<AtomicUsize>,
    /// Whether each says when it began, by its subject.
    pub(crate) telling: Arc<AtomicBool>,
    begun: mpsc::UnboundedSender<(Uuid, Instant)>,
    /// When each acted by the engine's clock, by its subject; kept while `keeping`.
    pub(crate) acts: Arc<Mutex<Vec<Act>>>,
    pub(crate) keeping: Arc<AtomicBool>,
}

/// A step that does nothing, by leave where it may act only once.
struct Nothing(Told, Effect);

impl Step for Nothing {
    fn run<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        self.0.steps.fetch_add(1, Ordering::Relaxed);
        if self.0.telling.load(Ordering::Relaxed) {
            let _listening = self.0.begun.send((cx.run_id(), clock::started()));
        }
        if self.0.keeping.load(Ordering::Relaxed)
            && let Ok(mut acts) = self.0.acts.lock()
        {
            acts.push((cx.subject_id(), cx.now()));
        }
        async {
            if self.1 == Effect::AtMostOnce {
                cx.intent(serde_json::json!({})).await?;
            }
            Ok(Outcome::default())
        }
        .boxed()
    }
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoKeys {}

fn registry(told: Told) -> Registry {
    let load = |_, _| async { Ok(Some(serde_json::json!({}))) }.boxed();
    let step = |name, effect: Effect| {
        let told = told.clone();
        StepType {
            name,
            effect,
            timeout: Duration::from_secs(10),
            windowed: false,
            limits: &[],
            outputs: &[],
            example: "",
            schema: || schemars::schema_for!(NoKeys),
            parse: Arc::new(move |_| Ok(Arc::new(Nothing(told.clone(), effect)))),
        }
    };
    Registry::new()
        .step(step("nothing", Effect::Pure))
        .step(step("act", Effect::AtMostOnce))
        .subject(Subject { name: "thing", fields: &[], load: Arc::new(load) })
        .limit("mailbox")
}

/// A database with workflows of two customers, and a worker for them.
pub(crate) struct World {
    pub(crate) db: PgPool,
    pub(crate) customer_id: Uuid,
    /// Runs of three steps, of one, of one that acts only once, and of one under the mailbox's limit.
    pub(crate) three: i64,
    pub(crate) one: i64,
    pub(crate) acting: i64,
    pub(crate) limited: i64,
    /// Another customer, with a workflow of one step.
    pub(crate) other_id: Uuid,
    pub(crate) other_one: i64,
    pub(crate) told: Told,
    pub(crate) begun: mpsc::UnboundedReceiver<(Uuid, Instant)>,
    pub(crate) url: String,
    worker: Worker,
    name: String,
    server: PgConnectOptions,
}

/// A worker that works.
pub(crate) struct Working(CancellationToken, JoinHandle<()>);

impl Working {
    pub(crate) async fn stop(self) -> Result<()> {
        self.0.cancel();
        Ok(self.1.await?)
    }
}

impl World {
    /// Makes a database of its own.
    pub(crate) async fn new(url: &str, name: &str) -> Result<Self> {
        let server = PgConnectOptions::from_str(url)?;
        let admin = PgPool::connect_with(server.clone()).await?;
        admin
            .execute(AssertSqlSafe(format!("drop database if exists {name} with (force)")))
            .await?;
        admin.execute(AssertSqlSafe(format!("create database {name}"))).await?;
        admin.close().await;
        let (base, _) = url.rsplit_once('/').context("a URL names a database")?;
        Self::at(&format!("{base}/{name}"), name, server, 12).await
    }

    async fn at(url: &str, name: &str, server: PgConnectOptions, connections: u32) -> Result<Self> {
        let options = PgConnectOptions::from_str(url)?;
        // As salesos takes connections that it used a moment ago.
        let db = PgPoolOptions::new()
            .max_connections(connections)
            .test_before_acquire(false)
            .connect_with(options.clone())
            .await?;
        sqlx::migrate!().run(&db).await?;
        let (tell, begun) = mpsc::unbounded_channel();
        let told = Told {
            steps: Arc::default(),
            telling: Arc::default(),
            begun: tell,
            acts: Arc::default(),
            keeping: Arc::default(),
        };
        let registry = registry(told.clone());
        // The same in every process, so that workers of other processes keep nothing new.
        let (customer_id, other_id) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let limit = "limits = [\"mailbox\"]\n";
        let three = keep(&db, customer_id, &registry, "three", &["nothing"; 3], "").await?;
        let one = keep(&db, customer_id, &registry, "one", &["nothing"], "").await?;
        let acting = keep(&db, customer_id, &registry, "acting", &["act"], "").await?;
        let limited = keep(&db, customer_id, &registry, "limited", &["nothing"], limit).await?;
        let other_one = keep(&db, other_id, &registry, "one", &["nothing"], "").await?;
        let worker = Worker {
            queue: worker::pool(options).await?,
            db: db.clone(),
            definitions: Definitions::new(registry),
            writers: FactWriters::new(),
            settings: Settings::default(),
        };
        let (url, name) = (url.to_owned(), name.to_owned());
        Ok(Self {
            db,
            customer_id,
            three,
            one,
            acting,
            limited,
            other_id,
            other_one,
            told,
            begun,
            url,
            worker,
            name,
            server,
        })
    }

    /// Joins a database that another process made, and works until stopped.
    pub(crate) async fn join(url: &str) -> Result<Self> {
        let (_, name) = url.rsplit_once('/').context("a URL names a database")?;
        // Four of these and their Postgres' hundred connections have to do.
        Self::at(url, name, PgConnectOptions::from_str(url)?, 2).await
    }

    /// Drops the database.
    pub(crate) async fn end(self) -> Result<()> {
        self.worker.queue.close().await;
        self.db.close().await;
        let admin = PgPool::connect_with(self.server).await?;
        admin.execute(AssertSqlSafe(format!("drop database {} with (force)", self.name))).await?;
        admin.close().await;
        Ok(())
    }

    /// Begins to work.
    pub(crate) fn work(&self) -> Working {
        let stop = CancellationToken::new();
        let (worker, told) = (self.worker.clone(), stop.clone());
        Working(stop, tokio::spawn(async move { worker.run(told).await }))
    }

    /// Starts runs of a workflow of the first customer, 500 in a transaction.
    pub(crate) async fn start(&self, definition_id: i64, count: usize) -> Result<()> {
        let mut left = count;
        while left > 0 {
            let runs: Vec<NewRun> =
                (0..left.min(500)).map(|_| new_run(self.customer_id, definition_id)).collect();
            self.begin(&runs).await?;
            left -= runs.len();
        }
        Ok(())
    }

    /// Starts runs of three steps all at once, and lets them be worked off by who works already; gives runs per
    /// second.
    pub(crate) async fn round(&self, count: usize) -> Result<f64> {
        let all = self.told.steps.load(Ordering::Relaxed) + count * 3;
        let runs: Vec<NewRun> = (0..count).map(|_| new_run(self.customer_id, self.three)).collect();
        let mut tx = self.db.begin().await?;
        for chunk in runs.chunks(500) {
            run::start(&mut tx, chunk).await?;
        }
        tx.commit().await?;
        let began = clock::started();
        self.reached(all).await;
        Ok(number(count) / began.elapsed().as_secs_f64())
    }

    /// Waits until so many steps have run. Asks the database for nothing: beside a pinned snapshot an answer would
    /// take seconds.
    async fn reached(&self, steps: usize) {
        let mut look = tokio::time::interval(Duration::from_millis(2));
        while self.told.steps.load(Ordering::Relaxed) < steps {
            look.tick().await;
        }
    }

    /// Starts runs under the limits of many mailboxes, each with this rule.
    pub(crate) async fn start_limited(&self, rule: &Rule, count: usize) -> Result<()> {
        let mut tx = self.db.begin().await?;
        for mailbox in 0..MAILBOXES {
            limit::set(&mut tx, self.customer_id, "mailbox", &mailbox.to_string(), rule).await?;
        }
        tx.commit().await?;
        let limited = |n: usize| NewRun {
            subject_id: Uuid::from_u128((n % MAILBOXES) as u128),
            limit_keys: serde_json::json!({ "mailbox": (n % MAILBOXES).to_string() }),
            ..new_run(self.customer_id, self.limited)
        };
        let runs: Vec<NewRun> = (0..count).map(limited).collect();
        for chunk in runs.chunks(500) {
            self.begin(chunk).await?;
        }
        Ok(())
    }

    /// Starts these runs in one transaction.
    pub(crate) async fn begin(&self, runs: &[NewRun]) -> Result<()> {
        let mut tx = self.db.begin().await?;
        run::start(&mut tx, runs).await?;
        Ok(tx.commit().await?)
    }

    /// Waits until no job is left. Looks rarely: beside a pinned snapshot a look reads all that is dead.
    pub(crate) async fn idle(&self) -> Result<()> {
        let mut look = tokio::time::interval(Duration::from_millis(20));
        let mut steps = usize::MAX;
        loop {
            look.tick().await;
            let now = self.told.steps.load(Ordering::Relaxed);
            if std::mem::replace(&mut steps, now) != now {
                continue;
            }
            let left: bool = sqlx::query_scalar("select exists (select from engine.jobs)")
                .fetch_one(&self.db)
                .await?;
            if !left {
                return Ok(());
            }
        }
    }

    /// Works off so many steps, all that stand in the queue; gives seconds.
    pub(crate) async fn drain(&self, steps: usize) -> Result<f64> {
        let all = self.told.steps.load(Ordering::Relaxed) + steps;
        let began = clock::started();
        let working = self.work();
        self.reached(all).await;
        let seconds = began.elapsed().as_secs_f64();
        working.stop().await?;
        Ok(seconds)
    }

    /// Runs a statement of the measurement's own.
    pub(crate) async fn sql(&self, statement: impl Into<String>) -> Result<()> {
        self.db.execute(AssertSqlSafe(statement.into())).await?;
        Ok(())
    }

    /// How many bytes of WAL were ever written.
    pub(crate) async fn wal(&self) -> Result<f64> {
        let position = "select (pg_current_wal_lsn() - '0/0'::pg_lsn)::double precision";
        Ok(sqlx::query_scalar(position).fetch_one(&self.db).await?)
    }
}

/// A run to start at once.
pub(crate) fn new_run(customer_id: Uuid, definition_id: i64) -> NewRun {
    NewRun {
        id: clock::new_id(),
        customer_id,
        definition_id,
        subject_id: clock::new_id(),
        zone: "UTC".into(),
        actor: "bench".into(),
        start_at: None,
        limit_keys: serde_json::json!({}),
        priority: Priority::Normal,
        parent: None,
    }
}

async fn keep(
    db: &PgPool,
    customer_id: Uuid,
    registry: &Registry,
    name: &str,
    types: &[&str],
    more: &str,
) -> Result<i64> {
    let step = |(n, of)| format!("[[steps]]\nid = \"s{n}\"\ntype = \"{of}\"\n{more}");
    let steps: String = types.iter().enumerate().map(step).collect();
    let source = format!("name = \"{name}\"\ntitle = \"Bench\"\nsubject = \"thing\"\n{steps}");
    let read = definition::read("bench.toml", &source, Format::Toml, registry);
    let definition = read.map_err(|refusals| anyhow::anyhow!("{refusals}"))?;
    let mut tx = db.begin().await?;
    let kept = definition_store::keep(&mut tx, customer_id, &definition, &source).await?;
    tx.commit().await?;
    Ok(kept.id)
}

/// The value that so many hundredths of sorted values don't exceed.
pub(crate) fn percentile(sorted: &[f64], hundredths: usize) -> f64 {
    sorted.get((sorted.len().max(1) - 1) * hundredths / 100).copied().unwrap_or(f64::NAN)
}

/// A count as a number to divide.
#[expect(clippy::cast_precision_loss, reason = "a figure needs no exact count")]
pub(crate) fn number(count: usize) -> f64 {
    count as f64
}
