//! `bulk.change`: makes the change of a bulk change, the workflow's subject, to all of its records.

use engine::step::StepType;
use futures_util::future::FutureExt;
use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::PgPool;

use crate::{Behaviour, Manual, many_records};

/// Makes the change of a bulk change, which is the workflow's subject, to all of its records.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {}

/// What the reference says of it.
const MANUAL: Manual = Manual {
    outputs: &[],
    example: r#"[[steps]]
id = "change"
type = "bulk.change"
"#,
};

/// The step type.
pub(crate) fn step_type(db: PgPool, behaviour: Behaviour) -> StepType {
    many_records::step_type::<Keys>(
        "bulk.change",
        db,
        (behaviour, MANUAL),
        |tx, customer, change| crm::bulk_change::advance(tx, customer, change).boxed(),
    )
}
