//! `import.rows`: writes the rows of an import, the workflow's subject.

use engine::step::StepType;
use futures_util::future::FutureExt;
use schemars::JsonSchema;
use serde::Deserialize;
use sqlx::PgPool;

use crate::{Behaviour, Manual, many_records};

/// Writes the rows of an import, which is the workflow's subject, until none is left.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {}

/// What the reference says of it.
const MANUAL: Manual = Manual {
    outputs: &[],
    example: r#"[[steps]]
id = "rows"
type = "import.rows"
"#,
};

/// The step type.
pub(crate) fn step_type(db: PgPool, behaviour: Behaviour) -> StepType {
    many_records::step_type::<Keys>(
        "import.rows",
        db,
        (behaviour, MANUAL),
        |tx, customer, import| {
            async move {
                let advanced = crm::import::advance(tx, customer, import).await?;
                Ok(advanced.is_some_and(|advanced| advanced.is_left))
            }
            .boxed()
        },
    )
}
