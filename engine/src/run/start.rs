//! Starting runs, in the caller's transaction.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

/// From how many runs on a start counts as bulk, whose runs line up behind those of the bulk before.
const BULK: usize = 50;

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
    /// By which name each kind of limit counts it, as a JSON object such as `{"mailbox": "epa_…"}`.
    pub limit_keys: Value,
    /// Whether its steps go before those of other runs.
    pub priority: Priority,
    /// The run that starts it, where one does.
    pub parent: Option<Parent>,
}

/// The run that starts another.
#[derive(Debug, Clone, PartialEq)]
pub struct Parent {
    /// It.
    pub run_id: Uuid,
    /// The first of its line.
    pub root_id: Uuid,
    /// How many runs stand above the new one.
    pub depth: i16,
    /// Whether it waits for the new one, and takes it along when it ends.
    pub joined: bool,
}

/// Whether a run's steps go before those of others. A priority is so many places in the line, so that who
/// waits long enough comes to the front all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Priority {
    /// Behind a thousand others.
    Low,
    /// In its place.
    #[default]
    Normal,
    /// Before a thousand others.
    High,
}

impl Priority {
    /// How many places it goes before others.
    pub(crate) fn boost(self) -> i32 {
        match self {
            Self::Low => -1_000,
            Self::Normal => 0,
            Self::High => 1_000,
        }
    }

    pub(crate) fn of_boost(boost: i32) -> Self {
        match boost.signum() {
            -1 => Self::Low,
            0 => Self::Normal,
            _ => Self::High,
        }
    }
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
    let tails = tails(tx, runs).await?;
    let columns = Columns::of(runs, &tails);
    let started = sqlx::query_scalar!(
        r#"with wanted as (
             select w.*, d.first_step, d.first_queue, coalesce(w.start_at > engine.now(), false) as later
             from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::text[], $6::text[], $7::timestamptz[],
               $8::jsonb[], $9::int[], $10::bigint[], $11::uuid[], $12::uuid[], $13::smallint[], $14::bool[])
               as w(id, customer_id, definition_id, subject_id, zone, actor, start_at, limit_keys, boost, place,
                 parent_id, root_id, depth, joined)
             join engine.definitions d on d.id = w.definition_id and d.customer_id = w.customer_id
           ), made as (
             insert into engine.runs (id, customer_id, definition_id, subject_id, zone, place, step, queue, next_at,
               limit_keys, boost, parent_id, root_id, depth, joined)
             select id, customer_id, definition_id, subject_id, zone,
               case when later then 'timer' else 'job' end, first_step, first_queue, case when later then start_at end,
               limit_keys, boost, parent_id, root_id, depth, joined
             from wanted returning id
           ), told as (
             insert into engine.history (run_id, seq, at, kind, step, actor)
             select id, 0, engine.now(), 'run.started', first_step, actor from wanted
           ), ready as (
             insert into engine.jobs (run_id, customer_id, queue, step, boost, pass)
             select id, customer_id, first_queue, first_step, boost, greatest(engine.pass(), place) - boost
             from wanted where not later
           ), sleeping as (
             insert into engine.timers (run_id, due_at, customer_id, queue, step, boost)
             select id, start_at, customer_id, first_queue, first_step, boost from wanted where later
           )
           select (select count(*) from made) as "started!"
           from pg_notify('engine', case when exists (select from wanted where later) then '' else 'jobs' end)"#,
        &columns.ids,
        &columns.customers,
        &columns.definitions,
        &columns.subjects,
        &columns.zones,
        &columns.actors,
        &columns.starts as &[Option<DateTime<Utc>>],
        &columns.limit_keys,
        &columns.boosts,
        &columns.places,
        &columns.parents as &[Option<Uuid>],
        &columns.roots as &[Option<Uuid>],
        &columns.depths,
        &columns.joined,
    )
    .fetch_one(tx)
    .await?;
    if usize::try_from(started) == Ok(runs.len()) {
        Ok(())
    } else {
        Err(StartError::UnknownDefinition)
    }
}

/// Behind which place the runs of each customer line up, that starts many at once: each goes one place
/// further back, so that another customer's next run finds few before it.
async fn tails(tx: &mut PgConnection, runs: &[NewRun]) -> Result<HashMap<Uuid, i64>, sqlx::Error> {
    let mut counts: HashMap<Uuid, i64> = HashMap::new();
    for run in runs {
        *counts.entry(run.customer_id).or_default() += 1;
    }
    let bulk = i64::try_from(BULK).unwrap_or(i64::MAX);
    counts.retain(|_, count| *count >= bulk);
    if counts.is_empty() {
        return Ok(HashMap::new());
    }
    let mut counts: Vec<(Uuid, i64)> = counts.into_iter().collect();
    counts.sort_unstable();
    let (customers, counts): (Vec<Uuid>, Vec<i64>) = counts.into_iter().unzip();
    let rows = sqlx::query!(
        r#"insert into engine.tails as t (customer_id, pass)
           select customer_id, engine.pass() + n from unnest($1::uuid[], $2::bigint[]) as w(customer_id, n)
           on conflict (customer_id) do update
             set pass = greatest(t.pass, engine.pass()) + excluded.pass - engine.pass()
           returning customer_id, pass"#,
        &customers,
        &counts,
    )
    .fetch_all(tx)
    .await?;
    let counts: HashMap<Uuid, i64> = customers.into_iter().zip(counts).collect();
    Ok(rows
        .into_iter()
        .map(|row| (row.customer_id, row.pass - counts.get(&row.customer_id).unwrap_or(&0)))
        .collect())
}

#[derive(Default)]
struct Columns {
    ids: Vec<Uuid>,
    customers: Vec<Uuid>,
    definitions: Vec<i64>,
    subjects: Vec<Uuid>,
    zones: Vec<String>,
    actors: Vec<String>,
    starts: Vec<Option<DateTime<Utc>>>,
    limit_keys: Vec<Value>,
    boosts: Vec<i32>,
    places: Vec<i64>,
    parents: Vec<Option<Uuid>>,
    roots: Vec<Option<Uuid>>,
    depths: Vec<i16>,
    joined: Vec<bool>,
}

impl Columns {
    fn of(runs: &[NewRun], tails: &HashMap<Uuid, i64>) -> Self {
        let mut columns = Self::default();
        let mut tails = tails.clone();
        for run in runs {
            let place = tails.get_mut(&run.customer_id).map_or(0, |tail| {
                *tail += 1;
                *tail
            });
            columns.push(run, place);
        }
        columns
    }

    fn push(&mut self, run: &NewRun, place: i64) {
        let parent = run.parent.as_ref();
        self.ids.push(run.id);
        self.customers.push(run.customer_id);
        self.definitions.push(run.definition_id);
        self.subjects.push(run.subject_id);
        self.zones.push(run.zone.clone());
        self.actors.push(run.actor.clone());
        self.starts.push(run.start_at);
        self.limit_keys.push(run.limit_keys.clone());
        self.boosts.push(run.priority.boost());
        self.places.push(place);
        self.parents.push(parent.map(|parent| parent.run_id));
        self.roots.push(parent.map(|parent| parent.root_id));
        self.depths.push(parent.map_or(0, |parent| parent.depth));
        self.joined.push(parent.is_some_and(|parent| parent.joined));
    }
}
