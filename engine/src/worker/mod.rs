//! The worker: claims step jobs, runs them through apalis, and records what came of them.
//!
//! Independent tasks, each with one job: `lease` says that this worker lives, `listen` wakes, `fetch`
//! claims, `grant` claims what waits under limits, `backend` hands jobs to apalis, `execute` runs a step, `finish` says what came of it,
//! `intend` writes intents, `commit` records in groups, `promote` makes due timers jobs, `family` tells
//! parents and children of ends, `operate` works off bulk commands and `migrate` changes of versions, `schedule`
//! fires schedules, `replan` plans waits anew after an update of the tz database, `retain` lets go what is over,
//! `sweep` takes back what dead workers held. Handlers never touch the queue's
//! tables. Every write names the lease under which the job was claimed.

mod alive;
mod backend;
mod claimed;
mod commit;
mod execute;
mod family;
mod fetch;
mod finish;
mod grant;
mod hold;
mod intend;
mod lease;
mod listen;
mod measure;
mod migrate;
#[cfg(test)]
mod model;
mod operate;
mod pace;
mod plans;
mod promote;
mod record;
mod replan;
mod retain;
mod schedule;
mod sweep;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use serde_json::Value;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub use alive::{Alive, alive};
pub use replan::{Replanned, replanned};
pub use retain::Retention;

use crate::context::IntentRequest;
use crate::definition_store::Definitions;
use crate::fact::FactWriters;
use hold::Hold;

/// How long steps that are running may take to finish when the worker is told to stop.
const GRACE: Duration = Duration::from_millis(1500);

/// How a worker works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Shown to operators, such as the host's name and the process's number.
    pub name: String,
    /// How many steps run at once.
    pub concurrency: usize,
    /// How many leases are held at once: of steps that run, that wait to be recorded, and, a quarter, that were
    /// not begun.
    pub leases: usize,
    /// The longest pause between two looks at the tables when nothing wakes the worker.
    pub poll: Duration,
    /// How long what it holds stays its own after it was last heard of; at least two seconds, as it is heard
    /// of every second.
    pub lease: Duration,
    /// The queues, which are step types, that it works at; `None` for all that it knows.
    pub queues: Option<Vec<String>>,
    /// How long what is over stays.
    pub retention: Retention,
}

impl Settings {
    /// How many jobs may be claimed and not begun.
    fn unbegun(&self) -> usize {
        (self.leases / 4).max(1)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: "worker".into(),
            concurrency: 256,
            leases: 2_048,
            poll: Duration::from_millis(500),
            lease: Duration::from_secs(30),
            queues: None,
            retention: Retention::default(),
        }
    }
}

/// Why a worker stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The database refused or did not answer.
    #[error("the worker lost its database: {0}")]
    Database(#[from] sqlx::Error),
    /// Another process found this worker dead and took its jobs.
    #[error("the worker's lease was taken")]
    LeaseLost,
}

/// Whether an error says that the database is gone or can't write at all. Every other error speaks of the
/// batch that met it, also one that a writer of the domain made up: it may cost that batch, never the worker.
pub(crate) fn lost(error: &sqlx::Error) -> bool {
    if let Some(code) = error.as_database_error().and_then(|error| error.code()) {
        // Connection failures, full disks, operators, a primary that is none any more, and transactions in which
        // this process stood still for too long.
        return ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class))
            || ["25006", "25P03"].contains(&code.as_ref());
    }
    matches!(
        error,
        sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
    )
}

/// Whether the same may succeed another time: the database is gone, or another transaction was in the way.
pub fn may_succeed_again(error: &sqlx::Error) -> bool {
    lost(error) || begins_again(error)
}

/// Deadlocks and serialization failures were rolled back as a whole: the same transaction may succeed.
fn begins_again(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(|error| error.code())
        .is_some_and(|code| code == "40P01" || code == "40001")
}

/// What one look of a task found: nothing where another transaction was in its way, as the next look finds the
/// same. It may not cost the worker all that it holds.
fn found<T: Default>(look: Result<T, WorkerError>) -> Result<T, WorkerError> {
    match look {
        Err(WorkerError::Database(error)) if begins_again(&error) => {
            tracing::debug!(%error, "a look is repeated");
            Ok(T::default())
        }
        look => look,
    }
}

/// What a worker needs to know.
#[derive(Clone)]
pub struct Worker {
    /// The queue's own connections, with pinned plans; see [`pool`].
    pub queue: PgPool,
    /// Where steps' domain code reads; also answers the worker's own look-ups.
    pub db: PgPool,
    /// Definitions by id, with the registry of step types.
    pub definitions: Definitions,
    /// Who writes facts and admits intents.
    pub writers: FactWriters,
    /// How it works.
    pub settings: Settings,
}

/// What the tasks of one incarnation share.
struct Shared {
    worker: Worker,
    /// The incarnation: the first half of every lease.
    id: i64,
    /// Whether it is surely alive; steps do nothing while it is not.
    hold: Arc<Hold>,
    /// The queues that it claims from.
    queues: Vec<String>,
    wake: Notify,
    promote: Notify,
    grant: Notify,
    family: Notify,
    operate: Notify,
    schedule: Notify,
    /// How many more jobs may be leased, and how many more of them may wait to be begun: those would only keep
    /// others from them.
    leases: Semaphore,
    unbegun: Semaphore,
    /// Jobs under suspicion run one at a time, so that a death points at one of them.
    suspects: Semaphore,
    /// How far the jobs go that this process made of timers.
    tails: promote::Tails,
    intents: mpsc::Sender<IntentRequest>,
    /// Told when the committer has recorded the last outcome that could come.
    recorded: Notify,
}

impl Shared {
    /// How many jobs may be claimed now.
    fn room(&self) -> usize {
        self.leases.available_permits().min(self.unbegun.available_permits())
    }
}

/// A step of a run that this worker holds the lease of.
#[derive(Debug, Clone)]
struct StepJob {
    run_id: Uuid,
    customer_id: Uuid,
    definition_id: i64,
    subject_id: Uuid,
    zone: String,
    live: bool,
    parent_id: Option<Uuid>,
    root_id: Option<Uuid>,
    depth: i16,
    /// By which name each kind of limit counts the run.
    limit_keys: Value,
    boost: i32,
    /// The last row of its history.
    seq: i32,
    /// Whether its limits were asked, and let it through or were none.
    granted: bool,
    queue: String,
    step: String,
    iteration: i32,
    attempt: i16,
    crashes: i16,
    /// Signals ever delivered to the run when it was looked at.
    inbox: i32,
    data: Value,
    /// What came to be known of the run's steps, where something did.
    observed: Option<Arc<Value>>,
    intent: Option<Value>,
    now: DateTime<Utc>,
    /// Before when the run may not go on, unless what it waits for comes.
    next_at: Option<DateTime<Utc>>,
    /// How many steps of the run have gone on in this worker without going back to the queue.
    in_a_row: u8,
}

/// A pool for the queue's statements: their plans are pinned, so that statistics that lag behind a queue's
/// churn can't turn a claim into a scan. Connects directly, never through a transaction pooler.
///
/// # Errors
/// What connecting returned.
pub async fn pool(options: PgConnectOptions) -> Result<PgPool, sqlx::Error> {
    let options = options.options([
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("jit", "off"),
        // A process that stands still in the middle of a record holds locks that every sweep would wait for.
        ("idle_in_transaction_session_timeout", "5s"),
    ]);
    // Beside these, seven of its tasks keep a connection each to themselves.
    PgPoolOptions::new().max_connections(5).min_connections(1).connect_with(options).await
}

impl Worker {
    /// Works until told to stop. A worker that loses its database or its lease begins again as a new
    /// incarnation, after a pause.
    pub async fn run(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            match self.incarnate(&stop).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, "the worker begins again"),
            }
            let pause = tokio::time::sleep(Duration::from_millis(500));
            let _stopped = stop.run_until_cancelled(pause).await;
        }
    }

    /// The step types that it knows, less those that it was told to leave.
    fn queues(&self) -> Vec<String> {
        let wanted = |name: &&str| {
            self.settings.queues.as_ref().is_none_or(|queues| queues.iter().any(|q| q == name))
        };
        self.definitions.registry().step_names().filter(wanted).map(str::to_owned).collect()
    }

    /// Lives once: from a lease of its own to the loss of it, or to the stop.
    async fn incarnate(&self, stop: &CancellationToken) -> Result<(), WorkerError> {
        let queues = self.queues();
        let lease = lease::Lease::take(self, &queues).await?;
        let (intents, wishes) = mpsc::channel(self.settings.leases);
        let (outcomes, recorded) = mpsc::channel(self.settings.leases);
        let (ready, jobs) = mpsc::channel(self.settings.leases);
        let lost = CancellationToken::new();
        let shared = Arc::new(Shared {
            worker: self.clone(),
            id: lease.id(),
            hold: lease.hold(),
            queues,
            wake: Notify::new(),
            promote: Notify::new(),
            grant: Notify::new(),
            family: Notify::new(),
            operate: Notify::new(),
            schedule: Notify::new(),
            leases: Semaphore::new(self.settings.leases),
            unbegun: Semaphore::new(self.settings.unbegun()),
            suspects: Semaphore::new(1),
            tails: promote::Tails::default(),
            intents,
            recorded: Notify::new(),
        });

        let tasks = Tasks { tracker: TaskTracker::new(), lost: lost.clone() };
        let (fetching, recording) = (stop.child_token(), CancellationToken::new());
        // Whoever drops this future, such as a test that lets a worker die, stops its tasks with it.
        let _dying = (fetching.clone().drop_guard(), recording.clone().drop_guard());
        let of = || Arc::clone(&shared);
        tasks.spawn("listen", &fetching, listen::run(of()));
        tasks.spawn("promote", &fetching, promote::run(of()));
        tasks.spawn("promote what stands below", &fetching, promote::look_back(of()));
        tasks.spawn("sweep", &fetching, sweep::run(of()));
        tasks.spawn("family", &fetching, family::run(of()));
        tasks.spawn("fetch", &fetching, fetch::run(of(), ready.clone()));
        tasks.spawn("look back", &fetching, fetch::look_back(of(), ready.clone()));
        tasks.spawn("retain", &fetching, retain::run(of()));
        tasks.spawn("replan", &fetching, replan::run(of()));
        tasks.spawn("operate", &fetching, operate::run(of()));
        tasks.spawn("schedule", &fetching, schedule::run(of()));
        tasks.spawn("grant", &fetching, grant::run(of(), ready.clone()));
        tasks.spawn("lease", &recording, lease::keep(of()));
        tasks.spawn("intend", &recording, intend::run(of(), wishes));
        tasks.spawn("commit", &recording, commit::run(of(), recorded, ready));
        let idle = backend::spawn(
            &tasks.tracker,
            of(),
            jobs,
            outcomes,
            [fetching.clone(), recording.clone()],
        );

        let ended = tokio::select! {
            () = stop.cancelled() => Ok(()),
            () = lost.cancelled() => Err(WorkerError::LeaseLost),
        };
        fetching.cancel();
        let idle = tokio::time::timeout(GRACE, idle).await.is_ok() && ended.is_ok();
        // All handlers are gone, so the channel closes once the committer has recorded the last.
        let drained = idle
            && tokio::select! {
                () = shared.recorded.notified() => true,
                () = lost.cancelled() => false,
            };
        recording.cancel();
        tasks.tracker.close();
        tasks.tracker.wait().await;
        lease.give_back(self, drained).await?;
        ended
    }
}

/// The tasks of one incarnation: the first that fails ends all.
struct Tasks {
    tracker: TaskTracker,
    lost: CancellationToken,
}

impl Tasks {
    fn spawn(
        &self,
        name: &'static str,
        end: &CancellationToken,
        work: impl Future<Output = Result<(), WorkerError>> + Send + 'static,
    ) {
        let (lost, end) = (self.lost.clone(), end.clone());
        self.tracker.spawn(async move {
            // A panic of a task, such as of a fact's writer, may not leave a worker that only seems to live.
            match AssertUnwindSafe(end.run_until_cancelled(work)).catch_unwind().await {
                Ok(None | Some(Ok(()))) => return,
                Ok(Some(Err(error))) => {
                    tracing::warn!(%error, task = name, "a task of the worker failed");
                }
                Err(_panic) => tracing::error!(task = name, "a task of the worker panicked"),
            }
            lost.cancel();
        });
    }
}
