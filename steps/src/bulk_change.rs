//! `bulk.change`: goes over the records of a bulk change, the workflow's subject, page by page until none is left. A crash
//! loses no page and changes none twice: how far it is stands in the transaction of each.

use std::sync::Arc;

use engine::context::Context;
use engine::step::{Outcome, Step, StepError, StepType};
use engine::transaction;
use futures_util::future::{BoxFuture, FutureExt};
use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::PgPool;

use crate::{Behaviour, Manual, unavailable};

/// Makes the change of a bulk change, which is the workflow's subject, to all of its records.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {}

/// What the reference says of it.
pub(crate) const MANUAL: Manual = Manual {
    outputs: &[],
    example: r#"[[steps]]
id = "change"
type = "bulk.change"
"#,
};

struct BulkChange {
    db: PgPool,
}

/// The step type.
pub(crate) fn step_type(db: PgPool, behaviour: Behaviour, manual: Manual) -> StepType {
    StepType {
        name: "bulk.change",
        effect: behaviour.effect,
        timeout: behaviour.timeout,
        windowed: behaviour.windowed,
        limits: behaviour.limits,
        outputs: manual.outputs,
        example: manual.example,
        schema: || schemars::schema_for!(Keys),
        parse: Arc::new(move |keys| {
            let Keys {} = serde_json::from_value(keys).map_err(|error| error.to_string())?;
            Ok(Arc::new(BulkChange { db: db.clone() }))
        }),
    }
}

impl Step for BulkChange {
    fn run<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        async move {
            loop {
                let mut tx =
                    transaction::begin(&self.db).await.map_err(|error| unavailable(&error))?;
                let left =
                    crm::bulk_change::advance(&mut tx, cx.customer_id(), cx.subject_id()).await;
                let left = left.map_err(|error| unavailable(&error))?;
                tx.commit().await.map_err(|error| unavailable(&error))?;
                if !left {
                    return Ok(Outcome::default());
                }
            }
        }
        .boxed()
    }
}
