//! Fires schedules: one occurrence a transaction, with its run, its event and the next occurrence. A worker that
//! dies in the middle has fired it or has not; the lock of the schedule's row keeps others from it meanwhile.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Shared, WorkerError, begins_again, lost, operate};
use crate::fact::RUN_CHANGED;
use crate::outbox;
use crate::run::{self, Action, Change, NewRun, Priority, StartError, State};
use crate::schedule::{self, Due, Fired, MOST_WAITING, Overlap, Start, Way};
use crate::{clock, definition_store, id, transaction};

/// The shortest pause between two looks.
const SHORTEST: Duration = Duration::from_millis(2);
/// How long a schedule is left that the database refused to fire, in seconds.
const PUT_BACK_SECONDS: f64 = 5.0;
/// How long a schedule is left that this version can't read, to one that can.
const FOREIGN_SECONDS: f64 = 60.0;
/// How many runs a fire replaces at the most.
const REPLACED: i64 = 200;

/// Fires until told to stop; sleeps until the next one is due, but never longer than the poll.
pub(super) async fn run(shared: Arc<Shared>) -> Result<(), WorkerError> {
    let mut after = Some(Uuid::nil());
    loop {
        let pause = match turn(&shared, &mut after).await {
            Ok(pause) => pause,
            Err(error) if lost(&error) => return Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "schedules are looked at again");
                shared.worker.settings.poll
            }
        };
        let pause = pause.clamp(SHORTEST, shared.worker.settings.poll);
        let _woken = tokio::time::timeout(pause, shared.schedule.notified()).await;
    }
}

/// Plans anew what an older tz database had planned, once, and fires all that is due; gives how long it is until
/// the next.
async fn turn(shared: &Shared, after: &mut Option<Uuid>) -> Result<Duration, sqlx::Error> {
    while let Some(from) = *after {
        let mut tx = transaction::begin(&shared.worker.db).await?;
        *after = schedule::replan(&mut tx, from).await?;
        tx.commit().await?;
    }
    loop {
        let look = schedule::look(&shared.worker.db).await?;
        let fired = look.next.is_some_and(|next| next.is_zero()) && fire_due(shared).await?;
        let released = look.waiting && release(shared).await?;
        if !fired && !released {
            return Ok(look.next.unwrap_or(Duration::MAX));
        }
        shared.wake.notify_one();
    }
}

/// Fires the occurrence that has been due for the longest; says whether there was one.
async fn fire_due(shared: &Shared) -> Result<bool, sqlx::Error> {
    let mut tx = transaction::begin(&shared.worker.db).await?;
    let Some(due) = schedule::take(&mut tx).await? else { return Ok(false) };
    match decide(shared, &mut tx, &due).await {
        Ok(()) => tx.commit().await?,
        Err(error) if lost(&error) || begins_again(&error) => return Err(error),
        Err(error) => {
            tx.rollback().await?;
            tracing::warn!(%error, schedule.id = %due.id, customer.id = %due.customer_id, "a schedule is fired again");
            schedule::put_back(&shared.worker.db, due.id, PUT_BACK_SECONDS).await?;
        }
    }
    Ok(true)
}

async fn decide(shared: &Shared, tx: &mut PgConnection, due: &Due) -> Result<(), sqlx::Error> {
    let timing = match due.timing() {
        Ok(timing) => timing,
        Err(error) => {
            tracing::warn!(%error, schedule.id = %due.id, "this version can't read a schedule; another may");
            return schedule::put_back(tx, due.id, FOREIGN_SECONDS).await;
        }
    };
    let policy = due.catch_up();
    let decision =
        schedule::decide(due.id, &timing, due.occurrence_at, policy, due.now, due.grace());
    if let Some(missed) = decision.missed
        && !schedule::fired(tx, due.id, missed.occurrence_at).await?
    {
        schedule::write(tx, due, missed.occurrence_at, &Way::Missed(missed.count)).await?;
    }
    if let Some(occurrence_at) = decision.fire
        && !schedule::fired(tx, due.id, occurrence_at).await?
    {
        let way = choose(shared, tx, due).await?;
        act(tx, due, occurrence_at, &way).await?;
        schedule::write(tx, due, occurrence_at, &way).await?;
    }
    schedule::settle(tx, due.id, &decision).await
}

/// What becomes of a fire, beside the runs of earlier ones.
async fn choose(shared: &Shared, tx: &mut PgConnection, due: &Due) -> Result<Way, sqlx::Error> {
    let Some(start) = due.start() else { return Ok(Way::Told) };
    match due.overlap() {
        Overlap::Allow => {}
        Overlap::Skip => {
            if let Some(open) = schedule::open_runs(tx, due.id, 1).await?.first() {
                let reason = format!("{} has not ended", id::show("run", *open));
                return Ok(Way::Skipped(reason));
            }
        }
        Overlap::Queue => {
            let open = !schedule::open_runs(tx, due.id, 1).await?.is_empty();
            if due.waiting >= MOST_WAITING {
                return Ok(Way::Skipped(format!("{MOST_WAITING} fires wait already")));
            }
            if open || due.waiting > 0 {
                return Ok(Way::Queued);
            }
        }
        Overlap::Replace => {
            let open = schedule::open_runs(tx, due.id, REPLACED).await?;
            replace(shared, tx, due, &open).await?;
        }
    }
    started(tx, due, &start).await
}

async fn started(tx: &mut PgConnection, due: &Due, start: &Start) -> Result<Way, sqlx::Error> {
    let newest = definition_store::newest(tx, due.customer_id, &start.workflow).await?;
    Ok(match newest {
        Some(definition_id) => Way::Started { run_id: clock::new_id(), definition_id },
        None => Way::Failed(format!("there is no workflow `{}`; apply it first", start.workflow)),
    })
}

/// Cancels the runs of earlier fires.
async fn replace(
    shared: &Shared,
    tx: &mut PgConnection,
    due: &Due,
    open: &[Uuid],
) -> Result<(), sqlx::Error> {
    if open.is_empty() {
        return Ok(());
    }
    let definitions = &shared.worker.definitions;
    let (customer_id, actor) = (due.customer_id, actor(due));
    let changes = run::act(tx, definitions, customer_id, open, &Action::Cancel, &actor).await?;
    let ended = open.iter().zip(&changes).filter_map(|(run_id, change)| match change {
        Change::Changed { to, .. } => Some((*run_id, *to)),
        Change::Unchanged(_) | Change::Refused(_) | Change::NotFound => None,
    });
    let ended: Vec<(Uuid, State)> = ended.collect();
    if shared.worker.writers.knows(RUN_CHANGED) {
        let word = Action::Cancel.word();
        let facts = operate::facts(tx, customer_id, &ended, word, &actor).await?;
        shared.worker.writers.write(tx, facts).await?;
    }
    Ok(())
}

fn actor(due: &Due) -> String {
    format!("schedule:{}", id::show("sch", due.id))
}

/// Starts the run of a fire and tells of it, where that is what becomes of it.
async fn act(
    tx: &mut PgConnection,
    due: &Due,
    occurrence_at: DateTime<Utc>,
    way: &Way,
) -> Result<(), sqlx::Error> {
    if !way.fired() {
        return Ok(());
    }
    let start = due.start();
    let mut run = None;
    if let (Way::Started { run_id, definition_id }, Some(start)) = (way, &start) {
        run = Some(id::show("run", *run_id));
        let new = NewRun {
            id: *run_id,
            customer_id: due.customer_id,
            definition_id: *definition_id,
            subject_id: start.subject_id,
            zone: due.zone.clone(),
            actor: actor(due),
            start_at: None,
            limit_keys: json!({}),
            priority: Priority::Normal,
            parent: None,
        };
        run::start(&mut *tx, &[new]).await.map_err(|error| match error {
            StartError::Database(error) => error,
            StartError::UnknownDefinition => sqlx::Error::RowNotFound,
        })?;
    }
    let data = Fired {
        name: due.name.clone(),
        occurrence_at,
        workflow: start.map(|start| start.workflow),
        run_id: run,
        data: due.data.clone(),
    };
    let (key, sequence) = (id::show("sch", due.id), due.event_sequence + 1);
    let event = schedule::FIRED.event(due.customer_id, key, sequence, &data);
    outbox::publish(tx, &[event]).await
}

/// Starts a fire that waited, where the run before it has ended; says whether there was one.
async fn release(shared: &Shared) -> Result<bool, sqlx::Error> {
    let mut tx = transaction::begin(&shared.worker.db).await?;
    let Some(due) = schedule::take_waiting(&mut tx).await? else { return Ok(false) };
    match release_first(&mut tx, &due).await {
        Ok(()) => tx.commit().await?,
        Err(error) if lost(&error) || begins_again(&error) => return Err(error),
        Err(error) => {
            tx.rollback().await?;
            tracing::warn!(%error, schedule.id = %due.id, customer.id = %due.customer_id, "a fire that waited is given up");
            schedule::fail_waiting(&shared.worker.db, due.id).await?;
        }
    }
    Ok(true)
}

async fn release_first(tx: &mut PgConnection, due: &Due) -> Result<(), sqlx::Error> {
    let Some((fire_id, occurrence_at)) = schedule::waiting_fire(tx, due.id).await? else {
        return schedule::nothing_waits(tx, due.id).await;
    };
    let way = match due.start() {
        Some(start) => started(tx, due, &start).await?,
        None => Way::Told,
    };
    act(tx, due, occurrence_at, &way).await?;
    schedule::write_waited(tx, due, fire_id, &way).await
}
