//! Definitions as they are kept: one row per customer, name and version. What it says is never changed once
//! written; which one was applied last is noted beside.
//!
//! Owns `engine.definitions`. Reading a document is `definition`'s part.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::definition::{self, Definition};
use crate::step::{Reference, Registry};

/// How many definitions a process keeps read.
const CACHED: usize = 1_000;

/// A version as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its id, which runs name.
    pub id: i64,
    /// Its version, from 1.
    pub version: i32,
    /// Whether it was written just now; the same document is kept once.
    pub new: bool,
}

/// A definition's text with what it is called.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its id.
    pub id: i64,
    /// The workflow's name.
    pub name: String,
    /// Its version.
    pub version: i32,
    /// The canonical document.
    pub document: Value,
    /// The text as it was given.
    pub source: String,
}

/// Keeps a definition as the customer's next version, or finds the version that says the same.
///
/// # Errors
/// What the statements returned; the caller rolls back.
pub async fn keep(
    tx: &mut PgConnection,
    customer_id: Uuid,
    definition: &Definition,
    source: &str,
) -> Result<Stored, sqlx::Error> {
    lock(tx, &definition.name).await?;
    let same = sqlx::query!(
        "select id, version from engine.definitions where customer_id = $1 and name = $2 and hash = $3",
        customer_id,
        definition.name,
        definition.hash.as_slice(),
    )
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(same) = same {
        sqlx::query!(
            "update engine.definitions set applied = nextval('engine.applied')
             where id = $1 and applied < (select max(applied) from engine.definitions
               where customer_id = $2 and name = $3)",
            same.id,
            customer_id,
            definition.name,
        )
        .execute(&mut *tx)
        .await?;
        return Ok(Stored { id: same.id, version: same.version, new: false });
    }
    let first = &definition.steps[0];
    let kept = sqlx::query!(
        "insert into engine.definitions
           (customer_id, name, version, hash, document, source, first_step, first_queue, exits, hears)
         values ($1, $2,
           (select coalesce(max(version), 0) + 1 from engine.definitions where customer_id = $1 and name = $2),
           $3, $4, $5, $6, $7, $8, $9)
         returning id, version",
        customer_id,
        definition.name,
        definition.hash.as_slice(),
        definition.document,
        source,
        first.id,
        first.kind,
        &definition.exit_on,
        &heard(definition),
    )
    .fetch_one(tx)
    .await?;
    Ok(Stored { id: kept.id, version: kept.version, new: true })
}

/// Lets one at a time keep versions of a name, to the end of the transaction.
///
/// # Errors
/// What the statement returned.
pub(crate) async fn lock(tx: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("select from pg_advisory_xact_lock(hashtextextended($1, 3))", name)
        .execute(tx)
        .await?;
    Ok(())
}

/// The signals that a run of this definition could ever take.
fn heard(definition: &Definition) -> Vec<String> {
    let mut heard: BTreeSet<String> = definition.exit_on.iter().cloned().collect();
    for step in &definition.steps {
        for reference in step.step.references() {
            match reference {
                Reference::Signal { name, .. } => {
                    heard.insert(name);
                }
                Reference::Target { .. }
                | Reference::Step { .. }
                | Reference::Condition { .. }
                | Reference::Template { .. }
                | Reference::DateField { .. } => {}
            }
        }
    }
    heard.into_iter().collect()
}

/// The version of a workflow of a customer that was applied last, by name.
///
/// # Errors
/// What the statement returned.
pub async fn newest(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    name: &str,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        "select id from engine.definitions where customer_id = $1 and name = $2
         order by applied desc, version desc limit 1",
        customer_id,
        name,
    )
    .fetch_optional(db)
    .await
}

/// How many names of one kind are read.
const NAMES: i64 = 200;

/// Names of a customer's workflows, or of all customers': the one that is asked for first, if it exists; at most 200.
///
/// # Errors
/// Returns what the statement returned.
pub(crate) async fn names(
    db: impl PgExecutor<'_>,
    customer_id: Option<Uuid>,
    asked: &str,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select name from (
           select distinct name from engine.definitions where $1::uuid is null or customer_id = $1) n
         order by name <> $2, name limit $3",
        customer_id,
        asked,
        NAMES,
    )
    .fetch_all(db)
    .await
}

/// The ids of the steps of a customer's workflows, or of one workflow, in any version: the one that is asked for first,
/// if it exists; at most 200.
///
/// # Errors
/// Returns what the statement returned.
pub(crate) async fn step_names(
    db: impl PgExecutor<'_>,
    (customer_id, workflow): (Option<Uuid>, Option<&str>),
    asked: &str,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select name as "name!" from (
             select distinct jsonb_path_query(document, '$.steps[*].id') #>> '{}' as name from engine.definitions
             where ($1::uuid is null or customer_id = $1) and ($2::text is null or name = $2)) n
           order by name <> $3, name limit $4"#,
        customer_id,
        workflow,
        asked,
        NAMES,
    )
    .fetch_all(db)
    .await
}

/// The step types that a customer's workflows use: the one that is asked for first, if it is used; at most 200.
///
/// # Errors
/// Returns what the statement returned.
pub(crate) async fn step_types(
    db: impl PgExecutor<'_>,
    customer_id: Option<Uuid>,
    asked: &str,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select name as "name!" from (
             select distinct jsonb_path_query(document, '$.steps[*].type') #>> '{}' as name from engine.definitions
             where $1::uuid is null or customer_id = $1) n
           order by name <> $2, name limit $3"#,
        customer_id,
        asked,
        NAMES,
    )
    .fetch_all(db)
    .await
}

/// A version of a workflow, as a list of them shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRow {
    /// Its id.
    pub id: i64,
    /// Its number, from 1.
    pub version: i32,
    /// The SHA-256 of its canonical form.
    pub hash: Vec<u8>,
    /// When it was kept first.
    pub created_at: DateTime<Utc>,
    /// Whether it is the one that was applied last.
    pub current: bool,
    /// Its place in the order in which versions were applied.
    pub applied: i64,
    /// How many open runs follow it.
    pub runs: i64,
}

/// How many versions of one workflow a list shows at the most.
const LISTED: i64 = 1_000;

/// The versions of a workflow of a customer, the newest first, at most 1,000.
///
/// # Errors
/// What the statement returned.
pub async fn versions(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    name: &str,
) -> Result<Vec<VersionRow>, sqlx::Error> {
    sqlx::query_as!(
        VersionRow,
        r#"with followed as (
             select definition_id, count(*) as runs from engine.runs
             where customer_id = $1 and ended_at is null group by definition_id
           )
           select d.id, d.version, d.hash, d.created_at,
             d.applied = max(d.applied) over () as "current!", d.applied, coalesce(f.runs, 0) as "runs!"
           from engine.definitions d left join followed f on f.definition_id = d.id
           where d.customer_id = $1 and d.name = $2 order by d.version desc limit $3"#,
        customer_id,
        name,
        LISTED,
    )
    .fetch_all(db)
    .await
}

/// The number of a version.
///
/// # Errors
/// What the statement returned.
pub(crate) async fn number(db: impl PgExecutor<'_>, id: i64) -> Result<Option<i32>, sqlx::Error> {
    sqlx::query_scalar!("select version from engine.definitions where id = $1", id)
        .fetch_optional(db)
        .await
}

/// A version's document.
///
/// # Errors
/// What the statement returned.
pub async fn find(db: impl PgExecutor<'_>, id: i64) -> Result<Option<Document>, sqlx::Error> {
    sqlx::query_as!(
        Document,
        "select id, name, version, document, source from engine.definitions where id = $1",
        id,
    )
    .fetch_optional(db)
    .await
}

/// What a key of steps of a type says in any version that is kept, each value once.
///
/// # Errors
/// What the statement returned.
pub async fn values(
    db: impl PgExecutor<'_>,
    step_type: &str,
    key: &str,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select distinct step ->> $2 as "value!" from engine.definitions d
           cross join lateral jsonb_array_elements(d.document -> 'steps') step
           where step ->> 'type' = $1 and step ->> $2 is not null order by 1"#,
        step_type,
        key,
    )
    .fetch_all(db)
    .await
}

/// Definitions that this process has read, by id. A version never changes, so nothing goes stale.
#[derive(Clone)]
pub struct Definitions {
    registry: Registry,
    read: Arc<Mutex<BTreeMap<i64, Arc<Definition>>>>,
}

/// Why a run's definition can't be had.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The row is gone, or the document is broken; the run is held with this reason.
    #[error("{0}")]
    Unreadable(String),
    /// It uses what this binary does not know, such as a step type of a newer one; the run is left to a
    /// binary that does.
    #[error("{0}")]
    Foreign(String),
    /// The database did not answer; it is worth trying again.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl Definitions {
    /// Reads with the step types of this registry.
    pub fn new(registry: Registry) -> Self {
        Self { registry, read: Arc::default() }
    }

    /// The registry that documents are read with.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// A definition, read once per process.
    ///
    /// # Errors
    /// `Unreadable` for a run that must be held, `Database` for one that may try again.
    pub async fn load(
        &self,
        db: impl PgExecutor<'_>,
        id: i64,
    ) -> Result<Arc<Definition>, LoadError> {
        if let Some(definition) = self.cached(id) {
            return Ok(definition);
        }
        let document = find(db, id)
            .await?
            .ok_or_else(|| LoadError::Unreadable(format!("workflow version {id} is gone")))?;
        let definition =
            definition::from_document(&document.document, &self.registry).map_err(|refusals| {
                let reason = format!(
                    "this version of SalesOS can't read workflow `{}` version {}: {}",
                    document.name,
                    document.version,
                    refusals.problems.first().map_or("", |problem| problem.message.as_str()),
                );
                let foreign = refusals.problems.iter().all(|problem| problem.unknown);
                if foreign { LoadError::Foreign(reason) } else { LoadError::Unreadable(reason) }
            })?;
        let definition = Arc::new(definition);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.len() >= CACHED {
            read.pop_first();
        }
        read.insert(id, Arc::clone(&definition));
        Ok(definition)
    }

    fn cached(&self, id: i64) -> Option<Arc<Definition>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
}
