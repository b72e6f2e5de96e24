//! How stories change a definition while its runs live: planned, applied, gone back from.

use engine::change::{self, Map, OrderError, Ordered, Plan};
use engine::definition::{self, Definition};
use engine::definition_store;
use engine::operation::{self, Operation};
use uuid::Uuid;

use super::story::Story;

impl Story {
    /// What it would do to make these steps the workflow `story`.
    pub(crate) async fn plan(&self, steps: &str) -> Plan {
        self.plan_for(&self.read("story", steps).0, &Map::new()).await
    }

    pub(crate) async fn plan_for(&self, definition: &Definition, asked: &Map) -> Plan {
        let definitions = self.definitions();
        let mut db = self.db.acquire().await.unwrap();
        change::plan(&mut db, &definitions, self.customer, definition, asked).await.unwrap()
    }

    /// Applies these steps, and waits until all runs came over that may; gives the new version's id.
    pub(crate) async fn apply(&self, steps: &str) -> i64 {
        let (definition, source) = self.read("story", steps);
        let (id, ordered) = self.order(&definition, &source, &Map::new()).await.unwrap();
        self.came_over(ordered).await;
        id
    }

    /// Orders what a plan says; gives the new version's id, and the operation.
    pub(crate) async fn order(
        &self,
        definition: &Definition,
        source: &str,
        asked: &Map,
    ) -> Result<(i64, Option<Uuid>), OrderError> {
        let plan = self.plan_for(definition, asked).await;
        let mut tx = self.db.begin().await.unwrap();
        change::verify(&mut tx, self.customer, definition, asked, &plan, None).await?;
        let kept =
            definition_store::keep(&mut tx, self.customer, definition, source).await.unwrap();
        let (definition_id, actor) = (kept.id, "user:test");
        let ordered = Ordered { plan: &plan, definition_id, asked, actor, reason: None };
        let ordered = change::order(&mut tx, self.customer, ordered).await.unwrap();
        tx.commit().await.unwrap();
        Ok((kept.id, ordered))
    }

    /// Goes back to a version, and waits until all runs came back that may.
    pub(crate) async fn roll_back(&self, to: i64, asked: &Map) -> Result<(), OrderError> {
        let document = definition_store::find(&self.db, to).await.unwrap().unwrap();
        let registry = self.definitions().registry().clone();
        let definition = definition::from_document(&document.document, &registry).unwrap();
        let (id, ordered) = self.order(&definition, &document.source, asked).await?;
        assert_eq!(id, to, "the version is the one that was kept");
        self.came_over(ordered).await;
        Ok(())
    }

    pub(crate) async fn operation(&self, id: Uuid) -> Operation {
        operation::find(&self.db, Some(self.customer), id).await.unwrap().unwrap()
    }

    /// Waits until an operation is done.
    pub(crate) async fn came_over(&self, ordered: Option<Uuid>) {
        if ordered.is_some() {
            self.until_count("select count(*) from engine.operations where ended_at is null", 0)
                .await;
        }
    }

    /// The version that a run follows.
    pub(crate) async fn follows(&self, run: Uuid) -> i64 {
        self.run(run).await.definition_id
    }
}
