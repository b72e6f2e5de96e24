//! Ends that concern other runs: the parent that waits for a run, and the children that end with it.
//!
//! Owns `engine.endings`. An end is noted in the transaction in which it happens and passed on in one of its
//! own, so that no transaction locks a run and its parent at once.

use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::queue;
use crate::id;
use crate::signal;
use crate::step::CHILD_ENDED;

/// How many children one transaction ends.
const CHILDREN: i64 = 500;

/// Notes the ends of those of these runs that have a parent or children, and empties the inboxes of all that
/// ended.
pub(crate) async fn note_ends(tx: &mut PgConnection, run_ids: &[Uuid]) -> Result<(), sqlx::Error> {
    if run_ids.is_empty() {
        return Ok(());
    }
    signal::forget(&mut *tx, run_ids).await?;
    sqlx::query!(
        "insert into engine.endings (run_id)
         select r.id from engine.runs r
         where r.id = any($1) and r.ended_at is not null and ((r.joined and r.parent_id is not null)
           or exists (select from engine.runs c where c.parent_id = r.id and c.ended_at is null))
         on conflict (run_id) do nothing",
        run_ids,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Passes one end on; says whether there was one.
pub(crate) async fn pass_on(tx: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let ending = sqlx::query!(
        "select e.run_id, e.parent_told, r.customer_id, r.parent_id, r.joined, r.state, r.reason
         from engine.endings e join engine.runs r on r.id = e.run_id
         order by e.run_id limit 1 for update of e skip locked",
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(ending) = ending else { return Ok(false) };
    if let Some(parent_id) = ending.parent_id.filter(|_| ending.joined && !ending.parent_told) {
        let data = json!({
            "key": id::show("run", ending.run_id),
            "state": ending.state,
            "reason": ending.reason,
        });
        signal::tell(tx, parent_id, ending.run_id, CHILD_ENDED, &data).await?;
        sqlx::query!(
            "update engine.endings set parent_told = true where run_id = $1",
            ending.run_id
        )
        .execute(&mut *tx)
        .await?;
        // The children's locks are another transaction's.
        return Ok(true);
    }
    let cancelled = ending.state == "cancelled";
    let ended = end_children(tx, ending.run_id, cancelled).await?;
    if ended < CHILDREN {
        sqlx::query!("delete from engine.endings where run_id = $1", ending.run_id)
            .execute(tx)
            .await?;
    }
    Ok(true)
}

/// Cancels open children: those that the run waits for, and when a person cancelled it, all.
async fn end_children(tx: &mut PgConnection, run_id: Uuid, all: bool) -> Result<i64, sqlx::Error> {
    let children = sqlx::query_scalar!(
        "select id from engine.runs where parent_id = $1 and ended_at is null and (joined or $2)
         order by id limit $3",
        run_id,
        all,
        CHILDREN,
    )
    .fetch_all(&mut *tx)
    .await?;
    sqlx::query!(
        "select from engine.jobs where run_id = any($1) order by run_id for update",
        &children,
    )
    .execute(&mut *tx)
    .await?;
    queue::leave(tx, &children).await?;
    sqlx::query!(
        "with ended as (
           update engine.runs set state = 'cancelled', place = 'none', next_at = null, wait_signal = null,
             remaining = null, reason = 'its parent ended', ended_at = engine.now(), changed_at = engine.now(),
             seq = seq + 1
           where id = any(array(select id from engine.runs where id = any($1) order by id for update))
             and ended_at is null
           returning id, seq, step, iteration
         )
         insert into engine.history (run_id, seq, at, kind, step, iteration, actor, data)
         select id, seq, engine.now(), 'run.cancelled', step, iteration, $2,
           jsonb_build_object('reason', 'its parent ended')
         from ended",
        &children,
        format!("run:{}", id::show("run", run_id)),
    )
    .execute(&mut *tx)
    .await?;
    note_ends(tx, &children).await?;
    Ok(i64::try_from(children.len()).unwrap_or(i64::MAX))
}
