//! Which runs a bulk action acts on: the enrollments that its caller reaches, or for operations all runs.

use engine::operation::{Preview, SAMPLE, Selection, Wish};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::bulk_change::Reach;
use crate::orderer::{self, Orderer};
use crate::user::Role;

/// Over which runs an operation goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderedRuns {
    /// Those that are enrollments which the orderer reaches.
    #[default]
    Enrollments,
    /// All runs, also those of webhooks, imports and mails of the system.
    All,
}

impl OrderedRuns {
    /// The lowest role that may order an operation over them.
    fn least(self) -> Role {
        match self {
            Self::Enrollments => Role::Rep,
            Self::All => Role::Admin,
        }
    }

    fn are_enrollments(&self) -> bool {
        *self == Self::Enrollments
    }
}

/// For whom an operation acts. The operation stores it, and each page checks anew what they may still do and reach. An
/// operation that an earlier version ordered by an API key names nobody, and is not checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderedBy {
    /// The user who ordered it, if one did.
    pub user_id: Option<Uuid>,
    /// The API key that ordered it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<Uuid>,
    /// The operator of the platform who ordered it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<Uuid>,
    /// Their reach when they ordered it, if they do not reach all records.
    pub reach: Option<Reach>,
    /// Over which runs it goes.
    #[serde(default, skip_serializing_if = "OrderedRuns::are_enrollments")]
    pub runs: OrderedRuns,
}

impl OrderedBy {
    /// An operation over these runs, of an orderer with this reach.
    pub fn new(orderer: Orderer, reach: Option<Reach>, runs: OrderedRuns) -> Self {
        let (user_id, key_id, operator_id) = match orderer {
            Orderer::User(id) => (Some(id), None, None),
            Orderer::Key(id) => (None, Some(id), None),
            Orderer::Operator(id) => (None, None, Some(id)),
        };
        Self { user_id, key_id, operator_id, reach, runs }
    }

    fn orderer(&self) -> Option<Orderer> {
        let user = self.user_id.map(Orderer::User);
        user.or(self.key_id.map(Orderer::Key)).or(self.operator_id.map(Orderer::Operator))
    }
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

/// Those of some runs that whoever ordered an operation may still act on: what they reach may have changed since, and so
/// may what they may do. An error in words ends the operation.
pub(crate) async fn reached_by(
    tx: &mut PgConnection,
    customer_id: Uuid,
    ordered_by: &Value,
    run_ids: &[Uuid],
) -> Result<Result<Vec<Uuid>, String>, sqlx::Error> {
    let ordered_by: OrderedBy = match serde_json::from_value(ordered_by.clone()) {
        Ok(read) => read,
        Err(error) => return Ok(Err(format!("who ordered it can't be read: {error}"))),
    };
    let runs = ordered_by.runs;
    let reach = match ordered_by.orderer() {
        None => ordered_by.reach,
        Some(by) => match orderer::reach_now(&mut *tx, customer_id, by, runs.least()).await? {
            Ok(reach) => reach,
            Err(reason) => return Ok(Err(reason)),
        },
    };
    match runs {
        OrderedRuns::All => Ok(Ok(run_ids.to_vec())),
        OrderedRuns::Enrollments => {
            let before = orderer::act_as(&mut *tx, customer_id, reach.as_ref()).await?;
            let found = reached(&mut *tx, customer_id, run_ids).await?;
            orderer::act_as_before(tx, before).await?;
            Ok(Ok(found))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_earlier_version_stored_is_still_read() {
        let user = Uuid::from_u128(7);
        for (stored, orderer) in [
            (json!({ "user_id": user, "reach": null }), Some(Orderer::User(user))),
            (
                json!({ "user_id": user, "reach": { "user_id": user, "team_id": null } }),
                Some(Orderer::User(user)),
            ),
            // By an API key.
            (json!({ "user_id": null, "reach": null }), None),
        ] {
            let read: OrderedBy = serde_json::from_value(stored.clone()).expect("it reads");
            assert_eq!(
                (read.orderer(), read.runs),
                (orderer, OrderedRuns::Enrollments),
                "{stored}"
            );
            assert_eq!(json!(read), stored, "an earlier version reads it too");
        }
    }

    #[test]
    fn who_ordered_an_operation_is_read_as_it_was_stored() {
        let id = Uuid::from_u128(7);
        for orderer in [Orderer::User(id), Orderer::Key(id), Orderer::Operator(id)] {
            for runs in [OrderedRuns::Enrollments, OrderedRuns::All] {
                let new = OrderedBy::new(orderer, None, runs);
                let read: OrderedBy = serde_json::from_value(json!(new)).expect("it reads");
                assert_eq!((read.orderer(), read.runs), (Some(orderer), runs));
            }
        }
    }
}
