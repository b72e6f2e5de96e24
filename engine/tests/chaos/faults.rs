//! The faults, one every second or two, in an order that the seed draws: each kind comes once in every round.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::{Connection, Executor, PgConnection};
use tokio::time::{Instant, sleep, timeout};

use crate::cluster::{Cluster, address};
use crate::crew::{Crew, WORKERS};
use crate::dice::{Deck, Dice};
use crate::disk::Disk;
use crate::proxy::{Cut, Proxy};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Connections are cut, reset or stalled.
    Cut(Cut),
    /// Every message takes its time.
    Slow,
    /// A worker and Postgres hear nothing of each other for longer than a lease.
    Part,
    /// A worker is killed.
    Kill,
    /// A worker stands still for longer than its lease.
    Freeze,
    /// A worker is told to stop, and another begins.
    Dismiss,
    /// A worker's wall clock is an hour ahead, or behind.
    Clock,
    /// Postgres crashes.
    Crash,
    /// The disk of the tables is full.
    FullTables,
    /// The disk of the WAL is full.
    FullWal,
}

const ALL: [Fault; 17] = [
    Fault::Cut(Cut::Before),
    Fault::Cut(Cut::After),
    Fault::Cut(Cut::AfterCommit),
    Fault::Cut(Cut::Reset),
    Fault::Cut(Cut::Stall),
    Fault::Slow,
    Fault::Part,
    Fault::Part,
    Fault::Kill,
    Fault::Kill,
    Fault::Freeze,
    Fault::Freeze,
    Fault::Dismiss,
    Fault::Clock,
    Fault::Crash,
    Fault::FullTables,
    Fault::FullWal,
];

pub(crate) struct Faults {
    cluster: Arc<Cluster>,
    proxies: Vec<Arc<Proxy>>,
    crew: Arc<Crew>,
    dice: Dice,
    deck: Deck<Fault>,
    done: Mutex<BTreeMap<String, usize>>,
}

impl Faults {
    /// Leaves out, with a line that says so, what this machine can't do.
    pub(crate) fn new(
        cluster: &Arc<Cluster>,
        proxies: Vec<Arc<Proxy>>,
        crew: &Arc<Crew>,
        seed: u64,
    ) -> Self {
        let mut faults = ALL.to_vec();
        if !cluster.wal.can_be_full() || !cluster.tables.can_be_full() {
            skip("no disk is full, as only root can mount a small one");
            faults.retain(|fault| !matches!(fault, Fault::FullTables | Fault::FullWal));
        }
        if !crew.has_clocks() {
            skip("no wall clock is moved, as libfaketime is missing");
            faults.retain(|fault| *fault != Fault::Clock);
        }
        Self {
            cluster: Arc::clone(cluster),
            proxies,
            crew: Arc::clone(crew),
            dice: Dice::new(seed, "faults"),
            deck: Deck::new(faults),
            done: Mutex::default(),
        }
    }

    /// Plays them for so long, then lets everything be well again.
    pub(crate) async fn play(&self, length: Duration) {
        let (began, mut freezing) = (Instant::now(), Vec::new());
        while began.elapsed() < length {
            sleep(self.dice.milliseconds(500, 2_000)).await;
            self.crew.fill_up();
            let fault = self.deck.draw(&self.dice);
            *self.done.lock().unwrap().entry(format!("{fault:?}")).or_default() += 1;
            freezing.extend(self.inflict(fault).await);
        }
        for frozen in freezing {
            frozen.await.unwrap();
        }
        self.proxies.iter().for_each(|proxy| proxy.calm_down());
        self.cluster.start().await;
        for place in 0..WORKERS {
            self.crew.set_clock(place, 0);
        }
        self.crew.fill_up();
    }

    /// What was done how often.
    pub(crate) fn told(&self) -> String {
        let done = self.done.lock().unwrap();
        let words: Vec<String> =
            done.iter().map(|(fault, times)| format!("{fault} {times}")).collect();
        let cuts: u32 = self.proxies.iter().map(|proxy| proxy.cuts()).sum();
        format!("{}; {cuts} connections cut or stalled", words.join(", "))
    }

    async fn inflict(&self, fault: Fault) -> Option<tokio::task::JoinHandle<()>> {
        let place = self.dice.below(WORKERS);
        // Also that of whoever starts runs and disturbs them.
        let proxy = &self.proxies[self.dice.below(self.proxies.len())];
        match fault {
            Fault::Cut(cut) => proxy.order(cut, 1 + self.dice.below(3)),
            Fault::Slow => proxy.slow_down(self.dice.milliseconds(1_000, 3_000)),
            Fault::Part => self.proxies[place].part(self.dice.milliseconds(3_500, 6_500)),
            Fault::Kill => self.crew.kill(place),
            Fault::Dismiss => self.crew.dismiss(place),
            Fault::Clock => {
                let shift = if self.dice.one_in(2) { 3_600 } else { -3_600 };
                self.crew.set_clock(place, shift);
            }
            Fault::Freeze => {
                let (crew, length) = (Arc::clone(&self.crew), self.dice.milliseconds(3_500, 6_500));
                return Some(tokio::spawn(async move { crew.freeze(place, length).await }));
            }
            Fault::Crash => {
                self.cluster.crash();
                sleep(self.dice.milliseconds(0, 1_000)).await;
                self.cluster.start().await;
            }
            Fault::FullTables => self.full(&self.cluster.tables).await,
            Fault::FullWal => self.full(&self.cluster.wal).await,
        }
        None
    }

    /// Lets a disk be full for a while. Files of WAL are made ahead: those are used up first.
    async fn full(&self, disk: &Disk) {
        disk.fill();
        let until = Instant::now() + self.dice.milliseconds(1_500, 4_000);
        while Instant::now() < until {
            let _refused = timeout(Duration::from_secs(1), self.switch_wal()).await;
            sleep(Duration::from_millis(100)).await;
        }
        disk.free();
        self.cluster.start().await;
    }

    async fn switch_wal(&self) -> Result<(), sqlx::Error> {
        let mut admin = PgConnection::connect(&address(self.cluster.port)).await?;
        admin.execute("select pg_switch_wal()").await?;
        admin.close().await
    }
}

/// Says what is left out on this machine, which CI does not accept.
fn skip(what: &str) {
    assert!(crate::setting("CI").is_none(), "CI skips nothing, but {what}");
    println!("skipped: {what}");
}
