//! Values of custom fields in bodies, checked against what the customer's records have.

use crm::custom_field::{self, CustomField, Entity};
use serde_json::{Map, Value};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::problem::{Fault, Kind, Problem};

/// Whether all of a record is given, or some fields of one that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// A new record, which needs the required ones.
    New,
    /// A change, which leaves what it does not name.
    Change,
}

/// Refuses values that the customer's fields don't take.
pub(super) async fn check(
    tx: &mut PgConnection,
    customer_id: Uuid,
    entity: Entity,
    values: &Map<String, Value>,
    of: Of,
) -> Result<(), Problem> {
    if values.is_empty() && of == Of::Change {
        return Ok(());
    }
    let fields = custom_field::of(tx, customer_id, entity).await?;
    against(&fields, values, of)
}

/// The same against fields that were read.
pub(super) fn against(
    fields: &[CustomField],
    values: &Map<String, Value>,
    of: Of,
) -> Result<(), Problem> {
    custom_field::check(fields, values, of == Of::New).map_err(|refused| {
        refused.into_iter().fold(Problem::new(Kind::Invalid), |problem, refused| {
            let field = Some(format!("custom.{}", refused.key));
            problem.fault(Fault { field, message: refused.message, ..Fault::default() })
        })
    })
}
