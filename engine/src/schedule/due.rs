//! Which schedules the worker has to do with: who is due, of whom a fire waits, which of their runs are open.
//! Whoever decides holds the lock of the schedule's row.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::{CatchUp, Overlap, Start, Timing};

/// By how much an occurrence may be late and is not missed, by the real clock.
const GRACE_SECONDS: f64 = 60.0;

/// A locked schedule that is due.
pub(crate) struct Due {
    pub(crate) id: Uuid,
    pub(crate) customer_id: Uuid,
    pub(crate) name: String,
    cron: String,
    pub(crate) zone: String,
    jitter_seconds: i32,
    workflow: Option<String>,
    subject_id: Option<Uuid>,
    pub(crate) data: Value,
    overlap: String,
    catch_up: String,
    catch_up_limit: i32,
    /// The next occurrence; of one whose fires wait, now.
    pub(crate) occurrence_at: DateTime<Utc>,
    pub(crate) waiting: i32,
    pub(crate) event_sequence: i64,
    pub(crate) now: DateTime<Utc>,
    scale: f64,
}

impl Due {
    pub(crate) fn timing(&self) -> Result<Timing, String> {
        Timing::stored(&self.cron, &self.zone, self.jitter_seconds)
    }

    pub(crate) fn start(&self) -> Option<Start> {
        let (workflow, subject_id) = (self.workflow.clone()?, self.subject_id?);
        Some(Start { workflow, subject_id })
    }

    /// The constraints of its columns let no other words in.
    pub(crate) fn overlap(&self) -> Overlap {
        Overlap::named(&self.overlap).unwrap_or(Overlap::Skip)
    }

    pub(crate) fn catch_up(&self) -> (CatchUp, u16) {
        let limit = u16::try_from(self.catch_up_limit).unwrap_or(1);
        (CatchUp::named(&self.catch_up).unwrap_or(CatchUp::Skip), limit)
    }

    /// By how much an occurrence may be late and is not missed; a fast clock makes more of a real minute.
    pub(crate) fn grace(&self) -> TimeDelta {
        let grace = Duration::try_from_secs_f64(GRACE_SECONDS * self.scale.max(1.0));
        grace.ok().and_then(|grace| TimeDelta::from_std(grace).ok()).unwrap_or(TimeDelta::MAX)
    }
}

/// What there is to do.
pub(crate) struct Look {
    /// How long it is, by the real clock, until the next schedule fires; zero where one is due.
    pub(crate) next: Option<Duration>,
    /// Whether a fire waits for the run before.
    pub(crate) waiting: bool,
}

/// Looks what there is to do.
pub(crate) async fn look(db: impl PgExecutor<'_>) -> Result<Look, sqlx::Error> {
    let row = sqlx::query!(
        r#"select extract(epoch from
             (select fire_at from engine.schedules where fire_at is not null order by fire_at limit 1)
               - engine.now())::double precision
             / greatest(coalesce((select scale from engine.virtual_clock where one), 1), 0.001) as "seconds",
             exists (select from engine.schedules where waiting > 0 and paused_at is null) as "waiting!""#,
    )
    .fetch_one(db)
    .await?;
    let next = row
        .seconds
        .map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX));
    Ok(Look { next, waiting: row.waiting })
}

/// Locks the schedule that has been due for the longest.
pub(crate) async fn take(tx: &mut PgConnection) -> Result<Option<Due>, sqlx::Error> {
    sqlx::query_as!(
        Due,
        r#"select id, customer_id, name, cron, zone, jitter_seconds, workflow, subject_id, data, overlap, catch_up,
             catch_up_limit, occurrence_at as "occurrence_at!", waiting, event_sequence, engine.now() as "now!",
             coalesce((select scale from engine.virtual_clock where one), 1) as "scale!"
           from engine.schedules where fire_at <= engine.now()
           order by fire_at, id limit 1 for update skip locked"#,
    )
    .fetch_optional(tx)
    .await
}

/// Locks a schedule of which a fire waits and nothing is before it.
pub(crate) async fn take_waiting(tx: &mut PgConnection) -> Result<Option<Due>, sqlx::Error> {
    sqlx::query_as!(
        Due,
        r#"select id, customer_id, name, cron, zone, jitter_seconds, workflow, subject_id, data, overlap, catch_up,
             catch_up_limit, coalesce(occurrence_at, engine.now()) as "occurrence_at!", waiting, event_sequence,
             engine.now() as "now!", coalesce((select scale from engine.virtual_clock where one), 1) as "scale!"
           from engine.schedules s
           where waiting > 0 and paused_at is null and (overlap = 'allow' or workflow is null or not exists (
             select from engine.schedule_fires f join engine.runs r on r.id = f.run_id
             where f.schedule_id = s.id and f.open and r.ended_at is null))
           order by id limit 1 for update of s skip locked"#,
    )
    .fetch_optional(tx)
    .await
}

/// The first of a schedule's fires that wait: its id and its occurrence.
pub(crate) async fn waiting_fire(
    tx: &mut PgConnection,
    schedule_id: Uuid,
) -> Result<Option<(Uuid, DateTime<Utc>)>, sqlx::Error> {
    let fire = sqlx::query!(
        "select id, occurrence_at from engine.schedule_fires where schedule_id = $1 and outcome = 'queued'
         order by occurrence_at limit 1",
        schedule_id,
    )
    .fetch_optional(tx)
    .await?;
    Ok(fire.map(|fire| (fire.id, fire.occurrence_at)))
}

/// Whether an occurrence was decided about.
pub(crate) async fn fired(
    tx: &mut PgConnection,
    schedule_id: Uuid,
    occurrence_at: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from engine.schedule_fires where schedule_id = $1 and occurrence_at = $2) as "fired!""#,
        schedule_id,
        occurrence_at,
    )
    .fetch_one(tx)
    .await
}

/// The runs of a schedule that have not ended, at most `limit`; notes those that have.
pub(crate) async fn open_runs(
    tx: &mut PgConnection,
    schedule_id: Uuid,
    limit: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query!(
        "update engine.schedule_fires f set open = false
         where f.schedule_id = $1 and f.open
           and not exists (select from engine.runs r where r.id = f.run_id and r.ended_at is null)",
        schedule_id,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query_scalar!(
        r#"select run_id as "run_id!" from engine.schedule_fires where schedule_id = $1 and open
           order by occurrence_at limit $2"#,
        schedule_id,
        limit,
    )
    .fetch_all(tx)
    .await
}
