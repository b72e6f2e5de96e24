//! Names in a filter that do not exist: a misspelled one is refused instead of ordering an operation over nothing.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::definition;
use crate::definition_store;
use crate::step::Registry;

/// The names that a filter gives.
#[derive(Debug, Clone, Copy, Default)]
pub struct Names<'a> {
    /// Whose they are; of any customer if not given.
    pub customer_id: Option<Uuid>,
    /// A workflow.
    pub workflow: Option<&'a str>,
    /// A step, of that workflow if one is named.
    pub step: Option<&'a str>,
    /// A queue, which is a step type.
    pub queue: Option<&'a str>,
}

/// Which kind of name does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownName {
    /// A workflow.
    Workflow,
    /// A step.
    Step,
    /// A queue.
    Queue,
}

/// A name that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// Which kind of name.
    pub name: UnknownName,
    /// What does not exist, with the name that was probably meant.
    pub message: String,
}

impl Unknown {
    /// Of a name among those that exist.
    pub fn of(name: UnknownName, missing: &str, given: &str, known: &[String]) -> Self {
        let help = definition::did_you_mean(given, known.iter().map(String::as_str));
        Self { name, message: format!("{missing}; {help}") }
    }
}

/// Checks that the names in a filter exist; gives the first that does not.
///
/// # Errors
/// Returns what the statements returned.
pub async fn check_names(
    tx: &mut PgConnection,
    registry: &Registry,
    names: &Names<'_>,
) -> Result<Option<Unknown>, sqlx::Error> {
    let customer_id = names.customer_id;
    if let Some(workflow) = names.workflow {
        let known = definition_store::names(&mut *tx, customer_id, workflow).await?;
        if !known.iter().any(|name| name == workflow) {
            let missing = format!("there is no sequence `{workflow}`");
            return Ok(Some(Unknown::of(UnknownName::Workflow, &missing, workflow, &known)));
        }
    }
    if let Some(step) = names.step {
        let of = (customer_id, names.workflow);
        let known = definition_store::step_names(&mut *tx, of, step).await?;
        if !known.iter().any(|name| name == step) {
            let missing = match names.workflow {
                Some(workflow) => format!("sequence `{workflow}` has no step `{step}`"),
                None => format!("no sequence has a step `{step}`"),
            };
            return Ok(Some(Unknown::of(UnknownName::Step, &missing, step, &known)));
        }
    }
    let Some(queue) = names.queue else { return Ok(None) };
    if registry.step_type(queue).is_some() {
        return Ok(None);
    }
    // Also those of a newer version of SalesOS that works on the same database.
    let mut known = definition_store::step_types(tx, customer_id, queue).await?;
    if known.iter().any(|name| name == queue) {
        return Ok(None);
    }
    known.extend(registry.step_names().map(str::to_owned));
    let missing = format!("there is no queue `{queue}`");
    Ok(Some(Unknown::of(UnknownName::Queue, &missing, queue, &known)))
}
