//! What people do to schedules. Whatever changes when one fires plans it anew, never before what was decided.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{CHANNEL, MOST, Plan, Planned, Schedule, ScheduleError, Timing, find};
use crate::timing::tzdb_version;
use crate::{clock, definition_store};

/// Makes a schedule; it fires from its first occurrence after now on.
///
/// # Errors
/// `Invalid`, `NameTaken`, `TooMany`, or what the statements returned; the caller rolls back.
pub async fn create(
    tx: &mut PgConnection,
    customer_id: Uuid,
    plan: &Plan,
    actor: &str,
) -> Result<Schedule, ScheduleError> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from engine.schedules where customer_id = $1"#,
        customer_id,
    )
    .fetch_one(&mut *tx)
    .await?;
    if count >= MOST {
        return Err(ScheduleError::TooMany);
    }
    let id = clock::new_id();
    let now = clock::now(&mut *tx).await?;
    let next = check(tx, customer_id, id, plan, now).await?;
    sqlx::query!(
        "insert into engine.schedules (id, customer_id, name, cron, zone, jitter_seconds, workflow, subject_id, data,
           overlap, catch_up, catch_up_limit, occurrence_at, fire_at, settled_at, tzdb, actor)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
        id,
        customer_id,
        plan.name,
        plan.cron.text(),
        plan.zone.name(),
        jitter_seconds(plan),
        plan.start.as_ref().map(|start| start.workflow.as_str()),
        plan.start.as_ref().map(|start| start.subject_id),
        plan.data,
        plan.overlap.word(),
        plan.catch_up.word(),
        i32::from(plan.catch_up_limit),
        next.occurrence_at,
        next.fire_at,
        now,
        tzdb_version(),
        actor,
    )
    .execute(&mut *tx)
    .await
    .map_err(|error| taken(error, plan))?;
    Ok(written(tx, customer_id, id).await?)
}

fn jitter_seconds(plan: &Plan) -> i32 {
    i32::try_from(plan.jitter.as_secs()).unwrap_or(i32::MAX)
}

/// Refuses what can't be; gives the first occurrence after an instant.
async fn check(
    tx: &mut PgConnection,
    customer_id: Uuid,
    id: Uuid,
    plan: &Plan,
    after: DateTime<Utc>,
) -> Result<Planned, ScheduleError> {
    let invalid = |field, message| ScheduleError::Invalid { field, message };
    plan.check()?;
    if let Some(start) = &plan.start
        && definition_store::newest(&mut *tx, customer_id, &start.workflow).await?.is_none()
    {
        let message = format!("there is no workflow `{}`; apply it first", start.workflow);
        return Err(invalid("workflow", message));
    }
    plan.timing().next(id, after).ok_or_else(|| {
        let message = format!("`{}` comes no more; write years that are ahead", plan.cron.text());
        invalid("cron", message)
    })
}

fn taken(error: sqlx::Error, plan: &Plan) -> ScheduleError {
    let constraint = error.as_database_error().and_then(|error| error.constraint());
    if constraint == Some("schedules_name") {
        ScheduleError::NameTaken(plan.name.clone())
    } else {
        error.into()
    }
}

/// Tells the workers, and gives the schedule as it is now.
async fn written(
    tx: &mut PgConnection,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Schedule, sqlx::Error> {
    sqlx::query!("select from pg_notify($1, '')", CHANNEL).fetch_one(&mut *tx).await?;
    find(tx, Some(customer_id), id).await?.ok_or(sqlx::Error::RowNotFound)
}

/// Locks a schedule, so that nobody else changes or fires it before the end of the transaction.
///
/// # Errors
/// What the statements returned.
pub async fn lock(
    tx: &mut PgConnection,
    customer_id: Option<Uuid>,
    id: Uuid,
) -> Result<Option<Schedule>, sqlx::Error> {
    sqlx::query!(
        "select from engine.schedules where id = $1 and ($2::uuid is null or customer_id = $2) for update",
        id,
        customer_id,
    )
    .fetch_optional(&mut *tx)
    .await?;
    find(tx, customer_id, id).await
}

/// Puts a plan in place of that of a schedule that [`lock`] gave; a paused one stays paused.
///
/// # Errors
/// `Invalid`, `NameTaken`, or what the statements returned; the caller rolls back.
pub async fn change(
    tx: &mut PgConnection,
    locked: &Schedule,
    plan: &Plan,
    actor: &str,
) -> Result<Schedule, ScheduleError> {
    let (customer_id, id) = (locked.customer_id, locked.id);
    let from = open_from(tx, id).await?;
    let next = Some(check(tx, customer_id, id, plan, from).await?);
    let next = next.filter(|_| locked.state != "paused");
    sqlx::query!(
        "update engine.schedules set name = $2, cron = $3, zone = $4, jitter_seconds = $5, workflow = $6,
           subject_id = $7, data = $8, overlap = $9, catch_up = $10, catch_up_limit = $11, occurrence_at = $12,
           fire_at = $13, settled_at = $14, tzdb = $15, actor = $16, revision = revision + 1,
           updated_at = engine.now()
         where id = $1",
        id,
        plan.name,
        plan.cron.text(),
        plan.zone.name(),
        jitter_seconds(plan),
        plan.start.as_ref().map(|start| start.workflow.as_str()),
        plan.start.as_ref().map(|start| start.subject_id),
        plan.data,
        plan.overlap.word(),
        plan.catch_up.word(),
        i32::from(plan.catch_up_limit),
        next.map(|next| next.occurrence_at),
        next.map(|next| next.fire_at),
        from,
        tzdb_version(),
        actor,
    )
    .execute(&mut *tx)
    .await
    .map_err(|error| taken(error, plan))?;
    Ok(written(tx, customer_id, id).await?)
}

/// From when on occurrences may be planned: now, or where a clock that went back has been before.
async fn open_from(tx: &mut PgConnection, id: Uuid) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select greatest(engine.now(), settled_at) as "from!" from engine.schedules where id = $1"#,
        id,
    )
    .fetch_one(tx)
    .await
}

/// Stops a schedule that [`lock`] gave: nothing fires, nor what waits. Nothing changes on one that is paused.
///
/// # Errors
/// What the statements returned.
pub async fn pause(
    tx: &mut PgConnection,
    locked: &Schedule,
    actor: &str,
) -> Result<Schedule, sqlx::Error> {
    sqlx::query!(
        "update engine.schedules set paused_at = engine.now(), occurrence_at = null, fire_at = null, actor = $2,
           revision = revision + 1, updated_at = engine.now()
         where id = $1 and paused_at is null",
        locked.id,
        actor,
    )
    .execute(&mut *tx)
    .await?;
    written(tx, locked.customer_id, locked.id).await
}

/// Lets a paused schedule that [`lock`] gave go on from its first occurrence after now; what the pause covered
/// is not caught up with. Nothing changes on one that is not paused.
///
/// # Errors
/// What the statements returned; `Protocol` for an expression that this version can't read.
pub async fn resume(
    tx: &mut PgConnection,
    locked: &Schedule,
    timing: &Timing,
    actor: &str,
) -> Result<Schedule, sqlx::Error> {
    let from = open_from(tx, locked.id).await?;
    let next = timing.next(locked.id, from);
    sqlx::query!(
        "update engine.schedules set paused_at = null, occurrence_at = $2, fire_at = $3, settled_at = $4, tzdb = $5,
           actor = $6, revision = revision + 1, updated_at = engine.now()
         where id = $1 and paused_at is not null",
        locked.id,
        next.map(|next| next.occurrence_at),
        next.map(|next| next.fire_at),
        from,
        tzdb_version(),
        actor,
    )
    .execute(&mut *tx)
    .await?;
    written(tx, locked.customer_id, locked.id).await
}

/// Fires a schedule that [`lock`] gave, beside its occurrences: as `Overlap::Queue` has it, unless runs may
/// overlap; one that is paused fires when it goes on. Says whether there was room for one more that waits.
///
/// # Errors
/// What the statements returned.
pub async fn fire(tx: &mut PgConnection, locked: &Schedule) -> Result<bool, sqlx::Error> {
    let queued = sqlx::query!(
        "with room as (
           update engine.schedules set waiting = waiting + 1 where id = $2 and waiting < $3
           returning id, customer_id
         ), queued as (
           -- Between whole seconds, which are the occurrences', and after those fired by hand before.
           insert into engine.schedule_fires (id, schedule_id, customer_id, occurrence_at, outcome)
           select $1::uuid, id, customer_id, greatest(engine.now(),
             date_trunc('second', engine.now()) + interval '1 microsecond',
             (select max(occurrence_at) + interval '1 microsecond' from engine.schedule_fires
               where schedule_id = $2 and occurrence_at >= date_trunc('second', engine.now()))), 'queued'
           from room returning id
         )
         select from queued, pg_notify($4, '')",
        clock::new_id(),
        locked.id,
        super::MOST_WAITING,
        CHANNEL,
    )
    .fetch_optional(tx)
    .await?;
    Ok(queued.is_some())
}

/// Removes a schedule with what waits of it and with its record; runs that it started go on. Says whether
/// there was one.
///
/// # Errors
/// What the statement returned.
pub async fn remove(
    tx: &mut PgConnection,
    customer_id: Uuid,
    id: Uuid,
) -> Result<bool, sqlx::Error> {
    let removed = sqlx::query!(
        "with gone as (delete from engine.schedules where id = $1 and customer_id = $2 returning id),
         fires as (delete from engine.schedule_fires f using gone g where f.schedule_id = g.id)
         select from gone",
        id,
        customer_id,
    )
    .fetch_optional(tx)
    .await?;
    Ok(removed.is_some())
}
