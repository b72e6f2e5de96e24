//! Starting runs, in the caller's transaction.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// A run to start.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRun {
    /// Its id, a UUIDv7.
    pub id: Uuid,
    /// Whose it is.
    pub customer_id: Uuid,
    /// The version that it follows to its end.
    pub definition_id: i64,
    /// What it is about.
    pub subject_id: Uuid,
    /// The IANA zone in which its days and windows count.
    pub zone: String,
    /// Who starts it, such as `user:usr_…` or `cli`.
    pub actor: String,
    /// Not before; at once where nothing stands.
    pub start_at: Option<DateTime<Utc>>,
}

/// Why no run was started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A definition is not there, or is another customer's.
    #[error("there is no such workflow version; apply the workflow first")]
    UnknownDefinition,
    /// The database refused.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Starts runs, all or none: their rows, their first job or timer, and their first row of history.
///
/// # Errors
/// `UnknownDefinition`, or what the statement returned; the caller rolls back.
pub async fn start(tx: &mut PgConnection, runs: &[NewRun]) -> Result<(), StartError> {
    if runs.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = runs.iter().map(|run| run.id).collect();
    let customers: Vec<Uuid> = runs.iter().map(|run| run.customer_id).collect();
    let definitions: Vec<i64> = runs.iter().map(|run| run.definition_id).collect();
    let subjects: Vec<Uuid> = runs.iter().map(|run| run.subject_id).collect();
    let zones: Vec<String> = runs.iter().map(|run| run.zone.clone()).collect();
    let actors: Vec<String> = runs.iter().map(|run| run.actor.clone()).collect();
    let starts: Vec<Option<DateTime<Utc>>> = runs.iter().map(|run| run.start_at).collect();
    let started = sqlx::query_scalar!(
        r#"with wanted as (
             select w.*, d.first_step, d.first_queue, coalesce(w.start_at > engine.now(), false) as later
             from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::text[], $6::text[], $7::timestamptz[])
               as w(id, customer_id, definition_id, subject_id, zone, actor, start_at)
             join engine.definitions d on d.id = w.definition_id and d.customer_id = w.customer_id
           ), made as (
             insert into engine.runs (id, customer_id, definition_id, subject_id, zone, place, step, queue, next_at)
             select id, customer_id, definition_id, subject_id, zone,
               case when later then 'timer' else 'job' end, first_step, first_queue, case when later then start_at end
             from wanted returning id
           ), told as (
             insert into engine.history (run_id, seq, at, kind, step, actor)
             select id, 0, engine.now(), 'run.started', first_step, actor from wanted
           ), ready as (
             insert into engine.jobs (run_id, customer_id, queue, step, pass)
             select id, customer_id, first_queue, first_step, engine.pass() from wanted where not later
           ), sleeping as (
             insert into engine.timers (run_id, due_at, customer_id, queue, step)
             select id, start_at, customer_id, first_queue, first_step from wanted where later
           )
           select (select count(*) from made) as "started!" from pg_notify('engine', '')"#,
        &ids,
        &customers,
        &definitions,
        &subjects,
        &zones,
        &actors,
        &starts as &[Option<DateTime<Utc>>],
    )
    .fetch_one(tx)
    .await?;
    if usize::try_from(started) == Ok(runs.len()) {
        Ok(())
    } else {
        Err(StartError::UnknownDefinition)
    }
}
