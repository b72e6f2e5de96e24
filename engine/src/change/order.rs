//! Orders what a plan says: an operation that brings the runs over, a page at a time, which can be watched and
//! stopped, and whose row stays as the record.

use sqlx::PgConnection;
use uuid::Uuid;

use super::plan::{self, Plan};
use super::route::Map;
use crate::definition::{Definition, Destination};
use crate::operation::{self, NewOperation, Selection, Wish};

/// Why a plan is not applied.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The plan itself says why not.
    #[error("the plan is refused; look at it, and map what stands in the way")]
    Refused,
    /// It is not what was shown.
    #[error("versions have changed since that plan was made; look at a new one")]
    Changed,
    /// The database refused.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Makes sure, until the transaction ends, that a plan is what would be planned now. `shown` is the hash of
/// the plan that a person has seen, where they name one.
///
/// # Errors
/// `Refused` and `Changed`, or what the statements returned.
pub async fn verify(
    tx: &mut PgConnection,
    customer_id: Uuid,
    definition: &Definition,
    asked: &Map,
    plan: &Plan,
    shown: Option<&str>,
) -> Result<(), OrderError> {
    if shown.is_some_and(|shown| shown != plan.plan_id) {
        return Err(OrderError::Changed);
    }
    if !plan.refused.is_empty() {
        return Err(OrderError::Refused);
    }
    if plan::hash_now(tx, customer_id, definition, asked).await? != plan.plan_id {
        return Err(OrderError::Changed);
    }
    Ok(())
}

/// A change to bring to runs.
#[derive(Debug, Clone, Copy)]
pub struct Ordered<'a> {
    /// What was planned, and verified in this transaction.
    pub plan: &'a Plan,
    /// The version as it was kept.
    pub definition_id: i64,
    /// What a person maps beyond the definition.
    pub asked: &'a Map,
    /// Who wants it, such as `user:usr_…` or `cli`.
    pub actor: &'a str,
    /// Why, in a person's words.
    pub reason: Option<&'a str>,
}

/// Orders an operation that brings the runs over; `None` where there are none to bring. One that is under way
/// for the workflow stops where it stands: its runs are brought over from there.
///
/// # Errors
/// What the statements returned.
pub async fn order(
    tx: &mut PgConnection,
    customer_id: Uuid,
    ordered: Ordered<'_>,
) -> Result<Option<Uuid>, sqlx::Error> {
    let Ordered { plan, definition_id, asked, actor, reason } = ordered;
    operation::stop_migrations(&mut *tx, customer_id, &plan.workflow).await?;
    if plan.moves == 0 {
        return Ok(None);
    }
    let map = asked.iter().map(|(was, is)| (was.clone(), word(is).to_owned())).collect();
    let new = NewOperation {
        wish: Wish::Migrate { to: definition_id, map },
        selection: Selection {
            customer_id: Some(customer_id),
            workflow: Some(plan.workflow.clone()),
            ..Selection::default()
        },
        actor: actor.to_owned(),
        reason: reason.map(str::to_owned),
        per_second: None,
        reach: None,
        total: plan.moves,
    };
    operation::order(tx, &new).await.map(Some)
}

/// As a person writes it.
fn word(destination: &Destination) -> &str {
    match destination {
        Destination::Step(step) => step,
        Destination::Exit => "exit",
        Destination::Stay => "stay",
    }
}
