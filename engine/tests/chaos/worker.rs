//! A worker in a process of its own, as a server would run one: it can be killed, frozen, and told another
//! time of day. Ends at once when its standard input closes, as it does when the suite dies.

use std::io::Read;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use engine::definition_store::Definitions;
use engine::fact::FactWriters;
use engine::relay;
use engine::worker::{self, Settings, Worker};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnectOptions;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cluster::{address, pool};
use crate::outside::Outside;
use crate::steps::registry;
use crate::tell::{Broker, Writer};

/// How long a lease is: short, so that the suite meets many that run out.
pub(crate) const LEASE: Duration = Duration::from_secs(3);

/// What a worker is told at its start.
#[derive(Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) name: String,
    /// The proxy's port.
    pub(crate) database: u16,
    pub(crate) outside: u16,
}

/// Works until told to stop.
pub(crate) async fn work(orders: Orders) {
    tracing_subscriber::fmt()
        .with_env_filter("warn,sqlx=error")
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let stop = CancellationToken::new();
    let mut terminated = signal(SignalKind::terminate()).unwrap();
    let stopping = stop.clone();
    tokio::spawn(async move {
        terminated.recv().await;
        stopping.cancel();
    });
    std::thread::spawn(|| {
        let _closed = std::io::stdin().read(&mut [0]);
        std::process::exit(1);
    });
    let outside = Outside { port: orders.outside };
    let options = PgConnectOptions::from_str(&address(orders.database)).unwrap();
    let queue = loop {
        match worker::pool(options.clone()).await {
            Ok(queue) => break queue,
            Err(_not_yet) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    };
    let db = pool(options, 8);
    let relay = relay::Settings { name: orders.name.clone(), lease: LEASE };
    let settings = Settings {
        name: orders.name,
        concurrency: 64,
        leases: 256,
        poll: Duration::from_millis(200),
        lease: LEASE,
        ..Settings::default()
    };
    let definitions = Definitions::new(registry(outside));
    let writers = FactWriters::new().writer(Arc::new(Writer));
    let worker = Worker { queue, db: db.clone(), definitions, writers, settings };
    let relaying = tokio::spawn(relay::run(db, Arc::new(Broker(outside)), relay, stop.clone()));
    worker.run(stop).await;
    let _ended = relaying.await;
    std::process::exit(0);
}
