//! `import.rows`: writes the rows of an import, the workflow's subject, chunk by chunk until none is left. A crash loses
//! no chunk and writes none twice: each leaves in the transaction that writes it.

use std::sync::Arc;

use engine::context::Context;
use engine::step::{Outcome, Step, StepError, StepType};
use engine::transaction;
use futures_util::future::{BoxFuture, FutureExt};
use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::PgPool;

use crate::{Behaviour, Manual, unavailable};

/// Writes the rows of an import, which is the workflow's subject, until none is left.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {}

/// What the reference says of it.
pub(crate) const MANUAL: Manual = Manual {
    outputs: &[],
    example: r#"[[steps]]
id = "rows"
type = "import.rows"
"#,
};

struct ImportRows {
    db: PgPool,
}

/// The step type.
pub(crate) fn step_type(db: PgPool, behaviour: Behaviour, manual: Manual) -> StepType {
    StepType {
        name: "import.rows",
        effect: behaviour.effect,
        timeout: behaviour.timeout,
        windowed: behaviour.windowed,
        limits: behaviour.limits,
        outputs: manual.outputs,
        example: manual.example,
        schema: || schemars::schema_for!(Keys),
        parse: Arc::new(move |keys| {
            let Keys {} = serde_json::from_value(keys).map_err(|error| error.to_string())?;
            Ok(Arc::new(ImportRows { db: db.clone() }))
        }),
    }
}

impl Step for ImportRows {
    fn run<'a>(&'a self, cx: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        async move {
            loop {
                let mut tx =
                    transaction::begin(&self.db).await.map_err(|error| unavailable(&error))?;
                let advanced =
                    crm::import::advance(&mut tx, cx.customer_id(), cx.subject_id()).await;
                let advanced = advanced.map_err(|error| unavailable(&error))?;
                tx.commit().await.map_err(|error| unavailable(&error))?;
                if advanced.is_none_or(|advanced| !advanced.is_left) {
                    return Ok(Outcome::default());
                }
            }
        }
        .boxed()
    }
}
