//! What is told of companies.

use std::collections::BTreeSet;

use engine::id;
use engine::topic::{Described, Topic};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::ACCOUNT;

pub(crate) const CREATED: Topic<Created> =
    Topic::new("account.created", 1, "An account was made, by a person or as a contact's company.");
pub(crate) const DELETED: Topic<Deleted> =
    Topic::new("account.deleted", 1, "An account was deleted; it can be restored.");
pub(crate) const UPDATED: Topic<Updated> =
    Topic::new("account.updated", 1, "Fields of an account changed, or it was restored.");

pub(super) const TOPICS: [Described; 3] =
    [CREATED.describe(), DELETED.describe(), UPDATED.describe()];

/// Which account it is about.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Account {
    /// The same as `account_id`.
    #[schemars(regex(pattern = ACCOUNT))]
    id: String,
    /// The account (`acc_…`).
    #[schemars(regex(pattern = ACCOUNT))]
    account_id: String,
}

impl Account {
    /// The account of an id.
    pub(crate) fn of(id: Uuid) -> Self {
        Self { id: id::show("acc", id), account_id: id::show("acc", id) }
    }
}

/// The data of [`CREATED`].
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Created {
    #[serde(flatten)]
    pub(crate) account: Account,
    /// The account's name.
    pub(crate) name: String,
}

/// The data of [`DELETED`].
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Deleted {
    #[serde(flatten)]
    pub(crate) account: Account,
}

/// The data of [`UPDATED`].
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Updated {
    #[serde(flatten)]
    pub(crate) account: Account,
    /// The names of the fields that changed, without their values; `deleted_at` where it was restored.
    pub(crate) changed: BTreeSet<String>,
}
