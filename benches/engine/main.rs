//! How fast the engine is on this machine: `make bench`, or `make bench-quick` for figures under a minute.
//! `make bench PARTS="speed fair"` measures only those parts.
//!
//! Runs over the Postgres of a `salesos dev` of its own, with all its durability, each part in a database of
//! its own. Figures drift with the machine: compare them within one run only.

#![expect(clippy::disallowed_macros, reason = "a bench prints its figures")]

mod ahead;
mod cost;
mod crowd;
mod peers;
#[path = "../support/postgres.rs"]
mod postgres;
mod speed;
mod turns;
mod world;

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Result, bail};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use postgres::Postgres;
use world::World;

/// How much is measured.
struct Amounts {
    sequences: usize,
    backlog: usize,
    starts: usize,
    idle: Duration,
    sleepers: usize,
    due: Duration,
    finished: usize,
    pinned: Duration,
    limited: usize,
    granting: Duration,
    cohort: usize,
}

const WHOLE: Amounts = Amounts {
    sequences: 50_000,
    backlog: 1_000_000,
    starts: 1_000,
    idle: Duration::from_secs(20),
    sleepers: 10_000_000,
    due: Duration::from_secs(30),
    finished: 50_000_000,
    pinned: Duration::from_secs(15 * 60),
    limited: 100_000,
    granting: Duration::from_secs(32),
    cohort: 1_000_000,
};
const QUICK: Amounts = Amounts {
    sequences: 10_000,
    backlog: 30_000,
    starts: 300,
    idle: Duration::from_secs(5),
    sleepers: 100_000,
    due: Duration::from_secs(5),
    finished: 500_000,
    pinned: Duration::from_secs(20),
    limited: 20_000,
    granting: Duration::from_secs(12),
    cohort: 50_000,
};

/// What can be measured, in its order: `overhead` comes before what counts by metrics.
const PARTS: [&str; 13] = [
    "speed",
    "flat",
    "latency",
    "idle",
    "cost",
    "overhead",
    "processes",
    "fair",
    "limits",
    "sleepers",
    "snapshot",
    "year",
    "ahead",
];

/// One figure.
struct Figure {
    name: &'static str,
    value: f64,
    unit: &'static str,
    reach: &'static str,
}

impl Figure {
    fn new(name: &'static str, value: f64, unit: &'static str, reach: &'static str) -> Self {
        Self { name, value, unit, reach }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [flag, url] = arguments.as_slice()
        && flag == "--work"
    {
        // A worker of its own process, killed by whoever began it.
        let world = World::join(url).await?;
        let _working = world.work();
        return std::future::pending().await;
    }
    let quick = arguments.iter().any(|word| word == "--quick");
    let mut parts: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|word| *word != "--quick").collect();
    if let Some(unknown) = parts.iter().find(|part| **part != "peers" && !PARTS.contains(part)) {
        bail!("there is no part `{unknown}`; there are: {}, peers", PARTS.join(", "));
    }
    if parts.is_empty() {
        parts = if quick { PARTS[..3].to_vec() } else { [&PARTS[..], &["peers"]].concat() };
    }
    let folder = std::env::temp_dir().join(format!("salesos-bench-{}", std::process::id()));
    let postgres = Postgres::start(&folder)?;
    let measured = measure(&postgres.url, if quick { &QUICK } else { &WHOLE }, &parts).await;
    drop(postgres);
    std::fs::remove_dir_all(&folder)?;
    let (figures, version) = measured?;
    println!("{}; Postgres {version}, fsync on; {}", machine(), built());
    for figure in &figures {
        let reach = if figure.reach.is_empty() {
            String::new()
        } else {
            format!("to reach {}", figure.reach)
        };
        println!("{:<38} {:>12.3} {:<8} {reach}", figure.name, figure.value, figure.unit);
    }
    Ok(())
}

async fn measure(url: &str, amounts: &Amounts, parts: &[&str]) -> Result<(Vec<Figure>, String)> {
    let mut figures: Vec<Figure> = Vec::new();
    for part in PARTS.iter().filter(|part| parts.contains(part)) {
        let began = engine::clock::started();
        let measured = match *part {
            "speed" => speed::speed(url, amounts).await,
            "flat" => speed::flat(url, amounts).await,
            "latency" => speed::latency(url, amounts).await,
            "idle" => speed::idle(url, amounts).await,
            "cost" => cost::cost(url, amounts).await,
            "overhead" => speed::overhead(url, amounts).await,
            "processes" => crowd::processes(url, amounts).await,
            "fair" => turns::fair(url, amounts).await,
            "limits" => turns::limits(url, amounts).await,
            "sleepers" => crowd::sleepers(url, amounts).await,
            "snapshot" => crowd::snapshot(url, amounts).await,
            "year" => crowd::year(url, amounts).await,
            _ahead => ahead::ahead(amounts).await,
        }?;
        measured.iter().for_each(print);
        eprintln!("{part} took {} s", began.elapsed().as_secs());
        figures.extend(measured);
    }
    if parts.contains(&"peers") {
        let measured = peers::peers(url, &figures)?;
        measured.iter().for_each(print);
        figures.extend(measured);
    }
    let db = sqlx::PgPool::connect(url).await?;
    let version: String = sqlx::query_scalar("show server_version").fetch_one(&db).await?;
    Ok((figures, version))
}

/// As scripts read it.
fn print(figure: &Figure) {
    println!(
        "{{\"name\":\"{}\",\"value\":{:.3},\"unit\":\"{}\"}}",
        figure.name, figure.value, figure.unit
    );
}

static COUNTED: OnceLock<PrometheusHandle> = OnceLock::new();

/// Counts and traces from here on, as a process in production does.
fn tell_all() -> Result<()> {
    if COUNTED.get().is_none() {
        let _first = COUNTED.set(PrometheusBuilder::new().install_recorder()?);
        tracing_subscriber::fmt().with_env_filter("info").with_writer(std::io::sink).init();
    }
    Ok(())
}

/// What was counted, in Prometheus' text format.
fn counted() -> String {
    COUNTED.get().map(PrometheusHandle::render).unwrap_or_default()
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
