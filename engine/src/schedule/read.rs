//! What people read of schedules.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use super::{Fire, Schedule};
use crate::timing::{self, Cron, Zone};

impl Schedule {
    /// When it fires.
    ///
    /// # Errors
    /// What this version can't read of it, such as an expression that a newer one wrote.
    pub fn timing(&self) -> Result<super::Timing, String> {
        super::Timing::stored(&self.cron, &self.zone, self.jitter_seconds)
    }

    /// Its jitter as people write it; `None` where it has none.
    pub fn jitter_text(&self) -> Option<String> {
        let jitter = Duration::from_secs(self.jitter_seconds.unsigned_abs().into());
        (!jitter.is_zero()).then(|| timing::write_duration(jitter))
    }
}

impl super::Timing {
    /// The one of a row.
    ///
    /// # Errors
    /// What can't be read of it.
    pub(crate) fn stored(cron: &str, zone: &str, jitter_seconds: i32) -> Result<Self, String> {
        Ok(Self {
            cron: Cron::parse(cron).map_err(|error| error.to_string())?,
            zone: Zone::parse(zone).map_err(|error| error.to_string())?,
            jitter: Duration::from_secs(jitter_seconds.unsigned_abs().into()),
        })
    }
}

/// A schedule of a customer, or of any where none is named, by id.
///
/// # Errors
/// What the statement returned.
pub async fn find(
    db: impl PgExecutor<'_>,
    customer_id: Option<Uuid>,
    id: Uuid,
) -> Result<Option<Schedule>, sqlx::Error> {
    sqlx::query_as!(
        Schedule,
        r#"select id, customer_id, name, cron, zone, jitter_seconds, workflow, subject_id, data, overlap, catch_up,
             catch_up_limit, case when paused_at is not null then 'paused' when fire_at is null then 'over'
               else 'live' end as "state!", fire_at as next_at, last_fired_at, waiting, revision, actor,
             created_at, updated_at
           from engine.schedules where id = $2 and ($1::uuid is null or customer_id = $1)"#,
        customer_id,
        id,
    )
    .fetch_optional(db)
    .await
}

/// A schedule of a customer by name.
///
/// # Errors
/// What the statement returned.
pub async fn find_named(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    name: &str,
) -> Result<Option<Schedule>, sqlx::Error> {
    sqlx::query_as!(
        Schedule,
        r#"select id, customer_id, name, cron, zone, jitter_seconds, workflow, subject_id, data, overlap, catch_up,
             catch_up_limit, case when paused_at is not null then 'paused' when fire_at is null then 'over'
               else 'live' end as "state!", fire_at as next_at, last_fired_at, waiting, revision, actor,
             created_at, updated_at
           from engine.schedules where name = $2 and customer_id = $1"#,
        customer_id,
        name,
    )
    .fetch_optional(db)
    .await
}

/// A customer's schedules, or those of all where none is named, newest first, older than `before`, at most `limit` (bounded to 1,000).
///
/// # Errors
/// What the statement returned.
pub async fn list(
    db: impl PgExecutor<'_>,
    customer_id: Option<Uuid>,
    before: Option<Uuid>,
    limit: u32,
) -> Result<Vec<Schedule>, sqlx::Error> {
    sqlx::query_as!(
        Schedule,
        r#"select id, customer_id, name, cron, zone, jitter_seconds, workflow, subject_id, data, overlap, catch_up,
             catch_up_limit, case when paused_at is not null then 'paused' when fire_at is null then 'over'
               else 'live' end as "state!", fire_at as next_at, last_fired_at, waiting, revision, actor,
             created_at, updated_at
           from engine.schedules where ($1::uuid is null or customer_id = $1) and ($2::uuid is null or id < $2)
           order by id desc limit $3"#,
        customer_id,
        before,
        i64::from(limit.min(1_000)),
    )
    .fetch_all(db)
    .await
}

/// What became of a schedule's occurrences, the newest first, before an occurrence, at most `limit` (bounded
/// to 1,000).
///
/// # Errors
/// What the statement returned.
pub async fn fires(
    db: impl PgExecutor<'_>,
    schedule_id: Uuid,
    before: Option<DateTime<Utc>>,
    limit: u32,
) -> Result<Vec<Fire>, sqlx::Error> {
    sqlx::query_as!(
        Fire,
        "select id, occurrence_at, at, outcome, run_id, missed, reason from engine.schedule_fires
         where schedule_id = $1 and ($2::timestamptz is null or occurrence_at < $2)
         order by occurrence_at desc limit $3",
        schedule_id,
        before,
        i64::from(limit.min(1_000)),
    )
    .fetch_all(db)
    .await
}
