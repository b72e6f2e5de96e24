//! Runs of workflows of our own, which no customer wrote: they survive crashes, are tried again, and show with the other
//! jobs. Such a run has the id of the record whose work it does: a delivery, an import, a bulk change.

use engine::definition::{self, Format};
use engine::definition_store::{self, Definitions};
use engine::run::{self, NewRun, Priority, StartError, State};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{bulk_change, import, webhook};

/// A run to start.
#[derive(Debug, Clone, Copy)]
pub struct OwnRun<'a> {
    /// Its id, a UUIDv7.
    pub id: Uuid,
    /// What it is about.
    pub subject_id: Uuid,
    /// Whether somebody waits for it.
    pub priority: Priority,
    /// The limit that counts it, by kind and name.
    pub limit: Option<(&'static str, &'a str)>,
}

impl OwnRun<'_> {
    /// One for which somebody waits.
    pub fn awaited(id: Uuid, subject_id: Uuid) -> Self {
        Self { id, subject_id, priority: Priority::High, limit: None }
    }
}

/// Why none was started.
#[derive(Debug, thiserror::Error)]
pub enum OwnRunError {
    /// The definition is no good: a mistake of ours.
    #[error("a workflow of our own can't be read: {0}")]
    Broken(String),
    /// The database refused.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Starts runs of a workflow, in the transaction of what ordered them.
///
/// # Errors
/// `Broken`, or what the statements returned; the caller rolls back.
pub async fn start(
    tx: &mut PgConnection,
    definitions: &Definitions,
    customer_id: Uuid,
    workflow: &Value,
    runs: &[OwnRun<'_>],
) -> Result<(), OwnRunError> {
    let source = format!("{workflow:#}");
    let read = definition::read("own", &source, Format::Json, definitions.registry());
    let definition = read.map_err(|refusals| OwnRunError::Broken(refusals.to_string()))?;
    let kept = definition_store::keep(tx, customer_id, &definition, &source).await?;
    let new = |run: &OwnRun<'_>| NewRun {
        id: run.id,
        customer_id,
        definition_id: kept.id,
        subject_id: run.subject_id,
        zone: "UTC".into(),
        actor: "salesos".into(),
        start_at: None,
        limit_keys: run.limit.map_or_else(|| json!({}), |(kind, name)| json!({ kind: name })),
        priority: run.priority,
        parent: None,
    };
    let new: Vec<NewRun> = runs.iter().map(new).collect();
    run::start(tx, &new).await.map_err(|error| match error {
        StartError::Database(error) => OwnRunError::Database(error),
        StartError::UnknownDefinition => OwnRunError::Broken(error.to_string()),
    })
}

/// Ends the records whose runs a person has ended, as nothing works on them any more. Records that have ended stay as they
/// are, and runs of other workflows have none.
///
/// # Errors
/// Returns what the statements returned.
pub(crate) async fn end_records(
    tx: &mut PgConnection,
    customer_id: Uuid,
    runs: &[(Uuid, State)],
) -> Result<(), sqlx::Error> {
    let ended = runs.iter().filter_map(|(run_id, state)| Some((*run_id, reason(*state)?)));
    let (ids, reasons): (Vec<Uuid>, Vec<String>) = ended.unzip();
    if ids.is_empty() {
        return Ok(());
    }
    webhook::give_up(&mut *tx, customer_id, &ids, &reasons).await?;
    import::give_up(&mut *tx, customer_id, &ids, &reasons).await?;
    bulk_change::give_up(tx, customer_id, &ids, &reasons).await
}

/// Why a record ends with its run; `None` while that is open.
fn reason(state: State) -> Option<String> {
    match state {
        State::Live | State::Paused | State::Held => None,
        State::Cancelled => Some("its job was cancelled".into()),
        State::Completed => Some("its job was skipped".into()),
        State::Exited => Some("its job was undone".into()),
    }
}
