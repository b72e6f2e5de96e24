//! Workflow definitions: what a TOML or JSON document says, read and checked in one go.
//!
//! Owns the document's shape and every refusal of it. Never touches a table; `definition_store` keeps them.
//! The way of a document: `read_toml` or `read_json` make one spanned tree, `check` and its neighbours walk
//! it and note every problem, and a [`Definition`] comes out only when there is none.

mod canonical;
mod check;
mod check_scenarios;
mod check_steps;
mod check_timing;
mod cost;
mod expression;
mod given;
mod graph;
mod keys;
mod manual;
mod migrate;
mod model;
mod own_keys;
mod own_names;
mod parse_error;
mod path;
mod pointer;
mod read_json;
mod read_toml;
mod references;
mod refusals;
mod rewrite;
mod scenario;
mod schema;
mod shape;
mod suggest;
mod texts;
mod tree;
mod type_check;
mod type_comparison;
mod type_names;

use serde_json::Value;

pub use expression::Expression;
pub use manual::manual;
pub use migrate::HASH_DIGITS;
pub use model::{
    Definition, Destination, Enroll, Migrate, OnFailure, Origin, Retry, StepDefinition, Template,
    Timing,
};
pub use refusals::{Problem, Refusals};
pub use scenario::{Event, Expectation, Expected, Happening, Moment, Scenario};
pub use schema::schema;
pub use suggest::help as did_you_mean;

use crate::step::Registry;
use refusals::Findings;

/// The largest document, in bytes.
pub const SOURCE_BYTES: usize = 256 * 1024;

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// TOML, as in files.
    Toml,
    /// JSON, as through the API.
    Json,
}

/// The fields that a customer adds to its subjects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnFields {
    /// The field that holds them, such as `custom`.
    pub field: &'static str,
    /// Their keys.
    pub keys: Vec<String>,
}

/// What a document is read with.
#[derive(Clone, Copy)]
struct Reading<'a> {
    registry: &'a Registry,
    provenance: Provenance<'a>,
}

/// Where a document comes from.
#[derive(Clone, Copy)]
enum Provenance<'a> {
    /// A person gave it, with the customer's own fields if they are known: all of it is checked.
    Given(Option<&'a OwnFields>),
    /// It was stored: whatever an older version accepted still loads.
    Stored,
}

/// Reads and checks a document; `file` is the name that messages carry.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn read(
    file: &str,
    source: &str,
    format: Format,
    registry: &Registry,
) -> Result<Definition, Refusals> {
    read_for(file, source, format, registry, None)
}

/// The same for a customer: texts, conditions and dates may name no own fields but the customer's, if those are known.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn read_for(
    file: &str,
    source: &str,
    format: Format,
    registry: &Registry,
    own: Option<&OwnFields>,
) -> Result<Definition, Refusals> {
    if source.len() > SOURCE_BYTES {
        let mut found = Findings::new("");
        let kib = source.len().div_ceil(1024);
        let message = format!("this document has {kib} KiB; 256 KiB is the most");
        found.add(Problem::at(0..0, message).help("take long texts out, or split the sequence"));
        return Err(found.refusals(file, None));
    }
    let provenance = Provenance::Given(own);
    read_bounded(file, source, format, Reading { registry, provenance })
}

/// Reads a canonical document back, as it was stored. Checks that only new documents must pass, such as the names in
/// texts, are left out: whatever an older version accepted keeps running.
///
/// # Errors
/// What is wrong with it by the registry of now, such as a step type that is gone.
pub fn from_document(document: &Value, registry: &Registry) -> Result<Definition, Refusals> {
    let name = document["name"].as_str().unwrap_or("definition");
    // Indented only so that a refusal shows lines; the bound held when the document came in.
    let reading = Reading { registry, provenance: Provenance::Stored };
    read_bounded(name, &format!("{document:#}"), Format::Json, reading)
}

fn read_bounded(
    file: &str,
    source: &str,
    format: Format,
    reading: Reading<'_>,
) -> Result<Definition, Refusals> {
    let mut found = Findings::new(source);
    let root = match format {
        Format::Toml => read_toml::read(source, &mut found),
        Format::Json => read_json::read(source, &mut found),
    };
    let definition = root.as_ref().and_then(|root| check::document(root, reading, &mut found));
    match (definition, root) {
        (Some(mut definition), Some(root)) => {
            definition.document = canonical::document(root.value());
            definition.hash = canonical::hash(&definition.document);
            Ok(definition)
        }
        (_, root) => Err(found.refusals(file, root.as_ref())),
    }
}

/// The first digits of a content hash, by which people name a version.
pub fn short_hash(hash: &[u8]) -> String {
    hash.iter().take(HASH_DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
}
#[cfg(test)]
mod hostile_tests;

impl Definition {
    /// The document in its canonical form, equal for every way of writing it.
    pub fn canonical(&self) -> &Value {
        &self.document
    }

    /// The SHA-256 of the canonical form: equal exactly when the documents say the same.
    pub fn content_hash(&self) -> [u8; 32] {
        self.hash
    }

    /// The first digits of the hash, by which people name a version.
    pub fn short_hash(&self) -> String {
        short_hash(&self.hash)
    }

    /// Where a step stands, by its id.
    pub fn index_of(&self, step_id: &str) -> Option<usize> {
        self.steps.iter().position(|step| step.id == step_id)
    }
}
