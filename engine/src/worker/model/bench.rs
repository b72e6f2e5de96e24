//! A database with the workflows of the model in it, for one case after the other.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::{Executor, PgConnection, PgPool};
use uuid::Uuid;

use super::super::{Settings, Worker, pool};
use super::database::{TestDatabase, database};
use super::world::{Outside, WORKFLOWS, registry, source};
use crate::clock;
use crate::definition::{self, Format};
use crate::definition_store::{self, Definitions};
use crate::fact::{FactWriter, FactWriters, RunFact};

/// How much a process may hold; more than any case starts.
pub(super) const ROOM: usize = 64;

/// A database with the workflows in it, for one case after the other.
pub(super) struct Bench {
    test: TestDatabase,
    queue: PgPool,
    pub(super) outside: Arc<Outside>,
    pub(super) definitions: Definitions,
    /// The ids of the workflows' versions.
    pub(super) kept: Vec<i64>,
    pub(super) customer: Uuid,
    /// Kept from case to case, with the plans of all that they have ever asked.
    pub(super) db: PgConnection,
    pub(super) grants: PgConnection,
}

/// Writes down of which step a fact came.
struct Writer;

impl FactWriter for Writer {
    fn kind(&self) -> &'static str {
        "model.done"
    }

    fn write<'a>(
        &'a self,
        tx: &'a mut PgConnection,
        facts: &'a [RunFact],
    ) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        Box::pin(async move {
            let runs: Vec<Uuid> = facts.iter().map(|fact| fact.run_id).collect();
            let seqs: Vec<i32> = facts.iter().map(|fact| fact.seq).collect();
            sqlx::query("insert into facts select * from unnest($1::uuid[], $2::int[])")
                .bind(runs)
                .bind(seqs)
                .execute(tx)
                .await?;
            Ok(())
        })
    }
}

impl Bench {
    /// A fresh database whose clock stands still.
    pub(super) async fn new() -> Self {
        let test = database().await;
        let queue = pool(test.options.clone()).await.unwrap();
        let outside = Arc::new(Outside::default());
        let definitions = Definitions::new(registry(&outside));
        let customer = clock::new_id();
        let mut tx = test.pool.begin().await.unwrap();
        clock::set_scale(&mut tx, 0.0).await.unwrap();
        tx.execute("create table facts (run_id uuid, seq int); create index on facts (run_id)")
            .await
            .unwrap();
        let mut kept = Vec::new();
        for workflow in 0..WORKFLOWS.len() {
            let text = source(workflow);
            let read = definition::read("model.toml", &text, Format::Toml, definitions.registry())
                .unwrap_or_else(|refusals| panic!("{refusals}"));
            kept.push(definition_store::keep(&mut tx, customer, &read, &text).await.unwrap().id);
        }
        tx.commit().await.unwrap();
        let db = queue.acquire().await.unwrap().detach();
        let mut grants = queue.acquire().await.unwrap().detach();
        grants.execute("set enable_hashjoin = on").await.unwrap();
        Self { test, queue, outside, definitions, kept, customer, db, grants }
    }

    /// What a worker process on this database needs to know.
    pub(super) fn worker(&self) -> Worker {
        Worker {
            queue: self.queue.clone(),
            db: self.queue.clone(),
            definitions: self.definitions.clone(),
            writers: FactWriters::new().writer(Arc::new(Writer)),
            settings: Settings { leases: ROOM, ..Settings::default() },
        }
    }

    pub(super) async fn drop(self) {
        self.queue.close().await;
        self.test.drop().await;
    }
}
