//! A test's own database, clock and workers, and what it asks of runs.

use std::sync::Arc;
use std::time::Duration;

use engine::clock;
use engine::definition::{self, Definition, Format};
use engine::definition_store::{self, Definitions};
use engine::fact::{FactWriter, FactWriters, RunFact};
use engine::run::{self, Action, Change, HistoryRow, NewRun, Priority, RunRow};
use engine::signal::{self, NewSignal, Target};
use engine::worker::{self, Settings, Worker};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor, PgConnection, PgPool};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::replay;
use super::steps::{Board, registry};
use crate::database::{TestDatabase, database};

/// A test's world.
pub(crate) struct Story {
    pub(crate) db: PgPool,
    pub(crate) board: Arc<Board>,
    pub(crate) customer: Uuid,
    test: TestDatabase,
}

/// A worker that a test started.
pub(crate) struct Working {
    stop: CancellationToken,
    task: JoinHandle<()>,
    queue: PgPool,
}

impl Working {
    /// Tells it to stop, and waits until it has.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(10), self.task)
            .await
            .expect("a worker stops within its grace")
            .unwrap();
        self.queue.close().await;
    }

    /// Lets it die with what it holds.
    pub(crate) async fn die(self) {
        self.task.abort();
        let _aborted = self.task.await;
        self.queue.close().await;
    }
}

/// Writes facts into a table of the test, and refuses poison.
struct Writer;

impl FactWriter for Writer {
    fn kind(&self) -> &'static str {
        "test.fact"
    }

    fn write<'a>(
        &'a self,
        tx: &'a mut PgConnection,
        facts: &'a [RunFact],
    ) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        async move {
            for fact in facts {
                if fact.data["poison"] == true {
                    return Err(sqlx::Error::RowNotFound);
                }
                sqlx::query("insert into facts (run_id) values ($1)")
                    .bind(fact.run_id)
                    .execute(&mut *tx)
                    .await?;
            }
            Ok(())
        }
        .boxed()
    }
}

impl Story {
    /// A database whose clock stands still.
    pub(crate) async fn begin() -> Self {
        let test = database().await;
        let db = test.pool.clone();
        let mut tx = db.begin().await.unwrap();
        clock::set_scale(&mut tx, 0.0).await.unwrap();
        tx.execute("create table facts (run_id uuid primary key)").await.unwrap();
        tx.commit().await.unwrap();
        Self { db, board: Board::new(), customer: clock::new_id(), test }
    }

    /// Checks what holds for every run of every story, and drops the database.
    pub(crate) async fn end(self) {
        replay::check_all(&self.db).await;
        self.test.drop().await;
    }

    /// Starts a worker.
    pub(crate) async fn worker(&self) -> Working {
        self.worker_with(Settings::default()).await
    }

    /// Starts a worker that works so, but looks often.
    pub(crate) async fn worker_with(&self, settings: Settings) -> Working {
        let queue = worker::pool(self.test.options.clone()).await.unwrap();
        let stop = CancellationToken::new();
        let worker = Worker {
            queue: queue.clone(),
            db: self.db.clone(),
            definitions: self.definitions(),
            writers: FactWriters::new().writer(Arc::new(Writer)),
            settings: Settings { poll: Duration::from_millis(20), ..settings },
        };
        let told = stop.clone();
        let task = tokio::spawn(async move { worker.run(told).await });
        Working { stop, task, queue }
    }

    /// Keeps a definition of these steps, which ends on `stop`.
    pub(crate) async fn define(&self, steps: &str) -> i64 {
        self.define_as("story", steps).await
    }

    /// Reads a definition of these steps, which ends on `stop`; also its text.
    pub(crate) fn read(&self, name: &str, steps: &str) -> (Definition, String) {
        let source =
            format!("name = \"{name}\"\nsubject = \"thing\"\n[exit]\non = [\"stop\"]\n{steps}");
        let read = definition::read("story.toml", &source, Format::Toml, &registry(&self.board))
            .unwrap_or_else(|refusals| panic!("{refusals}"));
        (read, source)
    }

    /// The same under a name of its own.
    pub(crate) async fn define_as(&self, name: &str, steps: &str) -> i64 {
        let (read, source) = self.read(name, steps);
        let mut tx = self.db.begin().await.unwrap();
        let kept = definition_store::keep(&mut tx, self.customer, &read, &source).await.unwrap();
        tx.commit().await.unwrap();
        kept.id
    }

    /// Starts runs of a definition, each about a subject of its own id.
    pub(crate) async fn start_many(&self, definition_id: i64, count: usize) -> Vec<Uuid> {
        let runs: Vec<NewRun> = (0..count)
            .map(|_| {
                let id = clock::new_id();
                let (zone, actor) = ("Europe/Berlin".into(), "cli".into());
                let customer_id = self.customer;
                NewRun {
                    id,
                    customer_id,
                    definition_id,
                    subject_id: id,
                    zone,
                    actor,
                    start_at: None,
                    limit_keys: json!({ "line": "one" }),
                    priority: Priority::Normal,
                    parent: None,
                }
            })
            .collect();
        let mut tx = self.db.begin().await.unwrap();
        run::start(&mut tx, &runs).await.unwrap();
        tx.commit().await.unwrap();
        runs.iter().map(|run| run.id).collect()
    }

    /// Starts one run of these steps.
    pub(crate) async fn start(&self, steps: &str) -> Uuid {
        let definition = self.define(steps).await;
        self.start_many(definition, 1).await[0]
    }

    pub(crate) async fn run(&self, id: Uuid) -> RunRow {
        run::find(&self.db, Some(self.customer), id).await.unwrap().expect("the run stands")
    }

    pub(crate) async fn history(&self, id: Uuid) -> Vec<HistoryRow> {
        run::history(&self.db, Some(self.customer), id, -1).await.unwrap()
    }

    /// The kinds of its history with their steps, as one readable line.
    pub(crate) async fn told(&self, id: Uuid) -> String {
        let rows = self.history(id).await;
        let word = |row: &HistoryRow| match (row.kind.as_str(), &row.step) {
            (kind, Some(step)) if kind.starts_with("step.") => format!("{}:{step}", &kind[5..]),
            (kind, _) => kind.trim_start_matches("run.").to_owned(),
        };
        rows.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    /// Waits until a run stands in a state, as people read it.
    pub(crate) async fn until(&self, id: Uuid, state: &str) -> RunRow {
        let mut look = tokio::time::interval(Duration::from_millis(5));
        for _ in 0..3_000 {
            look.tick().await;
            let row = self.run(id).await;
            if row.state == state {
                return row;
            }
        }
        panic!("not {state}: {:?}, {}", self.run(id).await, self.told(id).await);
    }

    /// Waits until a statement gives this count.
    pub(crate) async fn until_count(&self, statement: &str, wanted: i64) {
        let mut look = tokio::time::interval(Duration::from_millis(10));
        let mut count = -1;
        for _ in 0..2_000 {
            look.tick().await;
            let asked = AssertSqlSafe(statement.to_owned());
            count = sqlx::query_scalar(asked).fetch_one(&self.db).await.unwrap();
            if count == wanted {
                return;
            }
        }
        panic!("{statement} gives {count}, not {wanted}");
    }

    /// Runs a statement of the test's own.
    pub(crate) async fn sql(&self, statement: &str) {
        self.db.execute(AssertSqlSafe(statement.to_owned())).await.unwrap();
    }

    /// Moves the clock, and lets the workers look.
    pub(crate) async fn pass(&self, minutes: f64) {
        clock::advance(&self.db, minutes * 60.0).await.unwrap();
        self.sql("select pg_notify('engine', '')").await;
    }

    /// Sends a signal about a run's subject; says whether it was new.
    pub(crate) async fn signal(&self, id: Uuid, name: &str, key: &str) -> bool {
        let data: Value = json!({ "key": key });
        let (name, key) = (name.into(), key.into());
        let new =
            NewSignal { customer_id: self.customer, target: Target::Subject(id), name, key, data };
        let mut tx = self.db.begin().await.unwrap();
        let fresh = signal::send(&mut tx, &[new]).await.unwrap();
        tx.commit().await.unwrap();
        fresh == 1
    }

    /// Does what a person asks.
    pub(crate) async fn ask(&self, id: Uuid, wish: Action) -> Change {
        let mut tx = self.db.begin().await.unwrap();
        let (customer, actor) = (self.customer, "user:test");
        let changes =
            run::act(&mut tx, &self.definitions(), customer, &[id], &wish, actor).await.unwrap();
        tx.commit().await.unwrap();
        changes.into_iter().next().unwrap()
    }

    /// What a process of this story reads definitions with.
    pub(crate) fn definitions(&self) -> Definitions {
        Definitions::new(registry(&self.board))
    }
}
