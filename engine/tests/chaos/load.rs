//! The load: five thousand live runs at every moment, with signals and people among them, and a ledger of
//! what was acknowledged.

use std::sync::Mutex;
use std::time::Duration;

use engine::clock;
use engine::definition::{self, Format};
use engine::definition_store::{self, Definitions};
use engine::outbox::{self, NewEvent};
use engine::run::{self, Action, Change, NewRun, Priority, State};
use engine::signal::{self, NewSignal, Target};
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::dice::Dice;
use crate::outside::Outside;
use crate::steps::{line, registry};

/// How many runs live at once.
pub(crate) const LIVE: usize = 5_000;
/// How many runs one transaction starts at the most.
const BATCH: usize = 250;
/// How many runs one transaction tells or stops.
const FEW: usize = 10;
/// A transaction that takes longer is given up; nobody knows then what became of it.
const PATIENCE: Duration = Duration::from_secs(10);

const WORKFLOWS: [(&str, &str); 4] = [
    ("walk", include_str!("workflows/walk.toml")),
    ("talk", include_str!("workflows/talk.toml")),
    ("round", include_str!("workflows/round.toml")),
    ("family", include_str!("workflows/family.toml")),
];

/// What was acknowledged: commits whose answer arrived.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) started: Vec<Uuid>,
    pub(crate) cancelled: Vec<Uuid>,
    /// Subject, name and key.
    pub(crate) signals: Vec<(Uuid, &'static str, String)>,
}

pub(crate) struct Load {
    pub(crate) ledger: Mutex<Ledger>,
    pub(crate) customer: Uuid,
    workflows: Vec<i64>,
    definitions: Definitions,
    /// Straight to Postgres, and through the proxy.
    ways: [PgPool; 2],
    dice: Dice,
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

impl Load {
    /// Applies the workflows.
    pub(crate) async fn prepare(ways: [PgPool; 2], outside: Outside, seed: u64) -> Self {
        let (customer, registry) = (clock::new_id(), registry(outside));
        let mut tx = ways[0].begin().await.unwrap();
        let mut workflows = Vec::new();
        for (name, source) in WORKFLOWS {
            let read = definition::read(name, source, Format::Toml, &registry)
                .unwrap_or_else(|refusals| panic!("{refusals}"));
            let kept = definition_store::keep(&mut tx, customer, &read, source).await.unwrap();
            workflows.push(kept.id);
        }
        tx.commit().await.unwrap();
        let (dice, definitions) = (Dice::new(seed, "load"), Definitions::new(registry));
        Self { ledger: Mutex::default(), customer, workflows, definitions, ways, dice }
    }

    /// Keeps it up until told to stop. What a fault spoils is not acknowledged, and that is all.
    pub(crate) async fn keep_up(&self, stop: &CancellationToken) {
        let starting = self.repeat(stop, Duration::from_millis(100), || self.start());
        let telling = self.repeat(stop, Duration::from_millis(150), || self.tell());
        let stopping = self.repeat(stop, Duration::from_millis(250), || self.interfere());
        let withdrawing = self.repeat(stop, Duration::from_millis(500), || self.withdraw());
        tokio::join!(starting, telling, stopping, withdrawing);
    }

    async fn repeat<F: Future<Output = Result<(), Failed>>>(
        &self,
        stop: &CancellationToken,
        every: Duration,
        work: impl Fn() -> F,
    ) {
        while stop.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
            let _spoiled = tokio::time::timeout(PATIENCE, work()).await;
        }
    }

    /// One of the two ways to the database.
    fn way(&self) -> &PgPool {
        &self.ways[self.dice.below(2)]
    }

    async fn start(&self) -> Result<(), Failed> {
        let live: i64 =
            sqlx::query_scalar("select count(*) from engine.runs where ended_at is null")
                .fetch_one(&self.ways[0])
                .await?;
        let missing = LIVE.saturating_sub(usize::try_from(live)?).min(BATCH);
        let runs: Vec<NewRun> = (0..missing).map(|_| self.new_run()).collect();
        let mut tx = self.way().begin().await?;
        run::start(&mut tx, &runs).await?;
        tx.commit().await?;
        self.ledger.lock().unwrap().started.extend(runs.iter().map(|run| run.id));
        Ok(())
    }

    fn new_run(&self) -> NewRun {
        let id = clock::new_id();
        NewRun {
            id,
            customer_id: self.customer,
            definition_id: self.workflows[self.dice.below(self.workflows.len())],
            subject_id: id,
            zone: "Europe/Berlin".into(),
            actor: "chaos".into(),
            start_at: None,
            limit_keys: json!({ "line": line(id) }),
            priority: Priority::Normal,
            parent: None,
        }
    }

    /// Some runs that were started lately and may live still.
    fn some(&self) -> Vec<Uuid> {
        let ledger = self.ledger.lock().unwrap();
        let recent = &ledger.started[ledger.started.len().saturating_sub(LIVE)..];
        let pick = |_| recent.get(self.dice.below(recent.len())).copied();
        let mut picked: Vec<Uuid> = (0..FEW).filter_map(pick).collect();
        picked.sort_unstable();
        picked.dedup();
        picked
    }

    /// Sends signals: most wake who listens, some end the run.
    async fn tell(&self) -> Result<(), Failed> {
        let name = if self.dice.one_in(3) { "reply" } else { "ping" };
        let runs = self.some();
        let new = |run: &Uuid| NewSignal {
            customer_id: self.customer,
            target: Target::Subject(*run),
            name: name.into(),
            key: clock::new_id().to_string(),
            data: json!({}),
        };
        let signals: Vec<NewSignal> = runs.iter().map(new).collect();
        let mut tx = self.way().begin().await?;
        signal::send(&mut tx, &signals).await?;
        tx.commit().await?;
        let sent = runs.into_iter().zip(signals).map(|(run, signal)| (run, name, signal.key));
        self.ledger.lock().unwrap().signals.extend(sent);
        Ok(())
    }

    /// Pauses, resumes and cancels, as people do.
    async fn interfere(&self) -> Result<(), Failed> {
        let action = match self.dice.below(7) {
            0..3 => Action::Pause,
            3..6 => Action::Resume,
            _ => Action::Cancel,
        };
        let resumes = action == Action::Resume;
        let runs = if resumes { self.resting("paused").await? } else { self.some() };
        let mut tx = self.way().begin().await?;
        let changes = self.act(&mut tx, &runs, &action).await?;
        tx.commit().await?;
        let is_cancelled =
            |change: &Change| matches!(change, Change::Changed { to: State::Cancelled, .. });
        let cancelled = runs.into_iter().zip(changes).filter(|(_, change)| is_cancelled(change));
        self.ledger.lock().unwrap().cancelled.extend(cancelled.map(|(run, _)| run));
        Ok(())
    }

    async fn act(
        &self,
        tx: &mut PgConnection,
        runs: &[Uuid],
        action: &Action,
    ) -> Result<Vec<Change>, sqlx::Error> {
        run::act(tx, &self.definitions, self.customer, runs, action, "chaos").await
    }

    async fn resting(&self, state: &str) -> Result<Vec<Uuid>, sqlx::Error> {
        sqlx::query_scalar("select id from engine.runs where state = $1 order by id limit 500")
            .bind(state)
            .fetch_all(&self.ways[0])
            .await
    }

    /// Tells of something and takes it back: no event of it may be heard.
    async fn withdraw(&self) -> Result<(), Failed> {
        let mut tx = self.way().begin().await?;
        let event = NewEvent {
            customer_id: self.customer,
            topic: "withdrawn".into(),
            key: clock::new_id().to_string(),
            sequence: 0,
            schema: "withdrawn:1".into(),
            data: json!({}),
        };
        outbox::publish(&mut tx, &[event]).await?;
        tokio::time::sleep(self.dice.milliseconds(0, 400)).await;
        tx.rollback().await?;
        Ok(())
    }

    /// Lets go on what people stopped, and what was held: after the faults all has to come to its end.
    pub(crate) async fn release(&self) -> Result<(), sqlx::Error> {
        for (state, action) in [("paused", Action::Resume), ("held", Action::Retry)] {
            let runs = self.resting(state).await?;
            let mut tx = self.ways[0].begin().await?;
            self.act(&mut tx, &runs, &action).await?;
            tx.commit().await?;
        }
        Ok(())
    }
}
