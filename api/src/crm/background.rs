//! Work on records that goes on after its answer: runs of workflows of our own, which survive crashes, are tried again,
//! and show with the other jobs.

use engine::definition::{self, Format};
use engine::definition_store;
use engine::run::{self, NewRun, Priority, StartError};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::State;
use crate::problem::{Kind, Problem};

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// The rows of an import become contacts.
    Import,
    /// A bulk change goes over its records.
    BulkChange,
}

impl Work {
    fn definition(self) -> serde_json::Value {
        let (name, title, subject, step) = match self {
            Self::Import => ("contacts-import", "An import of contacts", "import", "import.rows"),
            Self::BulkChange => ("records-change", "A bulk change", "bulk_change", "bulk.change"),
        };
        json!({ "name": name, "title": title, "subject": subject, "steps": [{ "id": "work", "type": step }] })
    }
}

/// Starts work whose run has the id of what it is about, in the transaction that ordered it.
pub(super) async fn start(
    tx: &mut PgConnection,
    state: &State,
    customer_id: Uuid,
    id: Uuid,
    work: Work,
) -> Result<(), Problem> {
    let broken = |error: &dyn std::fmt::Display| {
        tracing::error!(%error, "work on records could not be begun");
        Problem::new(Kind::Internal)
    };
    let source = format!("{:#}", work.definition());
    let read = definition::read("work", &source, Format::Json, state.definitions.registry());
    let definition = read.map_err(|refusals| broken(&refusals))?;
    let kept = definition_store::keep(tx, customer_id, &definition, &source).await?;
    let new = NewRun {
        id,
        customer_id,
        definition_id: kept.id,
        subject_id: id,
        zone: "UTC".into(),
        actor: "api".into(),
        start_at: None,
        limit_keys: json!({}),
        priority: Priority::High,
        parent: None,
    };
    run::start(tx, &[new]).await.map_err(|error| match error {
        StartError::Database(error) => error.into(),
        StartError::UnknownDefinition => broken(&error),
    })
}
