//! What may be asked of a listing of records: conditions on fields, custom ones included, a search, and an order. Read
//! against the fields that a record has before any statement is made; no statements of its own.

mod read;
mod sql;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

pub use read::{Checked, Refused};
pub(crate) use sql::{push_order, push_where};

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text; compared without case.
    Text,
    /// A mail address; compared without case, and its domain in either spelling.
    Address,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A number.
    Number,
    /// A local date.
    Date,
    /// An instant.
    Instant,
    /// Yes or no; of custom fields alone.
    Flag,
    /// A record, by this prefix of its id.
    Id(&'static str),
    /// Several words, such as tags.
    Words,
}

/// A field of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// As people name it.
    pub name: &'static str,
    /// The expression of it in the listing's statement.
    pub column: &'static str,
    /// What it holds.
    pub kind: Kind,
}

/// Something that a listing may be ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortField {
    /// As people name it.
    pub name: &'static str,
    /// The expression that an index holds; never null.
    pub column: &'static str,
    /// The type that its text is cast to.
    pub cast: &'static str,
}

/// The order of a listing; ids decide between equals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// By what.
    pub by: &'static SortField,
    /// The greatest first.
    pub descending: bool,
}

/// Where a page of a listing begins: after the row of this value and id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct After {
    /// The value that the listing is ordered by, as text.
    pub key: String,
    /// The row.
    pub id: Uuid,
}

/// What is asked of each field: `{"country": {"eq": "DE"}, "custom.seats": {"gte": 10}}`. All of it must hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = RecordFilter)]
pub struct Filter {
    /// Words that the record has, perhaps misspelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// By field (`custom.KEY` for a custom one), by operator (`eq ne in gt gte lt lte contains starts has empty`).
    #[serde(flatten)]
    pub fields: BTreeMap<String, BTreeMap<String, Value>>,
}

impl Filter {
    /// Whether it asks nothing.
    pub fn is_empty(&self) -> bool {
        self.q.is_none() && self.fields.is_empty()
    }
}

/// Reads an order such as `-created_at`.
///
/// # Errors
/// Which there are.
pub fn sort(text: &str, fields: &'static [SortField]) -> Result<Sort, String> {
    let (name, descending) = match text.strip_prefix('-') {
        Some(name) => (name, true),
        None => (text, false),
    };
    let found = fields.iter().find(|field| field.name == name);
    let by = found.ok_or_else(|| {
        let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
        format!("is one of {}, with `-` before it for the greatest first", names.join(", "))
    })?;
    Ok(Sort { by, descending })
}
