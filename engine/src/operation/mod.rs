//! Operations: the same done to all runs that a filter matches, on the server, a page at a time, with
//! progress, pace and stop. The row is the audit: who ordered what, over which runs, and what came of it.
//!
//! Owns `engine.operations`. The worker's `operate` works them off.

mod selection;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};
use utoipa::ToSchema;
use uuid::Uuid;

pub(crate) use selection::{Place, page};
pub use selection::{Preview, Selection, preview};

use crate::clock;
use crate::run::Action;

/// What is done to each run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Wish {
    /// Act on it.
    Act(Action),
    /// Tell it a signal, once.
    Signal {
        /// Such as `email.replied`.
        name: String,
        /// What a waiting step reads of it.
        data: Value,
    },
    /// Bring it into another version of its workflow.
    Migrate {
        /// The version's id.
        to: i64,
        /// What a person maps beyond the definition: the old id of a step to a new one, `exit` or `stay`.
        #[serde(default)]
        map: BTreeMap<String, String>,
    },
}

/// An operation to order.
#[derive(Debug, Clone, PartialEq)]
pub struct NewOperation {
    /// What is done.
    pub wish: Wish,
    /// To which runs.
    pub selection: Selection,
    /// Who wants it, such as `user:usr_…` or `cli`.
    pub actor: String,
    /// Why, in a person's words.
    pub reason: Option<String>,
    /// How many runs a second at most; as fast as it goes where nothing stands.
    pub per_second: Option<f32>,
    /// How many matched when it was ordered.
    pub total: i64,
}

/// An operation as people read it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Operation {
    /// Its id.
    #[serde(skip)]
    pub id: Uuid,
    /// `queued running done stopped failed`.
    pub status: String,
    /// What is done.
    pub wish: Value,
    /// To which runs.
    pub selection: Value,
    /// Who ordered it.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// How many matched when it was ordered; more may have than are counted.
    pub total: i64,
    /// How many were looked at.
    pub done: i64,
    /// How many changed.
    pub changed: i64,
    /// How many stood where the wish does nothing.
    pub skipped: i64,
    /// What ended it, where it failed.
    pub error: Option<String>,
    /// When it was ordered.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
}

/// Orders an operation; a worker begins it after the commit.
///
/// # Errors
/// What the statement returned.
pub async fn order(tx: &mut PgConnection, new: &NewOperation) -> Result<Uuid, sqlx::Error> {
    let id = clock::new_id();
    sqlx::query!(
        "with ordered as (
           insert into engine.operations
             (id, customer_id, wish, selection, actor, reason, per_second, total, next_at, migrates_at)
           values ($1, $2, $3, $4, $5, $6, $7, $8,
             -- A binary that can't read it leaves what is never due.
             case when $9 then 'infinity' else clock_timestamp() end, case when $9 then clock_timestamp() end)
         )
         select from pg_notify('engine', 'operations')",
        id,
        new.selection.customer_id,
        serde_json::to_value(&new.wish).expect("a wish has text keys only"),
        serde_json::to_value(&new.selection).expect("a selection has text keys only"),
        new.actor,
        new.reason,
        new.per_second,
        new.total,
        matches!(new.wish, Wish::Migrate { .. }),
    )
    .execute(tx)
    .await?;
    Ok(id)
}

/// Stops an operation where it stands; says whether it was under way. What it has done stays done.
///
/// # Errors
/// What the statement returned.
pub async fn stop(
    db: impl PgExecutor<'_>,
    customer_id: Option<Uuid>,
    id: Uuid,
) -> Result<bool, sqlx::Error> {
    let stopped = sqlx::query!(
        "update engine.operations set state = 'stopped', ended_at = engine.now()
         where id = $1 and ($2::uuid is null or customer_id = $2) and ended_at is null",
        id,
        customer_id,
    )
    .execute(db)
    .await?;
    Ok(stopped.rows_affected() > 0)
}

/// Stops what is bringing runs of a workflow into another version, where it stands.
///
/// # Errors
/// What the statement returned.
pub(crate) async fn stop_migrations(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    workflow: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update engine.operations set state = 'stopped', ended_at = engine.now()
         where customer_id = $1 and ended_at is null and migrates_at is not null and selection ->> 'workflow' = $2",
        customer_id,
        workflow,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// An operation by id; no customer means any, for operators.
///
/// # Errors
/// What the statement returned.
pub async fn find(
    db: impl PgExecutor<'_>,
    customer_id: Option<Uuid>,
    id: Uuid,
) -> Result<Option<Operation>, sqlx::Error> {
    sqlx::query_as!(
        Operation,
        "select id, state as status, wish, selection, actor, reason, total, done, changed, skipped, error,
           created_at, ended_at
         from engine.operations where id = $1 and ($2::uuid is null or customer_id = $2)",
        id,
        customer_id,
    )
    .fetch_optional(db)
    .await
}

/// Operations, newest first, older than `before`, at most `limit` (bounded to 1,000).
///
/// # Errors
/// What the statement returned.
pub async fn list(
    db: impl PgExecutor<'_>,
    customer_id: Option<Uuid>,
    before: Option<Uuid>,
    limit: u32,
) -> Result<Vec<Operation>, sqlx::Error> {
    sqlx::query_as!(
        Operation,
        "select id, state as status, wish, selection, actor, reason, total, done, changed, skipped, error,
           created_at, ended_at
         from engine.operations
         where ($1::uuid is null or customer_id = $1) and ($2::uuid is null or id < $2)
         order by id desc limit $3",
        customer_id,
        before,
        i64::from(limit.min(1_000)),
    )
    .fetch_all(db)
    .await
}
