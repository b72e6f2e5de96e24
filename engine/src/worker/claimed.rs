//! A job as a claim gives it, whichever way it was claimed.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::StepJob;

/// The row of a claimed job, with what its run's row says.
pub(super) struct Claimed {
    pub(super) run_id: Uuid,
    pub(super) customer_id: Uuid,
    pub(super) definition_id: i64,
    pub(super) subject_id: Uuid,
    pub(super) zone: String,
    pub(super) live: bool,
    pub(super) parent_id: Option<Uuid>,
    pub(super) root_id: Option<Uuid>,
    pub(super) depth: i16,
    pub(super) limit_keys: Value,
    pub(super) boost: i32,
    pub(super) seq: i32,
    pub(super) granted: bool,
    pub(super) queue: String,
    pub(super) step: String,
    pub(super) iteration: i32,
    pub(super) attempt: i16,
    pub(super) crashes: i16,
    pub(super) inbox: i32,
    pub(super) data: Value,
    pub(super) observed: Value,
    pub(super) intent: Option<Value>,
    pub(super) now: DateTime<Utc>,
    pub(super) next_at: Option<DateTime<Utc>>,
    pub(super) pass: i64,
}

impl From<Claimed> for StepJob {
    fn from(row: Claimed) -> Self {
        Self {
            run_id: row.run_id,
            customer_id: row.customer_id,
            definition_id: row.definition_id,
            subject_id: row.subject_id,
            zone: row.zone,
            live: row.live,
            parent_id: row.parent_id,
            root_id: row.root_id,
            depth: row.depth,
            limit_keys: row.limit_keys,
            boost: row.boost,
            seq: row.seq,
            granted: row.granted,
            queue: row.queue,
            step: row.step,
            iteration: row.iteration,
            attempt: row.attempt,
            crashes: row.crashes,
            inbox: row.inbox,
            data: row.data,
            observed: row
                .observed
                .as_object()
                .is_some_and(|of| !of.is_empty())
                .then(|| row.observed.into()),
            intent: row.intent,
            now: row.now,
            next_at: row.next_at,
            in_a_row: 0,
        }
    }
}
