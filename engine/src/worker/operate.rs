//! Works operations off (`migrate` those that bring runs into another version): a page of runs in one transaction, with the operation's place and counts. A worker
//! that dies in the middle has done the page or has not.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Shared, WorkerError, lost, migrate};
use crate::fact::{RUN_CHANGED, RunFact};
use crate::operation::{self, Place, Selection, Wish};
use crate::run::{self, Change};
use crate::signal::{self, NewSignal, Target};
use crate::{clock, id, transaction};

/// How long it is between two looks for operations.
const EVERY: Duration = Duration::from_secs(1);

/// Works until told to stop.
pub(super) async fn run(shared: Arc<Shared>) -> Result<(), WorkerError> {
    loop {
        match step(&shared).await {
            Ok(true) => {
                shared.wake.notify_one();
                continue;
            }
            Ok(false) => {}
            Err(error) if lost(&error) => return Err(error.into()),
            // Such as a deadlock: the page comes again.
            Err(error) => tracing::warn!(%error, "a page of an operation is tried again"),
        }
        let _woken = tokio::time::timeout(EVERY, shared.operate.notified()).await;
    }
}

/// An operation with its page still to do.
pub(super) struct Open {
    pub(super) id: Uuid,
    wish: Value,
    selection: Value,
    pub(super) frozen_at: DateTime<Utc>,
    pub(super) actor: String,
    per_second: Option<f32>,
    reach: Option<Value>,
    pub(super) at_customer: Uuid,
    pub(super) at_run: Uuid,
}

/// Does one page of one operation; says whether there was one.
async fn step(shared: &Shared) -> Result<bool, sqlx::Error> {
    let mut tx = transaction::begin(&shared.worker.db).await?;
    let open = sqlx::query_as!(
        Open,
        "select id, wish, selection, frozen_at, actor, per_second, reach, at_customer, at_run from engine.operations
         where ended_at is null and coalesce(scoped_at, migrates_at, next_at) <= clock_timestamp()
         order by coalesce(scoped_at, migrates_at, next_at) limit 1 for update skip locked",
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(open) = open else { return Ok(false) };
    let read = serde_json::from_value::<Wish>(open.wish.clone())
        .and_then(|wish| Ok((wish, serde_json::from_value::<Selection>(open.selection.clone())?)));
    match read {
        Ok((Wish::Migrate { to, map }, selection)) => {
            migrate::page(shared, &mut tx, &open, (to, &map), &selection).await?;
        }
        Ok((wish, selection)) => page(shared, &mut tx, &open, &wish, &selection).await?,
        Err(error) => fail(&mut tx, open.id, &format!("it can't be read: {error}")).await?,
    }
    tx.commit().await?;
    Ok(true)
}

pub(super) async fn fail(tx: &mut PgConnection, id: Uuid, error: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update engine.operations set state = 'failed', error = $2, ended_at = engine.now() where id = $1",
        id,
        error,
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn page(
    shared: &Shared,
    tx: &mut PgConnection,
    open: &Open,
    wish: &Wish,
    selection: &Selection,
) -> Result<(), sqlx::Error> {
    let after = Place { customer_id: open.at_customer, run_id: open.at_run };
    let (found, last) =
        operation::page(tx, (selection, wish), open.frozen_at, after, open.per_second).await?;
    let (mut done, mut changed) = (0, 0);
    for of_customer in found.chunk_by(|one, other| one.customer_id == other.customer_id) {
        let customer_id = of_customer[0].customer_id;
        let ids: Vec<Uuid> = of_customer.iter().map(|place| place.run_id).collect();
        let writers = &shared.worker.writers;
        let ids = match writers.reached(tx, customer_id, open.reach.as_ref(), &ids).await? {
            Ok(ids) => ids,
            // What earlier pages did stays done.
            Err(reason) => return fail(tx, open.id, &reason).await,
        };
        done += ids.len();
        changed += apply(shared, tx, open, wish, customer_id, &ids).await?;
    }
    #[expect(clippy::cast_precision_loss, reason = "a pace needs no exact count")]
    let pause = open.per_second.map_or(0.0, |pace| done as f64 / f64::from(pace));
    let place = last.unwrap_or(after);
    sqlx::query!(
        "update engine.operations set done = done + $2, changed = changed + $3, skipped = skipped + $2 - $3,
           at_customer = $4, at_run = $5, state = case when $6 then 'done' else 'running' end,
           ended_at = case when $6 then engine.now() end,
           next_at = case when scoped_at is null then clock_timestamp() + make_interval(secs => $7) else next_at end,
           scoped_at = case when scoped_at is not null then clock_timestamp() + make_interval(secs => $7) end
         where id = $1",
        open.id,
        i64::try_from(done).unwrap_or(i64::MAX),
        changed,
        place.customer_id,
        place.run_id,
        last.is_none(),
        pause,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Does the wish to runs of one customer; gives how many changed.
async fn apply(
    shared: &Shared,
    tx: &mut PgConnection,
    open: &Open,
    wish: &Wish,
    customer_id: Uuid,
    ids: &[Uuid],
) -> Result<i64, sqlx::Error> {
    let actor = format!("{} by {}", open.actor, id::show("op", open.id));
    let action = match wish {
        Wish::Act(action) => action,
        Wish::Signal { name, data } => return tell(tx, open, customer_id, ids, name, data).await,
        // It has pages of its own.
        Wish::Migrate { .. } => return Ok(0),
    };
    let definitions = &shared.worker.definitions;
    let changes = run::act(tx, definitions, customer_id, ids, action, &actor).await?;
    let changed: Vec<(Uuid, run::State)> = ids
        .iter()
        .zip(&changes)
        .filter_map(|(run_id, change)| match change {
            Change::Changed { from, to } if from != to => Some((*run_id, *to)),
            Change::Changed { .. }
            | Change::Unchanged(_)
            | Change::Refused(_)
            | Change::NotFound => None,
        })
        .collect();
    if shared.worker.writers.knows(RUN_CHANGED) {
        let facts = facts(tx, customer_id, &changed, action.word(), &actor).await?;
        shared.worker.writers.write(tx, facts).await?;
    }
    let count = changes.iter().filter(|change| matches!(change, Change::Changed { .. })).count();
    Ok(i64::try_from(count).unwrap_or(i64::MAX))
}

/// Tells each run the signal, once however often its page comes; gives how many heard it for the first time.
async fn tell(
    tx: &mut PgConnection,
    open: &Open,
    customer_id: Uuid,
    ids: &[Uuid],
    name: &str,
    data: &Value,
) -> Result<i64, sqlx::Error> {
    let signals: Vec<NewSignal> = ids
        .iter()
        .map(|run_id| NewSignal {
            customer_id,
            target: Target::Run(*run_id),
            name: name.into(),
            key: format!("operation:{}", open.id),
            data: data.clone(),
        })
        .collect();
    let fresh = signal::send(tx, &signals).await?;
    Ok(i64::try_from(fresh).unwrap_or(i64::MAX))
}

/// What the domain gets to write of runs that came into another state.
pub(super) async fn facts(
    tx: &mut PgConnection,
    customer_id: Uuid,
    changed: &[(Uuid, run::State)],
    action: &str,
    actor: &str,
) -> Result<Vec<(&'static str, RunFact)>, sqlx::Error> {
    let ids: Vec<Uuid> = changed.iter().map(|(id, _)| *id).collect();
    let now = clock::now(&mut *tx).await?;
    let rows = sqlx::query!(
        "select id, coalesce(root_id, id) as \"root_id!\", subject_id, step, iteration, seq, state
         from engine.runs where id = any($1)",
        &ids,
    )
    .fetch_all(tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let change = if row.state == "live" { "resumed" } else { row.state.as_str() };
            let data = json!({ "change": change, "reason": action, "actor": actor });
            let fact = RunFact {
                run_id: row.id,
                root_run_id: row.root_id,
                customer_id,
                subject_id: row.subject_id,
                step: row.step,
                iteration: row.iteration,
                seq: row.seq,
                at: now,
                data,
            };
            (RUN_CHANGED, fact)
        })
        .collect())
}
