//! What people read of runs.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgExecutor;
use utoipa::ToSchema;
use uuid::Uuid;

/// What a run's row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Goes on by itself. A step, a signal or a person moves it out.
    Live,
    /// A person stopped it; a person resumes it, or a signal or a person ends it.
    Paused,
    /// It can't go on by itself; a person retries or cancels it, or a signal ends it.
    Held,
    /// It came to its end.
    Completed,
    /// A signal or an `exit` step ended it.
    Exited,
    /// A person ended it.
    Cancelled,
}

impl State {
    /// Reads the stored word.
    pub(crate) fn stored(word: &str) -> Self {
        match word {
            "paused" => Self::Paused,
            "held" => Self::Held,
            "completed" => Self::Completed,
            "exited" => Self::Exited,
            "cancelled" => Self::Cancelled,
            // The constraint `run_state` lets nothing else in.
            _live => Self::Live,
        }
    }

    /// The stored word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Paused => "paused",
            Self::Held => "held",
            Self::Completed => "completed",
            Self::Exited => "exited",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What people read of where a run is, as the view `run_states` derives it.
pub const STATES: [&str; 9] = [
    "ready",
    "running",
    "sleeping",
    "waiting",
    "paused",
    "held",
    "completed",
    "exited",
    "cancelled",
];

/// A run as people read it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunRow {
    /// The run.
    pub run_id: Uuid,
    /// Whose it is.
    pub customer_id: Uuid,
    /// The version it follows.
    pub definition_id: i64,
    /// That version's workflow.
    pub workflow: String,
    /// What it is about.
    pub subject_id: Uuid,
    /// The IANA zone in which its days and windows count.
    pub zone: String,
    /// `ready running sleeping waiting paused held completed exited cancelled`.
    pub state: String,
    /// The step at which it stands or ended.
    pub step: String,
    /// When it goes on, where that is known.
    pub next_at: Option<DateTime<Utc>>,
    /// The attempt that runs or will run again, from 1; 0 before the first.
    pub attempt: i16,
    /// Why it is held, or how it ended.
    pub reason: Option<String>,
    /// When it was started.
    pub started_at: DateTime<Utc>,
    /// When its row last changed.
    pub changed_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
}

/// One change of a run.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct HistoryRow {
    /// Its place, from 0, without gaps.
    pub seq: i32,
    /// When, by the engine's clock.
    pub at: DateTime<Utc>,
    /// Such as `step.done` or `run.exited`.
    pub kind: String,
    /// The step it concerns.
    pub step: Option<String>,
    /// The attempt it concerns.
    pub attempt: Option<i16>,
    /// `worker:…`, `user:…`, `signal:…` or `cli`.
    pub actor: String,
    /// What else is to know; never personal data.
    pub data: Option<Value>,
}

/// Which runs to list; what is `None` lets all through.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this customer.
    pub customer_id: Option<Uuid>,
    /// In this state, as people read it.
    pub state: Option<String>,
    /// Of this workflow.
    pub workflow: Option<String>,
    /// At this step.
    pub step: Option<String>,
    /// About this subject.
    pub subject_id: Option<Uuid>,
    /// In this queue, which is a step type.
    pub queue: Option<String>,
    /// Whose whole reason matches this glob of [`super::reason_glob`].
    pub reason: Option<String>,
    /// Changed at or after.
    pub since: Option<DateTime<Utc>>,
    /// Changed before.
    pub until: Option<DateTime<Utc>>,
    /// Older than this run; listings go from the newest.
    pub before: Option<Uuid>,
}

/// A run by id; `None` where the customer has none such. No customer means any, for operators.
///
/// # Errors
/// What the statement returned.
pub async fn find(
    db: impl PgExecutor<'_>,
    customer_id: Option<Uuid>,
    run_id: Uuid,
) -> Result<Option<RunRow>, sqlx::Error> {
    sqlx::query_as!(
        RunRow,
        r#"select s.run_id as "run_id!", s.customer_id as "customer_id!", s.definition_id as "definition_id!",
             d.name as "workflow!", s.subject_id as "subject_id!", r.zone, s.state as "state!", s.step as "step!",
             s.next_at, coalesce(j.attempt, t.attempt, r.attempt) as "attempt!", r.reason,
             s.started_at as "started_at!", r.changed_at as "changed_at!", s.ended_at
           from engine.run_states s
           join engine.runs r on r.id = s.run_id
           join engine.definitions d on d.id = s.definition_id
           left join engine.jobs j on j.run_id = s.run_id
           left join engine.timers t on t.run_id = s.run_id
           where s.run_id = $1 and ($2::uuid is null or s.customer_id = $2)"#,
        run_id,
        customer_id,
    )
    .fetch_optional(db)
    .await
}

/// Runs, newest first, at most `limit` (bounded to 1,000).
///
/// # Errors
/// What the statement returned.
pub async fn list(
    db: impl PgExecutor<'_>,
    filter: &Filter,
    limit: u32,
) -> Result<Vec<RunRow>, sqlx::Error> {
    sqlx::query_as!(
        RunRow,
        r#"select s.run_id as "run_id!", s.customer_id as "customer_id!", s.definition_id as "definition_id!",
             d.name as "workflow!", s.subject_id as "subject_id!", r.zone, s.state as "state!", s.step as "step!",
             s.next_at, coalesce(j.attempt, t.attempt, r.attempt) as "attempt!", r.reason,
             s.started_at as "started_at!", r.changed_at as "changed_at!", s.ended_at
           from engine.run_states s
           join engine.runs r on r.id = s.run_id
           join engine.definitions d on d.id = s.definition_id
           left join engine.jobs j on j.run_id = s.run_id
           left join engine.timers t on t.run_id = s.run_id
           where ($1::uuid is null or s.customer_id = $1) and ($2::text is null or s.state = $2)
             and ($3::text is null or d.name = $3) and ($4::text is null or s.step = $4)
             and ($5::uuid is null or s.subject_id = $5)
             and ($6::text is null or r.reason like $6)
             and ($7::timestamptz is null or r.changed_at >= $7)
             and ($8::uuid is null or s.run_id < $8)
             and ($10::text is null or r.queue = $10) and ($11::timestamptz is null or r.changed_at < $11)
           order by s.run_id desc limit $9"#,
        filter.customer_id,
        filter.state,
        filter.workflow,
        filter.step,
        filter.subject_id,
        filter.reason.as_deref().map(super::like),
        filter.since,
        filter.before,
        i64::from(limit.min(1000)),
        filter.queue,
        filter.until,
    )
    .fetch_all(db)
    .await
}

/// A run's history in order, from `after` on, at most 1,000 rows.
///
/// # Errors
/// What the statement returned.
pub async fn history(
    db: impl PgExecutor<'_>,
    customer_id: Option<Uuid>,
    run_id: Uuid,
    after: i32,
) -> Result<Vec<HistoryRow>, sqlx::Error> {
    sqlx::query_as!(
        HistoryRow,
        "select h.seq, h.at, h.kind, h.step, h.attempt, h.actor, h.data
         from engine.history h join engine.runs r on r.id = h.run_id
         where h.run_id = $1 and ($2::uuid is null or r.customer_id = $2) and h.seq > $3
         order by h.seq limit 1000",
        run_id,
        customer_id,
        after,
    )
    .fetch_all(db)
    .await
}

/// The signal that an open run has stopped for.
///
/// # Errors
/// What the statement returned.
pub async fn waits_for(
    db: impl PgExecutor<'_>,
    run_id: Uuid,
) -> Result<Option<String>, sqlx::Error> {
    let found = sqlx::query_scalar!("select wait_signal from engine.runs where id = $1", run_id)
        .fetch_optional(db)
        .await?;
    Ok(found.flatten())
}

/// These runs by the customer whose they are, each customer's in their order; a run that nobody knows is left out.
///
/// # Errors
/// What the statement returned.
pub async fn by_customer(
    db: impl PgExecutor<'_>,
    run_ids: &[Uuid],
) -> Result<BTreeMap<Uuid, Vec<Uuid>>, sqlx::Error> {
    let found = sqlx::query!(
        "select id, customer_id from engine.runs where id = any($1) order by id",
        run_ids,
    )
    .fetch_all(db)
    .await?;
    let mut by_customer: BTreeMap<Uuid, Vec<Uuid>> = BTreeMap::new();
    for run in found {
        by_customer.entry(run.customer_id).or_default().push(run.id);
    }
    Ok(by_customer)
}

/// How many runs of a customer stand where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// The state, as people read it.
    pub state: String,
    /// The step.
    pub step: String,
    /// How they ended, where they have.
    pub exit_reason: Option<String>,
    /// How many.
    pub runs: i64,
    /// When the first of them goes on.
    pub next_at: Option<DateTime<Utc>>,
}

/// How many runs of a customer stand where; counts all of them, so for small customers and demos.
///
/// # Errors
/// What the statement returned.
pub async fn counts(db: impl PgExecutor<'_>, customer_id: Uuid) -> Result<Vec<Count>, sqlx::Error> {
    sqlx::query_as!(
        Count,
        r#"select state as "state!", step as "step!", exit_reason, count(*) as "runs!", min(next_at) as next_at
           from engine.run_states where customer_id = $1 group by state, step, exit_reason"#,
        customer_id,
    )
    .fetch_all(db)
    .await
}
