//! Sequences: a customer's workflows over contacts. Owns `sequences`; the document itself is the engine's.

use chrono::{DateTime, Utc};
use engine::change::{self, OrderError, Ordered, Plan};
use engine::definition::Definition;
use engine::{clock, definition_store};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// Whether a sequence may take contacts.
pub const STATUSES: &[&str] = &["draft", "active", "paused", "archived"];

/// A sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct Sequence {
    /// Whose it is.
    pub customer_id: Uuid,
    /// Its id (`seq_…`).
    pub id: Uuid,
    /// The document's stable key.
    pub name: String,
    /// What people read.
    pub title: String,
    /// `draft`, `active`, `paused` or `archived`.
    pub status: String,
    /// The version that new enrollments follow.
    pub definition_id: i64,
    /// That version's number, from 1.
    pub version: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// Whether a sequence of this name may be there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// A second one of the name is refused.
    Refuse,
    /// The document becomes the next version of it.
    Update,
}

/// Why a sequence was not made.
#[derive(Debug, thiserror::Error)]
pub enum SequenceError {
    /// The name is taken.
    #[error("there is a sequence `{0}` already; choose another name")]
    NameTaken(String),
    /// The database refused.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Keeps a definition as a sequence: a draft when it is new. Runs keep the version that they follow.
///
/// # Errors
/// `NameTaken` where another may not be there, or what the statements returned.
pub async fn keep(
    tx: &mut PgConnection,
    customer_id: Uuid,
    definition: &Definition,
    source: &str,
    existing: Existing,
) -> Result<Sequence, SequenceError> {
    let stored = definition_store::keep(tx, customer_id, definition, source).await?;
    if existing == Existing::Refuse
        && find_named(&mut *tx, customer_id, &definition.name).await?.is_some()
    {
        return Err(SequenceError::NameTaken(definition.name.clone()));
    }
    let kept = sqlx::query_as!(
        Sequence,
        "insert into sequences (customer_id, id, name, title, definition_id, version)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (customer_id, name) do update set title = excluded.title,
           definition_id = excluded.definition_id, version = excluded.version, updated_at = engine.now()
         returning customer_id, id, name, title, status, definition_id, version, created_at, updated_at",
        customer_id,
        clock::new_id(),
        definition.name,
        definition.title,
        stored.id,
        stored.version,
    )
    .fetch_one(tx)
    .await?;
    Ok(kept)
}

/// A definition on its way to become what a sequence follows, and its runs with it.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// What is planned.
    pub plan: &'a Plan,
    /// The hash of the plan that a person has seen, where they name one.
    pub shown: Option<&'a str>,
    /// Where steps lead beyond what the definition says.
    pub asked: &'a change::Map,
    /// Who wants it, such as `user:usr_…` or `cli`.
    pub actor: &'a str,
    /// Why, in a person's words.
    pub reason: Option<&'a str>,
}

/// Why a change was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The plan is refused, or it is not what was shown.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// The sequence was not kept.
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    /// The database refused.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Keeps a definition as a sequence, the version of which new enrollments follow from now on, and orders the
/// operation that brings the runs over which may come; `None` where there are none.
///
/// # Errors
/// Why it was not applied, or what the statements returned; the caller rolls back.
pub async fn apply(
    tx: &mut PgConnection,
    customer_id: Uuid,
    (definition, source): (&Definition, &str),
    change: Change<'_>,
) -> Result<(Sequence, Option<Uuid>), ApplyError> {
    let Change { plan, shown, asked, actor, reason } = change;
    change::verify(tx, customer_id, definition, asked, plan, shown).await?;
    let kept = keep(tx, customer_id, definition, source, Existing::Update).await?;
    let ordered = Ordered { plan, definition_id: kept.definition_id, asked, actor, reason };
    let operation = change::order(tx, customer_id, ordered).await?;
    Ok((kept, operation))
}

/// A sequence by id.
///
/// # Errors
/// What the statement returned.
pub async fn find(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Sequence>, sqlx::Error> {
    sqlx::query_as!(
        Sequence,
        "select customer_id, id, name, title, status, definition_id, version, created_at, updated_at
         from sequences where customer_id = $1 and id = $2",
        customer_id,
        id,
    )
    .fetch_optional(db)
    .await
}

/// A sequence by name.
///
/// # Errors
/// What the statement returned.
pub async fn find_named(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    name: &str,
) -> Result<Option<Sequence>, sqlx::Error> {
    sqlx::query_as!(
        Sequence,
        "select customer_id, id, name, title, status, definition_id, version, created_at, updated_at
         from sequences where customer_id = $1 and name = $2",
        customer_id,
        name,
    )
    .fetch_optional(db)
    .await
}

/// Names of a customer's sequences: the one that is asked for first, if it exists; at most 200.
///
/// # Errors
/// Returns what the statement returned.
pub async fn names(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    asked: &str,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select name from sequences where customer_id = $1 order by name <> $2, name limit 200",
        customer_id,
        asked,
    )
    .fetch_all(db)
    .await
}

/// Sequences, newest first, older than `before`, at most `limit` (bounded to 200).
///
/// # Errors
/// What the statement returned.
pub async fn list(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    before: Option<Uuid>,
    limit: u32,
) -> Result<Vec<Sequence>, sqlx::Error> {
    sqlx::query_as!(
        Sequence,
        "select customer_id, id, name, title, status, definition_id, version, created_at, updated_at
         from sequences where customer_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3",
        customer_id,
        before,
        i64::from(limit.min(200)),
    )
    .fetch_all(db)
    .await
}

/// Lets contacts be enrolled; an archived sequence stays archived. `None` where there is none such.
///
/// # Errors
/// What the statement returned.
pub async fn activate(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Sequence>, sqlx::Error> {
    sqlx::query_as!(
        Sequence,
        "update sequences set status = case when status = 'archived' then status else 'active' end,
           updated_at = engine.now()
         where customer_id = $1 and id = $2
         returning customer_id, id, name, title, status, definition_id, version, created_at, updated_at",
        customer_id,
        id,
    )
    .fetch_optional(db)
    .await
}
