//! What is told of to-dos.

use engine::id;
use engine::topic::{Described, Topic};
use schemars::JsonSchema;
use serde::Serialize;

use super::{ACCOUNT, CONTACT, ENROLLMENT, OPPORTUNITY, TASK};
use crate::activity;

pub(crate) const COMPLETED: Topic<Completed> =
    Topic::new("task.completed", 1, "A person did a task.");
pub(crate) const CREATED: Topic<Created> =
    Topic::new("task.created", 1, "A person or a workflow wants something done.");

pub(super) const TOPICS: [Described; 2] = [COMPLETED.describe(), CREATED.describe()];

/// What a task is about.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct About {
    /// With whom (`con_…`); null where with nobody.
    #[schemars(regex(pattern = CONTACT))]
    contact_id: Option<String>,
    /// At which company (`acc_…`); null where that was not said.
    #[schemars(regex(pattern = ACCOUNT))]
    account_id: Option<String>,
    /// In which deal (`opp_…`); null where in none.
    #[schemars(regex(pattern = OPPORTUNITY))]
    opportunity_id: Option<String>,
}

impl About {
    /// What it is about, by TypeIDs.
    pub(crate) fn of(about: &activity::About) -> Self {
        Self {
            contact_id: about.contact_id.map(|contact| id::show("con", contact)),
            account_id: about.account_id.map(|account| id::show("acc", account)),
            opportunity_id: about.opportunity_id.map(|deal| id::show("opp", deal)),
        }
    }
}

/// The data of [`CREATED`].
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Created {
    /// The task (`tsk_…`).
    #[schemars(regex(pattern = TASK))]
    pub(crate) task_id: String,
    #[serde(flatten)]
    pub(crate) about: About,
    /// What to do.
    pub(crate) title: String,
    /// Names what caused it; the same cause writes one task.
    pub(crate) key: String,
}

/// The data of [`COMPLETED`].
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Completed {
    /// The task (`tsk_…`).
    #[schemars(regex(pattern = TASK))]
    pub(crate) task_id: String,
    #[serde(flatten)]
    pub(crate) about: About,
    /// For which enrollment it was (`enr_…`); null where for none.
    #[schemars(regex(pattern = ENROLLMENT))]
    pub(crate) enrollment_id: Option<String>,
    /// What there was to do.
    pub(crate) title: String,
    /// How it went; null where nobody said.
    pub(crate) outcome: Option<String>,
    /// Who did it, such as `user:usr_…`.
    pub(crate) actor: String,
}
