//! Workflow definitions: what a TOML or JSON document says, read and checked in one go.
//!
//! Owns the document's shape and every refusal of it. Never touches a table; `definition_store` keeps them.

mod model;

pub use model::{Definition, Enroll, OnFailure, Retry, StepDefinition, Template, Timing};

/// A CEL expression that was read and type-checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    source: String,
}

impl Expression {
    /// The expression as the document has it.
    pub fn source(&self) -> &str {
        &self.source
    }
}
