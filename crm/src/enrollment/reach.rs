//! Which enrollments somebody reaches: for bulk actions, which act on these alone, never on runs that are no enrollments.

use engine::operation::{Preview, SAMPLE, Selection, Wish};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::bulk_change::{self, Reach};
use crate::user::{self, Role};

/// For whom an operation acts on enrollments. The operation carries it, and each page asks by it anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderedBy {
    /// The user; none for an API key.
    pub user_id: Option<Uuid>,
    /// Their reach, if they do not reach all records.
    pub reach: Option<Reach>,
}

/// Those of some runs that are enrollments which the connection's role reaches, in the order of their ids.
///
/// # Errors
/// Returns what the statement returned.
pub async fn reached(
    tx: &mut PgConnection,
    customer_id: Uuid,
    run_ids: &[Uuid],
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select id from enrollments where customer_id = $1 and id = any($2) order by id",
        customer_id,
        run_ids,
    )
    .fetch_all(tx)
    .await
}

/// Counts the enrollments of a selection that the connection's role reaches and to which a wish does something, up to a
/// bound, with some examples. The conditions are those by which an operation finds its runs.
///
/// # Errors
/// Returns what the statement returned.
pub async fn preview(
    tx: &mut PgConnection,
    customer_id: Uuid,
    selection: &Selection,
    wish: &Wish,
) -> Result<Preview, sqlx::Error> {
    let found = sqlx::query_scalar!(
        r#"select e.id from enrollments e
           join engine.runs r on r.id = e.id
           join engine.run_states s on s.run_id = e.id
           join engine.definitions d on d.id = r.definition_id
           where e.customer_id = $1 and r.customer_id = $1 and r.ended_at is null and r.state = any($2)
             and ($3::text is null or s.state = $3) and ($4::text is null or d.name = $4)
             and ($5::text is null or r.step = $5) and ($6::text is null or r.queue = $6)
             and ($7::uuid is null or r.subject_id = $7) and ($8::text is null or r.reason like $8)
             and ($9::timestamptz is null or r.changed_at >= $9)
             and ($10::timestamptz is null or r.changed_at < $10)
           limit $11"#,
        customer_id,
        &wish.states(),
        selection.state,
        selection.workflow,
        selection.step,
        selection.queue,
        selection.subject_id,
        selection.reason_pattern(),
        selection.since,
        selection.until,
        engine::operation::COUNTED + 1,
    )
    .fetch_all(tx)
    .await?;
    let count = i64::try_from(found.len()).unwrap_or(i64::MAX);
    let shown = usize::try_from(SAMPLE).unwrap_or(usize::MAX);
    Ok(Preview::counted(count, found.into_iter().take(shown).collect()))
}

/// Those of some runs that are enrollments which whoever ordered an operation reaches now: what they reach may have
/// changed since, and so may what they may do. A reason instead ends the operation.
pub(crate) async fn reached_by(
    tx: &mut PgConnection,
    customer_id: Uuid,
    ordered_by: &Value,
    run_ids: &[Uuid],
) -> Result<Result<Vec<Uuid>, String>, sqlx::Error> {
    let ordered_by: OrderedBy = match serde_json::from_value(ordered_by.clone()) {
        Ok(read) => read,
        Err(error) => return Ok(Err(format!("for whom it acts can't be read: {error}"))),
    };
    let mut reach = ordered_by.reach;
    if let Some(user_id) = ordered_by.user_id {
        let user = user::find(&mut *tx, customer_id, user_id).await?;
        match user.filter(|user| user.active && Role::read(&user.role) != Role::Viewer) {
            Some(user) => {
                let limited = matches!(Role::read(&user.role), Role::Rep | Role::Manager);
                reach = limited.then_some(Reach { user_id, team_id: user.team_id });
            }
            None => return Ok(Err("whoever ordered it may change enrollments no longer".into())),
        }
    }
    let before = bulk_change::act_as(&mut *tx, customer_id, reach.as_ref()).await?;
    let found = reached(&mut *tx, customer_id, run_ids).await?;
    bulk_change::act_as_before(tx, before).await?;
    Ok(Ok(found))
}
