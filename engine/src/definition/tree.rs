//! One spanned tree for documents of either format, so that a single checker reads both.
//!
//! Holds what the source says and where; never judges it. The two readers stand beside it.

use std::ops::Range;

use serde_json::{Map, Number, Value};

/// The byte range of something in the source.
pub(super) type Span = Range<usize>;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) content: Content,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key of a table with its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Span,
    pub(super) node: Node,
}

impl Node {
    /// The text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        if let Content::Text(text) = &self.content { Some(text) } else { None }
    }

    /// The entries, if it is a table.
    pub(super) fn entries(&self) -> Option<&[Entry]> {
        if let Content::Table(entries) = &self.content { Some(entries) } else { None }
    }

    /// The elements, if it is a list.
    pub(super) fn list(&self) -> Option<&[Node]> {
        if let Content::List(list) = &self.content { Some(list) } else { None }
    }

    /// What it is, with its article, as messages say it.
    pub(super) fn kind(&self) -> &'static str {
        match &self.content {
            Content::Null => "null",
            Content::Bool(_) => "true or false",
            Content::Number(_) => "a number",
            Content::Text(_) => "a text",
            Content::List(_) => "a list",
            Content::Table(_) => "a table",
        }
    }

    /// The value without its places. Numbers without a fraction become integers, so that `2` and `2.0`
    /// are the same document.
    pub(super) fn value(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(value) => Value::Bool(*value),
            Content::Number(number) => Value::Number(canonical_number(number)),
            Content::Text(text) => Value::String(text.clone()),
            Content::List(list) => Value::Array(list.iter().map(Node::value).collect()),
            Content::Table(entries) => Value::Object(values(entries)),
        }
    }
}

/// The object of some entries.
pub(super) fn values<'n>(entries: impl IntoIterator<Item = &'n Entry>) -> Map<String, Value> {
    entries.into_iter().map(|entry| (entry.key.clone(), entry.node.value())).collect()
}

/// An entry by its key.
pub(super) fn find<'n>(entries: &'n [Entry], key: &str) -> Option<&'n Entry> {
    entries.iter().find(|entry| entry.key == key)
}

/// The largest integer up to which every integer is a double of its own.
const EXACT: f64 = 9_007_199_254_740_992.0;

fn canonical_number(number: &Number) -> Number {
    match number.as_f64() {
        #[expect(clippy::cast_possible_truncation, reason = "the guard keeps it in range")]
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() <= EXACT => {
            Number::from(float as i64)
        }
        Some(_) | None => number.clone(),
    }
}
