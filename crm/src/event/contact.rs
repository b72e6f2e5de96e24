//! What is told of contacts.

use std::collections::BTreeSet;
use std::ops::Not;

use engine::topic::{Described, Topic};
use schemars::JsonSchema;
use serde::Serialize;

use super::CONTACT;

pub(crate) const CREATED: Topic<Created> = Topic::new("contact.created", 1, "A contact was made.");
pub(crate) const DELETED: Topic<Deleted> = Topic::new(
    "contact.deleted",
    1,
    "A contact was deleted, erased, or became a part of another one by a merge.",
);
pub(crate) const UNSUBSCRIBED: Topic<Unsubscribed> =
    Topic::new("contact.unsubscribed", 1, "A contact wants no more mail.");
pub(crate) const UPDATED: Topic<Updated> = Topic::new(
    "contact.updated",
    1,
    "Fields of a contact changed, it was restored, or another one was merged into it or parted from it.",
);

pub(super) const TOPICS: [Described; 4] =
    [CREATED.describe(), DELETED.describe(), UNSUBSCRIBED.describe(), UPDATED.describe()];

/// The data of [`CREATED`].
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Created {
    /// The contact (`con_…`).
    #[schemars(regex(pattern = CONTACT))]
    pub(crate) contact_id: String,
    /// Where it came from, such as `api` or `import`.
    pub(crate) source: String,
}

/// The data of [`DELETED`].
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Deleted {
    /// The contact (`con_…`).
    #[schemars(regex(pattern = CONTACT))]
    pub(crate) contact_id: String,
    /// The contact of which it became a part (`con_…`); there only after a merge.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = CONTACT))]
    pub(crate) merged_into: Option<String>,
    /// True where all that is personal was erased for good; else it is not there.
    #[serde(skip_serializing_if = "Not::not")]
    pub(crate) erased: bool,
}

impl Deleted {
    /// A contact that can be restored.
    pub(crate) fn of(contact_id: String) -> Self {
        Self { contact_id, merged_into: None, erased: false }
    }
}

/// The data of [`UNSUBSCRIBED`].
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Unsubscribed {
    /// The contact (`con_…`).
    #[schemars(regex(pattern = CONTACT))]
    pub(crate) contact_id: String,
    /// Who unsubscribed the contact, such as `user:usr_…`; not present if the recipient did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(crate) actor: Option<String>,
}

/// The data of [`UPDATED`].
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Updated {
    /// The contact (`con_…`).
    #[schemars(regex(pattern = CONTACT))]
    pub(crate) contact_id: String,
    /// The names of the fields that changed, without their values: `deleted_at` where it was restored, `merged_into`
    /// where it was parted from another one. Not there where another one was merged into it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BTreeSet<String>")]
    pub(crate) changed: Option<BTreeSet<String>>,
    /// Who changed it, such as `api` or `workflow`; there only where its fields were changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(crate) source: Option<String>,
    /// The contact that became a part of it (`con_…`); there only after a merge.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = CONTACT))]
    pub(crate) merged_from: Option<String>,
}

impl Updated {
    /// A contact of which these fields are others, by nobody's wish for them.
    pub(crate) fn of<const COUNT: usize>(contact_id: String, changed: [&str; COUNT]) -> Self {
        let changed = Some(changed.map(str::to_owned).into());
        Self { contact_id, changed, source: None, merged_from: None }
    }
}
