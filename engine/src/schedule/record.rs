//! What the worker writes of schedules: what became of an occurrence, what comes next, what is let go. Whoever
//! decides holds the lock of the schedule's row.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::due::Due;
use super::{Decision, Planned, Timing};
use crate::clock;
use crate::timing::tzdb_version;

/// How many rows one statement lets go, and how many fires of a schedule stay.
const BATCH: i64 = 1_000;
const FIRES: i64 = 1_000;
/// How many schedules are planned anew in one transaction.
const PAGE: i64 = 100;

/// What became of a fire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// This run of this version was started.
    Started { run_id: Uuid, definition_id: i64 },
    /// It was told alone.
    Told,
    /// It waits for the run before.
    Queued,
    /// It was left out, for this reason.
    Skipped(String),
    /// It stands for so many that were missed.
    Missed(i32),
    /// It could not be started, for this reason.
    Failed(String),
}

impl Way {
    fn word(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::Told => "told",
            Self::Queued => "queued",
            Self::Skipped(_) => "skipped",
            Self::Missed(_) => "missed",
            Self::Failed(_) => "failed",
        }
    }

    fn run_id(&self) -> Option<Uuid> {
        match self {
            Self::Started { run_id, .. } => Some(*run_id),
            Self::Told | Self::Queued | Self::Skipped(_) | Self::Missed(_) | Self::Failed(_) => {
                None
            }
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::Skipped(reason) | Self::Failed(reason) => Some(reason),
            Self::Started { .. } | Self::Told | Self::Queued | Self::Missed(_) => None,
        }
    }

    /// Whether the world is told.
    pub(crate) fn fired(&self) -> bool {
        matches!(self, Self::Started { .. } | Self::Told)
    }

    fn missed(&self) -> Option<i32> {
        if let Self::Missed(count) = self { Some(*count) } else { None }
    }
}

/// Writes what became of an occurrence.
pub(crate) async fn write(
    tx: &mut PgConnection,
    due: &Due,
    occurrence_at: DateTime<Utc>,
    way: &Way,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with written as (
           insert into engine.schedule_fires (id, schedule_id, customer_id, occurrence_at, outcome, run_id, open,
             missed, reason)
           values ($1, $2, $3, $4, $5, $6, $6::uuid is not null, $7, $8)
         )
         update engine.schedules set waiting = waiting + ($5 = 'queued')::int,
           event_sequence = event_sequence + $9::boolean::int,
           last_fired_at = case when $9 then engine.now() else last_fired_at end
         where id = $2",
        clock::new_id(),
        due.id,
        due.customer_id,
        occurrence_at,
        way.word(),
        way.run_id(),
        way.missed(),
        way.reason(),
        way.fired(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes what became of a fire that waited.
pub(crate) async fn write_waited(
    tx: &mut PgConnection,
    due: &Due,
    fire_id: Uuid,
    way: &Way,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with written as (
           update engine.schedule_fires set at = engine.now(), outcome = $3, run_id = $4,
             open = $4::uuid is not null, reason = $5
           where id = $2 and outcome = 'queued'
         )
         update engine.schedules set waiting = waiting - 1, event_sequence = event_sequence + $6::boolean::int,
           last_fired_at = case when $6 then engine.now() else last_fired_at end
         where id = $1",
        due.id,
        fire_id,
        way.word(),
        way.run_id(),
        way.reason(),
        way.fired(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Plans what comes next.
pub(crate) async fn settle(
    tx: &mut PgConnection,
    id: Uuid,
    decision: &Decision,
) -> Result<(), sqlx::Error> {
    plan(tx, id, decision.settled_at, decision.next).await
}

async fn plan(
    tx: &mut PgConnection,
    id: Uuid,
    settled_at: DateTime<Utc>,
    next: Option<Planned>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update engine.schedules set settled_at = $2, occurrence_at = $3, fire_at = $4, tzdb = $5 where id = $1",
        id,
        settled_at,
        next.map(|next| next.occurrence_at),
        next.map(|next| next.fire_at),
        tzdb_version(),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Leaves a due schedule for some seconds; its occurrence stays as it is.
pub(crate) async fn put_back(
    db: impl PgExecutor<'_>,
    id: Uuid,
    seconds: f64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update engine.schedules set fire_at = engine.now() + make_interval(secs => $2)
         where id = $1 and fire_at <= engine.now()",
        id,
        seconds,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Gives up the first fire that waits, so that what is wrong with it stands before no other.
pub(crate) async fn fail_waiting(db: impl PgExecutor<'_>, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with given_up as (
           update engine.schedule_fires set outcome = 'failed', at = engine.now(),
             reason = 'it could not be started; the log of the worker says why'
           where id = (select id from engine.schedule_fires where schedule_id = $1 and outcome = 'queued'
             order by occurrence_at limit 1) and outcome = 'queued'
           returning schedule_id
         )
         update engine.schedules s set waiting = s.waiting - 1 from given_up g where s.id = g.schedule_id",
        id,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Mends the count of a schedule of which no fire waits.
pub(crate) async fn nothing_waits(tx: &mut PgConnection, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("update engine.schedules set waiting = 0 where id = $1", id).execute(tx).await?;
    Ok(())
}

/// Plans a page of live schedules anew whose next occurrence was found by an older tz database; gives where to
/// go on.
pub(crate) async fn replan(
    tx: &mut PgConnection,
    after: Uuid,
) -> Result<Option<Uuid>, sqlx::Error> {
    let page = sqlx::query!(
        r#"select id, cron, zone, jitter_seconds, settled_at, occurrence_at as "occurrence_at!"
           from engine.schedules where fire_at is not null and tzdb collate "C" < $1 and id > $2
           order by id limit $3 for update skip locked"#,
        tzdb_version(),
        after,
        PAGE,
    )
    .fetch_all(&mut *tx)
    .await?;
    for row in &page {
        let next = match Timing::stored(&row.cron, &row.zone, row.jitter_seconds) {
            Ok(timing) => timing.next(row.id, row.settled_at),
            Err(_) => continue,
        };
        if next.is_none_or(|next| next.occurrence_at != row.occurrence_at) {
            tracing::info!(schedule.id = %row.id, "a newer tz database moves the next occurrence");
        }
        plan(tx, row.id, row.settled_at, next).await?;
    }
    let whole = i64::try_from(page.len()).is_ok_and(|count| count == PAGE);
    Ok(page.last().map(|row| row.id).filter(|_| whole))
}

/// Lets a batch of old fires go: of each schedule the last thousand stay, with what waits and what runs. Says
/// whether there may be more.
pub(crate) async fn forget_fires(tx: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query!(
        "update engine.schedule_fires f set open = false where f.id = any(array(
           select o.id from engine.schedule_fires o
           where o.open and not exists (select from engine.runs r where r.id = o.run_id and r.ended_at is null)
           limit $1 for update of o skip locked))",
        BATCH,
    )
    .execute(&mut *tx)
    .await?;
    let gone = sqlx::query!(
        "delete from engine.schedule_fires f where f.id = any(array(
           select o.id from engine.schedules s cross join lateral (
             select id, open, outcome from engine.schedule_fires where schedule_id = s.id
             order by occurrence_at desc offset $2 limit $1) o
           where not o.open and o.outcome <> 'queued' limit $1))",
        BATCH,
        FIRES,
    )
    .execute(tx)
    .await?;
    Ok(gone.rows_affected() >= BATCH.unsigned_abs())
}
