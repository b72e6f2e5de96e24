//! One run of the suite: the load, the faults, the drain, the promises.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use engine::limit::{self, Rate, Rule};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Executor, PgPool};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, address, pool};
use crate::crew::{Crew, WORKERS};
use crate::faults::Faults;
use crate::load::{LIVE, Load};
use crate::outside::{self, Outside};
use crate::place::Place;
use crate::proxy::Proxy;
use crate::steps::LINES;
use crate::verify;

/// How long, after the last fault, everything may take to come to its end.
const DRAINED_WITHIN: Duration = Duration::from_secs(120);
/// What one line lets through in two seconds.
const CAP: u32 = 20;

/// Runs it; gives how many promises are broken.
pub(crate) async fn run(seed: u64, length: Duration) -> usize {
    let place = Place::make();
    let cluster = Arc::new(Cluster::make(&place.folder).await);
    // One for each worker, and one for whoever starts runs and disturbs them.
    let mut proxies = Vec::new();
    for place in 0..=WORKERS {
        proxies.push(Proxy::open(cluster.port, seed + place as u64).await);
    }
    let ports: Vec<u16> = proxies.iter().map(|proxy| proxy.port).collect();
    let (port, seen) = outside::open(seed).await;
    let db = cluster.pool(6).await;
    db.execute(verify::TABLES).await.unwrap();
    let through = pool(PgConnectOptions::from_str(&address(ports[WORKERS])).unwrap(), 6);
    let load = Arc::new(Load::prepare([db.clone(), through], Outside { port }, seed).await);
    set_limits(&db, &load).await;
    let crew = Arc::new(Crew::start(&place.folder, place.group(), ports, port));
    let faults = Faults::new(&cluster, proxies, &crew, seed);

    let stop = CancellationToken::new();
    let (loading, told) = (Arc::clone(&load), stop.clone());
    let loading = tokio::spawn(async move { loading.keep_up(&told).await });
    filled(&db).await;
    faults.play(length).await;
    stop.cancel();
    loading.await.unwrap();
    println!("faults: {}", faults.told());
    let drained = drain(&db, &load).await;
    crew.disband().await;
    let ledger = std::mem::take(&mut *load.ledger.lock().unwrap());
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    let in_the_act = verify::bring(&db, &ledger, &seen, &crew.frozen()).await;
    println!(
        "{} starts acknowledged, {} messages accepted ({in_the_act} of them by a process frozen in the act), {} events told; drained in {:.1} s",
        ledger.started.len(),
        seen.accepted.len(),
        seen.told.len(),
        drained.as_secs_f64()
    );
    let late: String = sqlx::query_scalar(
        "select concat_ws(', ', percentile_disc(array[0.5, 0.99, 1]) within group (order by at - due_at)) from chaos.woke",
    )
    .fetch_one(&db)
    .await
    .unwrap();
    println!("how late sleepers woke (half, 99 %, all): {late}");
    let mended = crew.said("limits did not add up");
    let strays = crew.said("found live runs without");
    println!("limits mended {mended} times, stray runs found {strays} times");
    let broken = verify::check(&db).await;
    if broken > 0 {
        println!("logs: {}", place.keep().display());
        hold(&cluster).await;
    }
    broken
}

/// Gives every line its limit.
async fn set_limits(db: &PgPool, load: &Load) {
    let mut tx = db.begin().await.unwrap();
    for line in 0..LINES {
        let rate = Some(Rate { cap: CAP, per: Duration::from_secs(2) });
        let rule = Rule { rate, at_once: Some(8), ..Rule::default() };
        let name = format!("line {line}");
        limit::set(&mut tx, load.customer, "line", &name, &rule).await.unwrap();
    }
    tx.commit().await.unwrap();
}

/// Waits until the load is as high as it is meant to be.
async fn filled(db: &PgPool) {
    let wanted = i64::try_from(LIVE).unwrap() * 9 / 10;
    let began = Instant::now();
    while count(db, "select count(*) from engine.runs where ended_at is null").await < wanted {
        assert!(began.elapsed() < Duration::from_secs(60), "the load does not come up");
        sleep(Duration::from_millis(200)).await;
    }
}

/// Waits until all has come to its end, and no longer than it may take; gives how long it took.
async fn drain(db: &PgPool, load: &Load) -> Duration {
    let began = Instant::now();
    let left = "select (select count(*) from engine.runs where ended_at is null)
        + (select count(*) from engine.untold) + (select count(*) from engine.endings)";
    while count(db, left).await > 0 && began.elapsed() < DRAINED_WITHIN {
        if let Err(error) = load.release().await {
            let deadlocked =
                error.as_database_error().and_then(|error| error.code()) == Some("40P01".into());
            assert!(deadlocked, "people can't let their runs go on: {error}");
        }
        sleep(Duration::from_millis(500)).await;
    }
    began.elapsed()
}

async fn count(db: &PgPool, statement: &'static str) -> i64 {
    sqlx::query_scalar(statement).fetch_one(db).await.unwrap()
}

/// Leaves Postgres running where somebody wants to look, until they press Ctrl-C.
async fn hold(cluster: &Cluster) {
    if crate::setting("SALESOS_CHAOS_HOLD").is_some() {
        println!("psql {}", address(cluster.port));
        tokio::signal::ctrl_c().await.unwrap();
    }
}
