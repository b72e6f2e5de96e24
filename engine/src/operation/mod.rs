//! Operations: the same done to all runs that a filter matches, on the server, a page at a time, with
//! progress, pace and stop. The row is the audit: who ordered what, over which runs, and what came of it.
//!
//! Owns `engine.operations`. The worker's `operate` works them off.

mod names;
mod selection;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};
use utoipa::ToSchema;
use uuid::Uuid;

pub use names::{Names, Unknown, UnknownName, check_names};
pub use selection::{COUNTED, OPEN_STATES, Preview, SAMPLE, Selection, preview};
pub(crate) use selection::{Place, page};

use crate::clock;
use crate::id;
use crate::run::Action;

/// The slowest and the fastest pace of an operation, in runs a second.
pub const PACES: std::ops::RangeInclusive<f32> = 0.01..=100_000.0;

/// What is done to each run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Wish {
    /// Act on it.
    Act(Action),
    /// Signal it, once.
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

impl Wish {
    /// The stored states of open runs in which it does something.
    pub fn states(&self) -> Vec<String> {
        match self {
            Self::Act(action) => action.states(),
            // A signal goes into the inbox of each open run, and a version is every open run's.
            Self::Signal { .. } | Self::Migrate { .. } => Action::Cancel.states(),
        }
    }
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
    /// How many runs a second at most, within [`PACES`]; unlimited by default.
    pub per_second: Option<f32>,
    /// For whom it acts, if not for everybody: a value that the domain reads
    /// ([`crate::fact::FactWriters::reached`]) for each page.
    pub reach: Option<Value>,
    /// How many matched when it was ordered.
    pub total: i64,
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationStatus {
    /// It was ordered; a worker begins it.
    Queued,
    /// A worker does page after page.
    Running,
    /// It went over everything that matched.
    Done,
    /// A person stopped it.
    Stopped,
    /// It could not continue, and says why.
    Failed,
}

impl OperationStatus {
    /// The stored word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// An operation as people read it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Operation {
    /// Its id.
    #[serde(skip)]
    pub id: Uuid,
    /// How far it is.
    #[schema(value_type = OperationStatus)]
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
    /// How many were checked.
    pub done: i64,
    /// How many changed.
    pub changed: i64,
    /// How many were in a state in which the wish does nothing.
    pub skipped: i64,
    /// What ended it, if it failed.
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
             (id, customer_id, wish, selection, actor, reason, per_second, total, reach, next_at, migrates_at, scoped_at)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $10,
             -- A binary that can't read it leaves what is never due.
             case when $9 or $10::jsonb is not null then 'infinity' else clock_timestamp() end,
             case when $9 then clock_timestamp() end,
             case when $10::jsonb is not null then clock_timestamp() end)
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
        new.reach,
    )
    .execute(tx)
    .await?;
    Ok(id)
}

/// What was done at once to runs that were named.
#[derive(Debug, Clone, PartialEq)]
pub struct DoneAtOnce<'a> {
    /// The id under which the runs' histories name it.
    pub id: Uuid,
    /// Whose runs they are; of several customers for an operator of the platform.
    pub customer_id: Option<Uuid>,
    /// What was done.
    pub action: &'a Action,
    /// To which runs.
    pub run_ids: &'a [Uuid],
    /// Who did it, such as `user:usr_…` or `cli`.
    pub actor: &'a str,
    /// Why, in a person's words.
    pub reason: &'a str,
    /// How many runs changed.
    pub changed: usize,
}

/// Records what was done at once to named runs and why, as an operation that has ended.
///
/// # Errors
/// Returns what the statement returned.
pub async fn record(db: impl PgExecutor<'_>, done: &DoneAtOnce<'_>) -> Result<(), sqlx::Error> {
    let shown: Vec<String> = done.run_ids.iter().map(|run| id::show("run", *run)).collect();
    sqlx::query!(
        "insert into engine.operations
           (id, customer_id, wish, selection, actor, reason, state, total, done, changed, skipped, ended_at)
         values ($1, $2, $3, jsonb_build_object('ids', to_jsonb($4::text[])), $5, $6, 'done', cardinality($4),
           cardinality($4), $7::bigint, cardinality($4) - $7::bigint, engine.now())",
        done.id,
        done.customer_id,
        serde_json::to_value(Wish::Act(done.action.clone())).expect("a wish has text keys only"),
        &shown,
        done.actor,
        done.reason,
        i64::try_from(done.changed).unwrap_or(i64::MAX),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Stops an operation; returns whether it was under way. What it has done stays done.
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

/// Stops the operations that are bringing runs of a workflow into another version.
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

/// Which operations to list; what is `None` lets all through.
#[derive(Debug, Clone, Copy, Default)]
pub struct OperationFilter<'a> {
    /// Of this customer.
    pub customer_id: Option<Uuid>,
    /// Ordered by this actor.
    pub actor: Option<&'a str>,
    /// With this stored word of [`OperationStatus`].
    pub status: Option<&'a str>,
    /// Older than this one.
    pub before: Option<Uuid>,
}

/// Operations, newest first, at most `limit` (bounded to 1,000).
///
/// # Errors
/// Returns what the statement returned.
pub async fn list(
    db: impl PgExecutor<'_>,
    filter: &OperationFilter<'_>,
    limit: u32,
) -> Result<Vec<Operation>, sqlx::Error> {
    sqlx::query_as!(
        Operation,
        "select id, state as status, wish, selection, actor, reason, total, done, changed, skipped, error,
           created_at, ended_at
         from engine.operations
         where ($1::uuid is null or customer_id = $1) and ($2::uuid is null or id < $2)
           and ($3::text is null or actor = $3) and ($4::text is null or state = $4)
         order by id desc limit $5",
        filter.customer_id,
        filter.before,
        filter.actor,
        filter.status,
        i64::from(limit.min(1_000)),
    )
    .fetch_all(db)
    .await
}
