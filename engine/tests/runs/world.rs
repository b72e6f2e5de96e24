//! What every story needs: a database, a customer's definition, workers, and a clock that stands still.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use engine::clock;
use engine::definition::{self, Format};
use engine::definition_store::{self, Definitions};
use engine::fact::{FactWriter, FactWriters, RunFact};
use engine::run::{self, HistoryRow, NewRun, RunRow};
use engine::signal::{self, NewSignal};
use engine::worker::{self, Settings, Worker};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::steps::{Outside, registry};
use crate::database::{TestDatabase, database};

/// How long a story waits for something that must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A world of one customer and one definition.
pub(crate) struct World {
    pub(crate) db: PgPool,
    pub(crate) outside: Outside,
    pub(crate) customer_id: Uuid,
    pub(crate) subject_id: Uuid,
    database: TestDatabase,
    definition_id: i64,
    definitions: Definitions,
    stop: CancellationToken,
    workers: Vec<JoinHandle<()>>,
}

/// Writes notes into a table of the tests; refuses those that say `poison`.
struct Notes;

impl FactWriter for Notes {
    fn kind(&self) -> &'static str {
        "noted"
    }

    fn write<'a>(
        &'a self,
        tx: &'a mut PgConnection,
        facts: &'a [RunFact],
    ) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        async move {
            for fact in facts {
                sqlx::query("insert into notes (run_id, text) values ($1, $2)")
                    .bind(fact.run_id)
                    .bind(fact.data["text"].as_str())
                    .execute(&mut *tx)
                    .await?;
            }
            Ok(())
        }
        .boxed()
    }
}

impl World {
    /// A world whose runs walk through these steps; without a worker yet.
    pub(crate) async fn new(steps: &str) -> Self {
        let database = database().await;
        let db = database.pool.clone();
        let mut tx = db.begin().await.unwrap();
        clock::set_scale(&mut tx, 0.0).await.unwrap();
        tx.commit().await.unwrap();
        sqlx::query("create table notes (run_id uuid, text text check (text <> 'poison'))")
            .execute(&db)
            .await
            .unwrap();
        let outside = Outside::default();
        let registry = registry(&outside);
        let source = format!(
            "name = \"story\"\ntitle = \"Story\"\nsubject = \"thing\"\n[exit]\non = [\"stop\"]\n\
             [retry]\nattempts = 3\nfirst = \"10s\"\njitter = 0.0\n{steps}"
        );
        let definition = definition::read("story.toml", &source, Format::Toml, &registry)
            .unwrap_or_else(|refusals| panic!("{refusals}"));
        let customer_id = clock::new_id();
        let mut tx = db.begin().await.unwrap();
        let kept =
            definition_store::keep(&mut tx, customer_id, &definition, &source).await.unwrap();
        tx.commit().await.unwrap();
        Self {
            outside,
            customer_id,
            subject_id: clock::new_id(),
            definition_id: kept.id,
            definitions: Definitions::new(registry),
            stop: CancellationToken::new(),
            workers: Vec::new(),
            database,
            db,
        }
    }

    /// The same, with a worker.
    pub(crate) async fn at_work(steps: &str) -> Self {
        let mut world = Self::new(steps).await;
        world.work().await;
        world
    }

    /// Adds a worker.
    pub(crate) async fn work(&mut self) {
        let worker = Worker {
            queue: worker::pool(self.database.options.clone()).await.unwrap(),
            db: self.db.clone(),
            definitions: self.definitions.clone(),
            writers: FactWriters::new().writer(Arc::new(Notes)),
            settings: Settings { poll: Duration::from_millis(20), ..Settings::default() },
        };
        let stop = self.stop.clone();
        self.workers.push(tokio::spawn(async move { worker.run(stop).await }));
    }

    /// Kills the workers as `kill -9` does: nothing is given back.
    pub(crate) async fn kill_workers(&mut self) {
        for worker in self.workers.drain(..) {
            worker.abort();
            let _aborted = worker.await;
        }
        sqlx::query(
            "select pg_terminate_backend(pid) from pg_stat_activity
                     where datname = current_database() and pid <> pg_backend_pid()",
        )
        .execute(&self.db)
        .await
        .unwrap();
        // As if the two seconds of grace had passed.
        sqlx::query("update engine.workers set seen_at = clock_timestamp() - interval '1 minute'")
            .execute(&self.db)
            .await
            .unwrap();
    }

    /// Starts runs of this world's subject.
    pub(crate) async fn start(&self, count: usize) -> Vec<Uuid> {
        let new = |_| NewRun {
            id: clock::new_id(),
            customer_id: self.customer_id,
            definition_id: self.definition_id,
            subject_id: self.subject_id,
            zone: "Europe/Vienna".into(),
            actor: "test".into(),
            start_at: None,
        };
        let runs: Vec<NewRun> = (0..count).map(new).collect();
        let mut tx = self.db.begin().await.unwrap();
        run::start(&mut tx, &runs).await.unwrap();
        tx.commit().await.unwrap();
        runs.into_iter().map(|run| run.id).collect()
    }

    /// Starts one run.
    pub(crate) async fn start_one(&self) -> Uuid {
        self.start(1).await[0]
    }

    /// Signals the subject; returns how many signals were new.
    pub(crate) async fn signal(&self, name: &str, key: &str) -> u64 {
        let signal = NewSignal {
            customer_id: self.customer_id,
            subject_id: self.subject_id,
            name: name.into(),
            key: key.into(),
            data: json!({ "came": true }),
        };
        let mut tx = self.db.begin().await.unwrap();
        let new = signal::send(&mut tx, &[signal]).await.unwrap();
        tx.commit().await.unwrap();
        new
    }

    /// Moves the clock.
    pub(crate) async fn advance(&self, seconds: u32) {
        clock::advance(&self.db, seconds.into()).await.unwrap();
    }

    /// The run as people read it.
    pub(crate) async fn row(&self, run: Uuid) -> RunRow {
        run::find(&self.db, Some(self.customer_id), run).await.unwrap().unwrap()
    }

    /// Waits until the run stands in a state.
    pub(crate) async fn until(&self, run: Uuid, state: &str) -> RunRow {
        let looked = async {
            loop {
                let row = self.row(run).await;
                if row.state == state {
                    return row;
                }
                tokio::task::yield_now().await;
            }
        };
        match tokio::time::timeout(PATIENCE, looked).await {
            Ok(row) => row,
            Err(_) => {
                panic!("never {state}: {:?} {:#?}", self.row(run).await, self.timeline(run).await)
            }
        }
    }

    /// Moves the clock over the pauses between attempts until the run is held; gives the reason.
    pub(crate) async fn until_held(&self, run: Uuid) -> String {
        for attempt in 1..=2 {
            while self.until(run, "sleeping").await.attempt < attempt {
                tokio::task::yield_now().await;
            }
            self.advance(3600).await;
        }
        self.until(run, "held").await.reason.unwrap()
    }

    /// Waits until a query that gives one bool gives true.
    pub(crate) async fn until_true(&self, query: &'static str) {
        let looked = async {
            while !sqlx::query_scalar::<_, bool>(query).fetch_one(&self.db).await.unwrap() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, looked).await.unwrap_or_else(|_| panic!("never: {query}"));
    }

    /// All that became of a run.
    pub(crate) async fn history(&self, run: Uuid) -> Vec<HistoryRow> {
        run::history(&self.db, Some(self.customer_id), run, -1).await.unwrap()
    }

    /// The same as lines: kind and step.
    pub(crate) async fn timeline(&self, run: Uuid) -> Vec<String> {
        let line = |row: HistoryRow| format!("{} {}", row.kind, row.step.unwrap_or_default());
        self.history(run).await.into_iter().map(line).collect()
    }

    /// Asserts what must hold of every run at rest, stops the workers, and drops the database.
    pub(crate) async fn end(mut self) {
        self.stop.cancel();
        for worker in self.workers.drain(..) {
            worker.await.unwrap();
        }
        self.assert_sound().await;
        self.database.drop().await;
    }

    async fn assert_sound(&self) {
        let runs: Vec<(Uuid, String, String, i32, bool, bool)> = sqlx::query_as(
            "select r.id, r.state, r.step, r.seq, exists (select from engine.jobs j where j.run_id = r.id),
               exists (select from engine.timers t where t.run_id = r.id)
             from engine.runs r",
        )
        .fetch_all(&self.db)
        .await
        .unwrap();
        for (run, state, step, seq, job, timer) in runs {
            let history = self.history(run).await;
            let seqs: Vec<i32> = history.iter().map(|row| row.seq).collect();
            assert_eq!(seqs, (0..=seq).collect::<Vec<_>>(), "the history of {run} has gaps");
            assert_eq!(
                replayed(&history),
                (state.clone(), step),
                "the history of {run} does not add up"
            );
            let ended = history.iter().filter(|row| ends(&row.kind)).count();
            assert_eq!(
                ended,
                usize::from(matches!(state.as_str(), "completed" | "exited" | "cancelled"))
            );
            assert!(!(job && timer), "{run} has a job and a timer");
            assert!(
                state == "live" || !(job || timer),
                "{run} is {state} and has a job or a timer"
            );
        }
        let leased: i64 =
            sqlx::query_scalar("select count(*) from engine.jobs where worker is not null")
                .fetch_one(&self.db)
                .await
                .unwrap();
        assert_eq!(leased, 0, "a stopped worker gives everything back");
    }
}

fn ends(kind: &str) -> bool {
    matches!(kind, "run.completed" | "run.exited" | "run.cancelled")
}

/// The state and the step that a history adds up to.
fn replayed(history: &[HistoryRow]) -> (String, String) {
    let mut state = "live".to_owned();
    let mut step = String::new();
    for row in history {
        match row.kind.as_str() {
            "run.started" => step = row.step.clone().unwrap(),
            "run.paused" => state = "paused".into(),
            "run.resumed" | "run.retried" => state = "live".into(),
            "run.held" => state = "held".into(),
            "run.completed" => state = "completed".into(),
            "run.exited" => state = "exited".into(),
            "run.cancelled" => state = "cancelled".into(),
            "step.done" | "step.skipped" | "step.failed" => {
                let to = row.data.as_ref().and_then(|data| data.get("to")).and_then(Value::as_str);
                // What a step that ran beside its run's end leads to is no place of the run.
                if let Some(to) =
                    to.filter(|_| !matches!(state.as_str(), "completed" | "exited" | "cancelled"))
                {
                    step = to.into();
                }
            }
            "step.waiting" | "step.deferred" | "step.intended" => {}
            other => panic!("a kind that no replay knows: {other}"),
        }
    }
    (state, step)
}
