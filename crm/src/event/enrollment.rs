//! What is told of enrollments, also by the `event.publish` steps of their workflows.

use std::borrow::Cow;

use engine::id;
use engine::outbox::NewEvent;
use engine::topic::{Described, Topic};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{CONTACT, ENROLLMENT, SEQUENCE};

pub(crate) const COMPLETED: Topic<Changed> =
    Topic::new("enrollment.completed", 1, "An enrollment came to the end of its sequence.");
pub(crate) const CREATED: Topic<Enrollment> =
    Topic::new("enrollment.created", 1, "A contact was enrolled in a sequence.");
pub(crate) const EXITED: Topic<Changed> = Topic::new(
    "enrollment.exited",
    1,
    "An enrollment ended before the end of its sequence: by a step, a signal, or a person.",
);
pub(crate) const HELD: Topic<Changed> =
    Topic::new("enrollment.held", 1, "An enrollment can't go on by itself and waits for a person.");
pub(crate) const PAUSED: Topic<Changed> =
    Topic::new("enrollment.paused", 1, "An enrollment was paused.");
pub(crate) const RESUMED: Topic<Changed> =
    Topic::new("enrollment.resumed", 1, "An enrollment that was paused or held goes on.");
pub(crate) const STEP_COMPLETED: Topic<Changed> =
    Topic::new("enrollment.step_completed", 1, "A step of an enrollment is done.");

/// What [`publish`] tells; the topic's name is that of the schema alone.
pub(crate) const PUBLISHED: Topic<Published> = Topic::new(
    "published",
    1,
    "A step `event.publish` of a workflow told it, under a topic of the workflow's own.",
);

pub(super) const TOPICS: [Described; 7] = [
    COMPLETED.describe(),
    CREATED.describe(),
    EXITED.describe(),
    HELD.describe(),
    PAUSED.describe(),
    RESUMED.describe(),
    STEP_COMPLETED.describe(),
];

/// The data of [`CREATED`], and what all events of enrollments tell.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Enrollment {
    /// The enrollment (`enr_…`).
    #[schemars(regex(pattern = ENROLLMENT))]
    enrollment_id: String,
    /// Who is enrolled (`con_…`).
    #[schemars(regex(pattern = CONTACT))]
    contact_id: String,
    /// In which sequence (`seq_…`).
    #[schemars(regex(pattern = SEQUENCE))]
    sequence_id: String,
}

impl Enrollment {
    /// The enrollment of a contact in a sequence.
    pub(crate) fn of(enrollment_id: Uuid, contact_id: Uuid, sequence_id: Uuid) -> Self {
        Self {
            enrollment_id: id::show("enr", enrollment_id),
            contact_id: id::show("con", contact_id),
            sequence_id: id::show("seq", sequence_id),
        }
    }

    /// The enrollment's TypeID, the key of its events.
    pub(crate) fn key(&self) -> String {
        self.enrollment_id.clone()
    }
}

/// The data of all topics that tell what became of an enrollment.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Changed {
    #[serde(flatten)]
    pub(crate) enrollment: Enrollment,
    #[serde(flatten)]
    pub(crate) change: Change,
}

/// What became of an enrollment, and by whom.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Change {
    /// The id of the step at which it stood; not there where a person acted on it by id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(crate) step: Option<String>,
    /// Why; null where there is nothing to say.
    pub(crate) reason: Option<String>,
    /// Who did it (`user:usr_…`, or a schedule); there only where a person acted on it by id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(crate) actor: Option<String>,
}

/// The data of [`PUBLISHED`].
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Published {
    #[serde(flatten)]
    enrollment: Enrollment,
    /// What the step tells, by name.
    #[schemars(with = "Map<String, Value>")]
    data: Value,
}

/// What an `event.publish` step tells of an enrollment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Publishing {
    /// The workflow's own topic.
    pub(crate) topic: String,
    /// The schema that it names.
    pub(crate) schema: String,
    /// What it tells.
    pub(crate) data: Value,
}

/// An event under a topic of a workflow's own.
pub(crate) fn publish(
    customer_id: Uuid,
    sequence: i64,
    enrollment: Enrollment,
    publishing: &Publishing,
) -> NewEvent {
    let Publishing { topic, schema, data } = publishing.clone();
    let key = enrollment.key();
    let event = PUBLISHED.event(customer_id, key, sequence, &Published { enrollment, data });
    NewEvent { topic: Cow::Owned(topic), schema, ..event }
}
