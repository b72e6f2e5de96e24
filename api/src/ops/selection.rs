//! The filter of bulk actions: what it may name, and what it refuses. A name that does not exist is refused, so that a
//! misspelled one orders nothing.

use chrono::{DateTime, Utc};
use crm::{contact, sequence};
use engine::definition;
use engine::definition_store::Definitions;
use engine::operation::{self, Names, OPEN_STATES, Selection, Unknown, UnknownName};
use engine::run;
use serde::Deserialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::bulk::Whom;
use crate::input::optional_id;
use crate::problem::Problem;
use crate::tenant::Asker;

/// Which open runs; at least one field.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RunFilter)]
pub(super) struct Filter {
    /// In this state.
    #[schema(value_type = Option<OpenState>)]
    pub(super) state: Option<String>,
    /// Of the sequence of this name; under `/ops` also of another workflow.
    sequence: Option<String>,
    /// At the step of this id.
    step: Option<String>,
    /// Of this contact.
    #[schema(example = "con_01h455vb4pex5vsknk084sn02q")]
    contact_id: Option<String>,
    /// At a step of this type.
    #[schema(example = "email.send")]
    queue: Option<String>,
    /// With a reason that contains this text; a text with `*` must match the whole reason, each `*` matching any
    /// text. Case counts; at most 200 characters.
    #[schema(example = "timeout*")]
    error: Option<String>,
    /// Last changed at this instant or later.
    since: Option<DateTime<Utc>>,
    /// Last changed before this instant.
    until: Option<DateTime<Utc>>,
}

/// The states of open runs.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(
    dead_code,
    reason = "the document shows them; they are read as text, so that a misspelled one gets a hint"
)]
pub(crate) enum OpenState {
    Ready,
    Running,
    Sleeping,
    Waiting,
    Paused,
    Held,
}

impl Filter {
    /// Refuses a filter that names nothing: it would match everything.
    pub(super) fn check(&self) -> Result<(), Problem> {
        let texts =
            [&self.state, &self.sequence, &self.step, &self.contact_id, &self.queue, &self.error];
        if texts.iter().all(|text| text.is_none()) && self.since.is_none() && self.until.is_none() {
            let message = "is empty; name at least one field, such as `sequence`";
            return Err(Problem::invalid("filter", message));
        }
        if let Some(state) = self.state.as_deref().filter(|state| !OPEN_STATES.contains(state)) {
            return Err(Problem::invalid("filter.state", no_state(state, &OPEN_STATES)));
        }
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since >= until
        {
            return Err(Problem::invalid(
                "filter.until",
                "is not after `since`; give a later instant",
            ));
        }
        Ok(())
    }

    /// Reads it against what exists.
    pub(super) async fn selection(
        self,
        tx: &mut PgConnection,
        definitions: &Definitions,
        (asker, whom): (&Asker, Whom),
    ) -> Result<Selection, Problem> {
        self.check()?;
        let subject_id = optional_id("filter.contact_id", "con", self.contact_id.as_deref())?;
        let error = self.error.as_deref().map(run::reason_glob).transpose();
        let reason = error.map_err(|message| Problem::invalid("filter.error", message))?;
        if let (Some(contact_id), Some(customer_id)) = (subject_id, asker.customer_id) {
            let found = contact::find(&mut *tx, customer_id, contact_id).await?;
            found.ok_or_else(|| {
                let id = self.contact_id.as_deref().unwrap_or_default();
                let message = format!("there is no contact {id}; use the id of a contact of yours");
                Problem::invalid("filter.contact_id", message)
            })?;
        }
        if let (Whom::Enrollments, Some(customer_id), Some(name)) =
            (whom, asker.customer_id, self.sequence.as_deref())
        {
            known_sequence(&mut *tx, customer_id, name).await?;
        }
        let names = Names {
            customer_id: asker.customer_id,
            workflow: self.sequence.as_deref(),
            step: self.step.as_deref(),
            queue: self.queue.as_deref(),
        };
        if let Some(unknown) = operation::check_names(tx, definitions.registry(), &names).await? {
            return Err(refuse("filter.", unknown));
        }
        Ok(Selection {
            customer_id: asker.customer_id,
            state: self.state,
            workflow: self.sequence,
            step: self.step,
            queue: self.queue,
            subject_id,
            reason,
            since: self.since,
            until: self.until,
        })
    }
}

/// The message for a state that is none of these.
pub(super) fn no_state(state: &str, known: &[&str]) -> String {
    let help = definition::did_you_mean(state, known.iter().copied());
    format!("there is no state `{state}` here; {help}")
}

/// A name that does not exist, under the field that gave it.
pub(super) fn refuse(within: &str, Unknown { name, message }: Unknown) -> Problem {
    let field = match name {
        UnknownName::Workflow => "sequence",
        UnknownName::Step => "step",
        UnknownName::Queue => "queue",
    };
    Problem::invalid(&format!("{within}{field}"), message)
}

/// Refuses a workflow that is not a sequence, as enrollments are in sequences alone.
async fn known_sequence(
    tx: &mut PgConnection,
    customer_id: Uuid,
    name: &str,
) -> Result<(), Problem> {
    let known = sequence::names(tx, customer_id, name).await?;
    if known.iter().any(|known| known == name) {
        return Ok(());
    }
    let missing = format!("there is no sequence `{name}`");
    Err(refuse("filter.", Unknown::of(UnknownName::Workflow, &missing, name, &known)))
}
