//! Work on records that goes on after its answer.

use crm::own_run::{self, OwnRun};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::State;
use crate::problem::Problem;

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
    let run = OwnRun::awaited(id, id);
    Ok(own_run::start(tx, &state.definitions, customer_id, &work.definition(), &[run]).await?)
}
