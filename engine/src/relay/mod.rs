//! The relay: takes events out of the outbox to their sink, each at least once and in order per topic and key. Owns
//! `engine.relays`, `engine.relay_lanes` and `engine.parked`.
//!
//! Events of one key share a lane, and a lane is one relay's at a time: several processes share the work, and a lane
//! that changes hands leaves whoever had it without a say. A sequence number is not commit order: a transaction may take
//! number 7 and commit after 8. The relay goes on past it, and remembers which transactions were under way; what those
//! wrote is told once they have ended. Nothing is open in the database while a sink takes events.

mod judge;
mod lanes;
mod look;
mod parked;
mod settle;
mod standing;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use sqlx::postgres::PgListener;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::clock;
use crate::outbox::Event;

pub use parked::{Parked, list as parked, retry};
pub use standing::{Share, Standing, replay, standing};

/// So many lanes there are.
const LANES: usize = 16;
/// How many events of a lane one look takes.
const PER_LANE: i64 = 128;
/// A look that found so many is followed by the next at once.
const BACKLOG: usize = 512;
/// The pause after a look that found something, and for a while after the last of them.
const BUSY: Duration = Duration::from_millis(2);
/// The same once a relay asks to be woken: what committed just then may not have seen that.
const DROWSY: Duration = Duration::from_millis(100);
/// The longest pause, in which a relay waits to be woken.
const ASLEEP: Duration = Duration::from_secs(2);
/// How long after the last event a relay asks to be woken, and how long until it relies on that.
const DROWSY_AFTER: Duration = Duration::from_millis(250);
const ASLEEP_AFTER: Duration = Duration::from_secs(2);
/// The pause after an event was refused.
const AFTER_REFUSAL: Duration = Duration::from_millis(200);
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// The advisory lock of the one relay that the version before knew: while it relays, nobody else does.
const LOCK: i64 = 7_306;
/// Where publishers say that there is something to tell, when a relay asks for that.
pub(crate) const CHANNEL: &str = "outbox";

/// What became of an event at its sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It is told.
    Told,
    /// It will never be taken as it is; it is parked at once.
    Unfit(String),
    /// The sink lacks something for it, such as its topic; it is parked, and tried again by itself.
    Unready(String),
    /// It was refused; it is tried again, and parked when that was too often.
    Refused(String),
    /// It was not tried, since an earlier event of its topic and key was not taken.
    Waits,
}

/// The sink can't be reached: nobody refused anything, and everything comes again until it is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OutOfReach(pub String);

/// Where events go.
pub trait Sink: Send + Sync {
    /// Takes events, in their order for each topic and key, and says of each what became of it. One may come twice.
    ///
    /// # Errors
    /// [`OutOfReach`]: some of them may have been taken.
    fn deliver<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Result<Vec<Taken>, OutOfReach>>;
}

/// How a relay works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Shown to operators.
    pub name: String,
    /// How long its lanes stay its own after it was last heard of; it is heard of five times in that while, and looks
    /// twice whether its share is fair.
    pub lease: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { name: "relay".into(), lease: Duration::from_secs(15) }
    }
}

/// A process's part in the relaying.
pub struct Relay {
    connection: PgConnection,
    sink: Arc<dyn Sink>,
    id: Uuid,
    settings: Settings,
    /// How often events that their sink refused were tried, by their place.
    tries: HashMap<i64, u32>,
}

/// What a turn came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Turn {
    /// So many events were looked at.
    pub events: usize,
    /// One of them was refused, and is tried again.
    pub refused: bool,
}

/// Relays until told to stop. A relay that loses its database begins again.
pub async fn run(db: PgPool, sink: Arc<dyn Sink>, settings: Settings, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match work(&db, &sink, &settings, &stop).await {
            Ok(()) => {}
            Err(error) => tracing::warn!(%error, "the relay begins again"),
        }
        let _stopped = stop.run_until_cancelled(tokio::time::sleep(AFTER_ERROR)).await;
    }
}

/// Relays until told to stop; comes back at once where a relay of the version before is at work.
async fn work(
    db: &PgPool,
    sink: &Arc<dyn Sink>,
    settings: &Settings,
    stop: &CancellationToken,
) -> Result<(), sqlx::Error> {
    let joined = Relay::join(db, Arc::clone(sink), settings.clone());
    let Some(Some(mut relay)) = stop.run_until_cancelled(joined).await.transpose()? else {
        return Ok(());
    };
    let kept = lanes::keep(db.clone(), relay.id, settings.lease);
    let lived = async {
        tokio::select! {
            lived = relay.live(db) => lived,
            lost = kept => lost,
        }
    };
    match stop.run_until_cancelled(lived).await {
        Some(lived) => lived,
        None => relay.leave(db).await,
    }
}

impl Relay {
    /// Takes part; `None` where a relay of the version before is at work.
    ///
    /// # Errors
    /// What the statements returned.
    pub async fn join(
        db: &PgPool,
        sink: Arc<dyn Sink>,
        settings: Settings,
    ) -> Result<Option<Self>, sqlx::Error> {
        // Detached: a connection that goes back to the pool would take the lock with it.
        let mut connection = db.acquire().await?.detach();
        let alone =
            sqlx::query_scalar!(r#"select pg_try_advisory_lock_shared($1) as "alone!""#, LOCK)
                .fetch_one(&mut connection)
                .await?;
        if !alone {
            connection.close().await?;
            return Ok(None);
        }
        // Statistics lag behind an outbox that fills and empties: they may not turn a look into a scan.
        for setting in [
            "enable_seqscan = off",
            "enable_bitmapscan = off",
            "enable_hashjoin = off",
            "enable_mergejoin = off",
            "jit = off",
            "plan_cache_mode = force_generic_plan",
            // What a crash of Postgres undoes is told again.
            "synchronous_commit = off",
        ] {
            sqlx::query(AssertSqlSafe(format!("set {setting}"))).execute(&mut connection).await?;
        }
        let id = clock::new_id();
        Ok(Some(Self { connection, sink, id, settings, tries: HashMap::new() }))
    }

    /// Gives its lanes to whoever goes on.
    ///
    /// # Errors
    /// What the statements returned; the lanes are free once the lease has run out.
    pub async fn leave(self, db: &PgPool) -> Result<(), sqlx::Error> {
        // Its own connection may stand in the middle of a statement that nobody waits for any more.
        lanes::leave(db, self.id).await?;
        drop(self.connection);
        Ok(())
    }

    /// Takes turns, and rests where nothing is to tell.
    async fn live(&mut self, db: &PgPool) -> Result<(), sqlx::Error> {
        let mut listener = PgListener::connect_with(db).await?;
        listener.listen(CHANNEL).await?;
        let mut beat = Instant::now();
        let mut active = Instant::now();
        let mut asleep = false;
        let mut more = self.share().await? > 0;
        loop {
            if more || beat.elapsed() > self.settings.lease / 2 {
                beat = Instant::now();
                more = self.share().await? > 0;
                standing::measure(&mut self.connection).await?;
            }
            let turn = self.turn().await?;
            if turn.events > 0 {
                active = Instant::now();
            }
            if asleep && turn.events > 0 {
                asleep = false;
                lanes::rest(&mut self.connection, self.id, asleep).await?;
            }
            if turn.refused {
                tokio::time::sleep(AFTER_REFUSAL).await;
            } else if more || turn.events >= BACKLOG {
                // There is more; of what is parked a batch goes on with each turn.
            } else if active.elapsed() < DROWSY_AFTER {
                tokio::time::sleep(BUSY).await;
            } else if !asleep {
                asleep = true;
                lanes::rest(&mut self.connection, self.id, asleep).await?;
            } else {
                let pause = if active.elapsed() < ASLEEP_AFTER { DROWSY } else { ASLEEP };
                if let Ok(told) = tokio::time::timeout(pause, listener.recv()).await {
                    told?;
                }
            }
        }
    }

    /// Takes its share of the lanes, and tries some of what is parked and due again; gives how many of those are told.
    ///
    /// # Errors
    /// What the statements returned.
    pub async fn share(&mut self) -> Result<usize, sqlx::Error> {
        lanes::share(&mut self.connection, self.id, &self.settings).await?;
        parked::tell_again(&mut self.connection, self.id, self.sink.as_ref()).await
    }

    /// Tells what there is in its lanes, at most a look's worth.
    ///
    /// # Errors
    /// What the statements returned; nothing is lost, the same events come again.
    pub async fn turn(&mut self) -> Result<Turn, sqlx::Error> {
        let began = Instant::now();
        let mut look = look::look(&mut self.connection, self.id).await?;
        let events = std::mem::take(&mut look.events);
        if events.is_empty() && look.lanes.iter().all(|lane| !lane.shrinks(&look.snapshot)) {
            return Ok(Turn::default());
        }
        let blocked = parked::blocked(&mut self.connection, &events).await?;
        let looked = Instant::now();
        let judged = judge::deliver(self.sink.as_ref(), events, blocked, &mut self.tries).await;
        let judged = match judged {
            Ok(judged) => judged,
            Err(error) => {
                tracing::warn!(%error, "the sink is out of reach; its events wait");
                return Ok(Turn { events: 0, refused: true });
            }
        };
        let delivered = Instant::now();
        settle::settle(&mut self.connection, self.id, &look, &judged).await?;
        standing::count(
            judged.done.len(),
            [looked - began, delivered - looked, delivered.elapsed()],
        );
        Ok(Turn { events: judged.looked, refused: judged.refused })
    }
}
