//! How fast the engine is on this machine: `make bench`, or `make bench-quick` for figures under a minute.
//!
//! Runs over the Postgres of a `salesos dev` of its own, with all its durability, in a database beside
//! that one's. Figures drift with the machine: compare them within one run only.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use engine::clock;
use engine::context::Context;
use engine::definition::{self, Format};
use engine::definition_store::{self, Definitions};
use engine::fact::FactWriters;
use engine::run::{self, NewRun, Priority};
use engine::step::{Effect, Outcome, Registry, Step, StepError, StepType, Subject};
use engine::worker::{self, Settings, Worker};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Executor, PgPool};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How much is measured.
struct Amounts {
    sequences: usize,
    backlog: usize,
    starts: usize,
    idle: Duration,
}

const WHOLE: Amounts =
    Amounts { sequences: 50_000, backlog: 200_000, starts: 1_000, idle: Duration::from_secs(20) };
const QUICK: Amounts =
    Amounts { sequences: 10_000, backlog: 30_000, starts: 300, idle: Duration::from_secs(5) };

/// One figure.
struct Figure {
    name: &'static str,
    value: f64,
    unit: &'static str,
    reach: &'static str,
}

#[tokio::main]
async fn main() -> Result<()> {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let amounts = if quick { QUICK } else { WHOLE };
    let folder = std::env::temp_dir().join(format!("salesos-bench-{}", std::process::id()));
    let postgres = Postgres::start(&folder)?;
    let measured = measure(&postgres.url, &amounts).await;
    drop(postgres);
    std::fs::remove_dir_all(&folder)?;
    let (figures, version) = measured?;
    if quick {
        for figure in &figures {
            println!(
                "{{\"name\":\"{}\",\"value\":{:.3},\"unit\":\"{}\"}}",
                figure.name, figure.value, figure.unit
            );
        }
    }
    println!("{}; Postgres {version}, fsync on; {}", machine(), built());
    for figure in &figures {
        println!(
            "{:<22} {:>12.3} {:<10} to reach {}",
            figure.name, figure.value, figure.unit, figure.reach
        );
    }
    Ok(())
}

fn machine() -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores, {}", model.map_or("unknown", |(_, model)| model))
}

fn built() -> &'static str {
    if cfg!(debug_assertions) {
        "built without optimisation: no figure counts"
    } else {
        "built with optimisation"
    }
}

/// A `salesos dev` that lends its Postgres.
struct Postgres {
    dev: Child,
    url: String,
}

impl Postgres {
    fn start(folder: &Path) -> Result<Self> {
        let program = env!("CARGO_BIN_EXE_salesos");
        let mut dev = Command::new(program)
            .args(["dev", "--port", "0", "--data-dir"])
            .arg(folder)
            .env_remove("DATABASE_URL")
            .stdout(Stdio::piped())
            .spawn()?;
        let output = dev.stdout.take().context("a piped output is there")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        if !line.starts_with("ready") {
            bail!("salesos dev did not start");
        }
        let printed = Command::new(program)
            .args(["db", "--print-url"])
            .env_remove("DATABASE_URL")
            .env("SALESOS_DATA_DIR", folder)
            .output()?;
        Ok(Self { dev, url: String::from_utf8(printed.stdout)?.trim().to_owned() })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _told = Command::new("kill").arg("-INT").arg(self.dev.id().to_string()).status();
        let _ended = self.dev.wait();
    }
}

/// A step that does nothing but say, where asked, that it has begun.
#[derive(Clone)]
struct Nothing(mpsc::UnboundedSender<Instant>, Arc<AtomicBool>);

impl Step for Nothing {
    fn run<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        if self.1.load(Ordering::Relaxed) {
            let _listening = self.0.send(clock::started());
        }
        async { Ok(Outcome::default()) }.boxed()
    }
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoKeys {}

fn registry(step: Nothing) -> Registry {
    let load = |_, _| async { Ok(Some(serde_json::json!({}))) }.boxed();
    Registry::new()
        .step(StepType {
            name: "nothing",
            effect: Effect::Pure,
            timeout: Duration::from_secs(10),
            windowed: false,
            limits: &[],
            schema: || schemars::schema_for!(NoKeys),
            parse: Arc::new(move |_| Ok(Arc::new(step.clone()))),
        })
        .subject(Subject { name: "thing", fields: &[], load: Arc::new(load) })
}

/// A customer with two workflows, and a worker for them.
struct World {
    db: PgPool,
    customer_id: Uuid,
    worker: Worker,
    three: i64,
    one: i64,
    telling: Arc<AtomicBool>,
    begun: mpsc::UnboundedReceiver<Instant>,
}

impl World {
    async fn new(url: &str) -> Result<Self> {
        let options = PgConnectOptions::from_str(url)?;
        let admin = PgPool::connect_with(options.clone()).await?;
        admin.execute("create database bench").await?;
        let options = options.database("bench");
        let db = PgPoolOptions::new().max_connections(8).connect_with(options.clone()).await?;
        sqlx::migrate!().run(&db).await?;
        let (tell, begun) = mpsc::unbounded_channel();
        let telling = Arc::new(AtomicBool::new(false));
        let registry = registry(Nothing(tell, Arc::clone(&telling)));
        let customer_id = clock::new_id();
        let mut ids = Vec::new();
        for steps in [3, 1] {
            let step = |n| format!("[[steps]]\nid = \"s{n}\"\ntype = \"nothing\"\n");
            let steps_text: String = (0..steps).map(step).collect();
            let source = format!(
                "name = \"bench-{steps}\"\ntitle = \"Bench\"\nsubject = \"thing\"\n{steps_text}"
            );
            let read = definition::read("bench.toml", &source, Format::Toml, &registry);
            let definition = read.map_err(|refusals| anyhow::anyhow!("{refusals}"))?;
            let mut tx = db.begin().await?;
            ids.push(definition_store::keep(&mut tx, customer_id, &definition, &source).await?.id);
            tx.commit().await?;
        }
        let worker = Worker {
            queue: worker::pool(options).await?,
            db: db.clone(),
            definitions: Definitions::new(registry),
            writers: FactWriters::new(),
            settings: Settings::default(),
        };
        Ok(Self { db, customer_id, worker, three: ids[0], one: ids[1], telling, begun })
    }

    async fn start(&self, definition_id: i64, count: usize) -> Result<()> {
        let new = |_| NewRun {
            id: clock::new_id(),
            customer_id: self.customer_id,
            definition_id,
            subject_id: clock::new_id(),
            zone: "UTC".into(),
            actor: "bench".into(),
            start_at: None,
            limit_keys: serde_json::json!({}),
            priority: Priority::Normal,
            parent: None,
        };
        let mut left = count;
        while left > 0 {
            let runs: Vec<NewRun> = (0..left.min(500)).map(new).collect();
            let mut tx = self.db.begin().await?;
            run::start(&mut tx, &runs).await?;
            tx.commit().await?;
            left -= runs.len();
        }
        Ok(())
    }

    /// Works off all that is started; gives runs per second and the WAL that it took.
    async fn drain(&self, definition_id: i64, count: usize) -> Result<(f64, f64)> {
        self.start(definition_id, count).await?;
        self.db.execute("vacuum analyze").await?;
        let before = self.wal().await?;
        let stop = CancellationToken::new();
        let began = clock::started();
        let working = tokio::spawn({
            let (worker, stop) = (self.worker.clone(), stop.clone());
            async move { worker.run(stop).await }
        });
        let mut look = tokio::time::interval(Duration::from_millis(20));
        loop {
            look.tick().await;
            let left: bool = sqlx::query_scalar("select exists (select from engine.jobs)")
                .fetch_one(&self.db)
                .await?;
            if !left {
                break;
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        stop.cancel();
        working.await?;
        #[expect(clippy::cast_precision_loss, reason = "a figure needs no exact count")]
        let per_second = count as f64 / seconds;
        Ok((per_second, self.wal().await? - before))
    }

    async fn wal(&self) -> Result<f64> {
        let position = "select (pg_current_wal_lsn() - '0/0'::pg_lsn)::double precision";
        Ok(sqlx::query_scalar(position).fetch_one(&self.db).await?)
    }

    /// How long it takes from a start to its first step, in milliseconds, sorted.
    async fn latencies(&mut self, count: usize) -> Result<Vec<f64>> {
        let stop = CancellationToken::new();
        let working = tokio::spawn({
            let (worker, stop) = (self.worker.clone(), stop.clone());
            async move { worker.run(stop).await }
        });
        self.telling.store(true, Ordering::Relaxed);
        let mut latencies = Vec::with_capacity(count);
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        for turn in 0..count + 20 {
            pace.tick().await;
            let began = clock::started();
            self.start(self.one, 1).await?;
            let begun = self.begun.recv().await.context("the step tells")?;
            // The first ones open connections and plan statements.
            if turn >= 20 {
                latencies.push(begun.duration_since(began).as_secs_f64() * 1_000.0);
            }
        }
        self.telling.store(false, Ordering::Relaxed);
        stop.cancel();
        working.await?;
        latencies.sort_by(f64::total_cmp);
        Ok(latencies)
    }

    /// What share of a core an idle worker takes, in percent.
    async fn idle(&self, span: Duration) -> Result<f64> {
        let stop = CancellationToken::new();
        let working = tokio::spawn({
            let (worker, stop) = (self.worker.clone(), stop.clone());
            async move { worker.run(stop).await }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = own_cpu()?;
        tokio::time::sleep(span).await;
        let used = own_cpu()? - before;
        stop.cancel();
        working.await?;
        Ok(used / span.as_secs_f64() * 100.0)
    }
}

/// The seconds of CPU that this process has used.
fn own_cpu() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(") ").context("a stat has a name")?;
    let ticks: f64 =
        fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / 100.0)
}

async fn measure(url: &str, amounts: &Amounts) -> Result<(Vec<Figure>, String)> {
    let mut world = World::new(url).await?;
    let version: String = sqlx::query_scalar("show server_version").fetch_one(&world.db).await?;
    // Warms caches and plans.
    world.drain(world.three, 2_000).await?;
    let (sequences, wal) = world.drain(world.three, amounts.sequences).await?;
    let (drain, _) = world.drain(world.one, amounts.backlog).await?;
    let latencies = world.latencies(amounts.starts).await?;
    let idle = world.idle(amounts.idle).await?;
    #[expect(clippy::cast_precision_loss, reason = "a figure needs no exact count")]
    let steps = (amounts.sequences * 3) as f64;
    let at = |hundredths: usize| latencies[(latencies.len() - 1) * hundredths / 100];
    let figure = |name, value, unit, reach| Figure { name, value, unit, reach };
    Ok((
        vec![
            figure("seq3_runs_per_s", sequences, "runs/s", "10000 (later 15000)"),
            figure("drain_runs_per_s", drain, "runs/s", "30000 (later)"),
            figure("latency_p50_ms", at(50), "ms", "< 3 (later 1.5)"),
            figure("latency_p99_ms", at(99), "ms", "(later < 3)"),
            figure("wal_bytes_per_step", wal / steps, "bytes", "(later < 1300)"),
            figure("idle_cpu_percent", idle, "%", "< 2 (later 1)"),
        ],
        version,
    ))
}
