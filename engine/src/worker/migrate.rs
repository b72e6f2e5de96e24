//! Works off operations that bring runs into another version: pass after pass over the workflow's open runs,
//! until none is left that a worker held when it was looked at. A page is one transaction with the operation's
//! place and counts, so that a worker that dies in the middle has done it or has not.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::Shared;
use super::operate::{self, Open};
use crate::change::{self, Map, Page};
use crate::definition::Destination;
use crate::definition_store::LoadError;
use crate::fact::RUN_CHANGED;
use crate::operation::{self, Place, Selection, Wish};
use crate::run::State;
use crate::{clock, id};

/// When a change is looked at again whose version this binary does not know.
const LEFT_SECONDS: f64 = 60.0;
/// How long runs that a worker held have at most to finish their steps before they are looked at again: a second
/// at first, and twice as long each time.
const AGAIN_SECONDS: f64 = 60.0;

/// Does one page.
pub(super) async fn page(
    shared: &Shared,
    tx: &mut PgConnection,
    open: &Open,
    (to, map): (i64, &BTreeMap<String, String>),
    selection: &Selection,
) -> Result<(), sqlx::Error> {
    let definitions = &shared.worker.definitions;
    let target = match definitions.load(&mut *tx, to).await {
        Ok(target) => target,
        Err(LoadError::Database(error)) => return Err(error),
        Err(LoadError::Foreign(_)) => return later(tx, open.id, LEFT_SECONDS).await,
        Err(LoadError::Unreadable(reason)) => return operate::fail(tx, open.id, &reason).await,
    };
    let read =
        |(was, is): (&String, &String)| Ok((was.clone(), Destination::read(is, &target.steps)?));
    let asked: Map = match map.iter().map(read).collect::<Result<_, String>>() {
        Ok(asked) => asked,
        Err(reason) => return operate::fail(tx, open.id, &reason).await,
    };
    let after = Place { customer_id: open.at_customer, run_id: open.at_run };
    // Also who was started into an older version while this was ordered.
    let now = clock::now(&mut *tx).await?;
    let wish = Wish::Migrate { to, map: map.clone() };
    let (found, last) = operation::page(tx, (selection, &wish), now, after, None).await?;
    let mut page = Page::default();
    if let Some(first) = found.first() {
        let ids: Vec<Uuid> = found.iter().map(|place| place.run_id).collect();
        let actor = format!("{} by {}", open.actor, id::show("op", open.id));
        let runs = (first.customer_id, ids.as_slice());
        page = match change::migrate(tx, definitions, to, &asked, runs, &actor).await {
            Ok(page) => page,
            Err(LoadError::Database(error)) => return Err(error),
            Err(LoadError::Foreign(_)) => return later(tx, open.id, LEFT_SECONDS).await,
            Err(LoadError::Unreadable(reason)) => {
                return operate::fail(tx, open.id, &reason).await;
            }
        };
        tell_ends(shared, tx, first.customer_id, &page, &actor).await?;
    }
    note(tx, open.id, last, &page).await
}

/// Lets the domain write the ends of runs that ended by the change.
async fn tell_ends(
    shared: &Shared,
    tx: &mut PgConnection,
    customer_id: Uuid,
    page: &Page,
    actor: &str,
) -> Result<(), sqlx::Error> {
    if page.ended.is_empty() || !shared.worker.writers.knows(RUN_CHANGED) {
        return Ok(());
    }
    let ended: Vec<(Uuid, State)> = page.ended.iter().map(|id| (*id, State::Exited)).collect();
    let facts = operate::facts(tx, customer_id, &ended, "workflow changed", actor).await?;
    shared.worker.writers.write(tx, facts).await
}

async fn later(tx: &mut PgConnection, operation_id: Uuid, seconds: f64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update engine.operations set migrates_at = clock_timestamp() + make_interval(secs => $2) where id = $1",
        operation_id,
        seconds,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Notes how far it is: at the end of a pass it is done, or begins anew where some are to be looked at again.
async fn note(
    tx: &mut PgConnection,
    operation_id: Uuid,
    last: Option<Place>,
    page: &Page,
) -> Result<(), sqlx::Error> {
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let nowhere = Place { customer_id: Uuid::nil(), run_id: Uuid::nil() };
    let place = last.unwrap_or(nowhere);
    sqlx::query!(
        "update engine.operations o set changed = o.changed + $2, skipped = n.skipped, done = o.changed + $2 + n.skipped,
           left_over = case when $7 then 0 else n.left_over end, at_customer = $5, at_run = $6,
           state = case when n.over then 'done' else 'running' end, ended_at = case when n.over then engine.now() end,
           passes = o.passes + $7::int,
           migrates_at = clock_timestamp()
             + make_interval(secs => case when $7 then least(2.0 ^ least(o.passes, 10), $8::double precision) else 0 end)
         from (select id, left_over + $4 as left_over, $7 and left_over + $4 = 0 as over,
             -- Each pass counts anew who keeps their version.
             $3 + case when at_run = '00000000-0000-0000-0000-000000000000' then 0 else skipped end as skipped
           from engine.operations where id = $1) n
         where o.id = n.id",
        operation_id,
        count(page.moved.len()),
        count(page.stayed),
        count(page.later),
        place.customer_id,
        place.run_id,
        last.is_none(),
        AGAIN_SECONDS,
    )
    .execute(tx)
    .await?;
    Ok(())
}
