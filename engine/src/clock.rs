//! The only module that reads the process's clock, for what needs no promise: new ids, and how long a
//! process has waited. What is due is decided by `engine.now()` in Postgres, never here.

use std::time::Instant;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// A new UUIDv7.
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}

/// An instant to measure a duration from.
pub fn started() -> Instant {
    Instant::now()
}

/// How often a running process moves the virtual clock's horizon, in milliseconds of the real clock.
const BEAT_MILLISECONDS: u64 = 250;

/// Puts the virtual clock in force, running `scale` times as fast as the real one. It goes on from where
/// it stood, or from the real instant the first time; it never goes back. Scale 0 stands still.
///
/// Only for databases that `dev` or a test made: everything in the database lives by it from then on.
///
/// # Errors
/// What the statements returned; the caller runs them in one transaction.
pub async fn set_scale(tx: &mut PgConnection, scale: f64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into engine.virtual_clock (virtual_at, real_at, scale, valid_until)
         values (engine.now(), now(), $1, now() + interval '1 second')
         on conflict (one) do update set virtual_at = engine.now(), real_at = now(), scale = $1,
           valid_until = now() + interval '1 second'",
        scale,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::raw_sql(
        "create or replace function engine.now() returns timestamptz language sql stable parallel safe as $$
           select virtual_at + greatest(least(now(), valid_until) - real_at, interval '0') * scale
           from engine.virtual_clock where one $$",
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Moves a virtual clock forward by so many seconds; tests walk through weeks by it.
///
/// # Errors
/// What the statement returned.
pub async fn advance(db: impl PgExecutor<'_>, seconds: f64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update engine.virtual_clock set virtual_at = engine.now() + make_interval(secs => $1),
           real_at = now() where one",
        seconds,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Moves a virtual clock forward to an instant; tests jump by it from due instant to due instant.
///
/// # Errors
/// What the statement returned.
pub async fn jump(db: impl PgExecutor<'_>, to: DateTime<Utc>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update engine.virtual_clock set virtual_at = greatest(engine.now(), $1), real_at = now() where one",
        to,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Keeps the virtual clock running while this process lives; without it the clock stands still.
pub async fn keep_running(db: sqlx::PgPool) {
    let mut beat = tokio::time::interval(std::time::Duration::from_millis(BEAT_MILLISECONDS));
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        let moved = sqlx::query!(
            "update engine.virtual_clock set virtual_at = engine.now(), real_at = now(),
               valid_until = now() + interval '1 second' where one"
        )
        .execute(&db)
        .await;
        if let Err(error) = moved {
            tracing::warn!(%error, "the virtual clock could not be kept running");
        }
    }
}

/// How many times as fast as the real clock the engine's runs; 1 in production.
///
/// # Errors
/// What the statement returned.
pub async fn scale(db: impl PgExecutor<'_>) -> Result<f64, sqlx::Error> {
    let scale = sqlx::query_scalar!("select scale from engine.virtual_clock where one")
        .fetch_optional(db)
        .await?;
    Ok(scale.unwrap_or(1.0))
}

/// The instant that decides what is due.
///
/// # Errors
/// What the statement returned.
pub async fn now(db: impl PgExecutor<'_>) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar!(r#"select engine.now() as "now!""#).fetch_one(db).await
}

/// Whether the database ever had a virtual clock; it keeps one from then on.
///
/// # Errors
/// What the statement returned.
pub async fn is_virtual(db: impl PgExecutor<'_>) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select exists (select from engine.virtual_clock) as "virtual!""#)
        .fetch_one(db)
        .await
}
