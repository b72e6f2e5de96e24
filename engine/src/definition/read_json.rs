//! Reads JSON into the spanned tree. Strict JSON: no comments, no trailing commas, no key twice.

use std::collections::HashSet;

use jsonc_parser::ast::{Object, ObjectPropName, Value};
use jsonc_parser::common::{Range, Ranged};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde_json::Number;

use super::refusals::{Findings, Problem};
use super::tree::{Content, Entry, Node, Span};

/// How deep lists and tables may stand in each other; a document needs five.
const DEPTH: usize = 32;

/// Reads a document; `None` where its syntax is broken.
pub(super) fn read(source: &str, found: &mut Findings<'_>) -> Option<Node> {
    if let Some(at) = too_deep(source) {
        found.add(
            Problem::at(at..at + 1, format!("this is nested more than {DEPTH} deep"))
                .help("a sequence never needs that; take the inner part out"),
        );
        return None;
    }
    let strict = ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    match parse_to_ast(source, &CollectOptions::default(), &strict) {
        Ok(parsed) => match parsed.value {
            Some(value) => Some(node(&value, found)),
            None => {
                found.add(Problem::at(0..0, "the document is empty").help("write `{ … }`"));
                None
            }
        },
        Err(error) => {
            let message = error.kind().to_string();
            let message = format!("this is no JSON: {}", lowercase_first(&message));
            let help = "keys and texts stand in double quotes, with commas between entries";
            found.add(Problem::at(span(error.range()), message).help(help));
            None
        }
    }
}

fn lowercase_first(message: &str) -> String {
    let mut letters = message.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// Where brackets outside of texts first stand deeper than allowed. Looked for beforehand, because the
/// parser recurses.
fn too_deep(source: &str) -> Option<usize> {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, byte) in source.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => depth += 1,
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH {
            return Some(at);
        }
    }
    None
}

fn span(range: Range) -> Span {
    range.start..range.end
}

fn node(value: &Value<'_>, found: &mut Findings<'_>) -> Node {
    let span = span(value.range());
    let content = match value {
        Value::StringLit(text) => Content::Text(text.value.to_string()),
        Value::NumberLit(literal) => number(literal.value, &span, found),
        Value::BooleanLit(literal) => Content::Bool(literal.value),
        Value::Object(object) => Content::Table(entries(object, found)),
        Value::Array(list) => {
            Content::List(list.elements.iter().map(|value| node(value, found)).collect())
        }
        Value::NullKeyword(_) => Content::Null,
    };
    Node { span, content }
}

fn number(literal: &str, span: &Span, found: &mut Findings<'_>) -> Content {
    match literal.parse::<Number>() {
        Ok(number) => Content::Number(number),
        Err(_) => {
            let problem = Problem::at(span.clone(), "this number is too large");
            found.add(problem.help("write a number of at most 18 digits"));
            Content::Null
        }
    }
}

fn entries(object: &Object<'_>, found: &mut Findings<'_>) -> Vec<Entry> {
    let mut seen = HashSet::new();
    let mut entries = Vec::with_capacity(object.properties.len());
    for property in &object.properties {
        let key_span = match &property.name {
            ObjectPropName::String(name) => span(name.range),
            ObjectPropName::Word(name) => span(name.range),
        };
        let key = property.name.as_str().to_owned();
        if !seen.insert(key.clone()) {
            let message = format!("the key `{key}` stands here twice");
            found.add(Problem::at(key_span, message).help("keep one of the two"));
            continue;
        }
        entries.push(Entry { key, key_span, node: node(&property.value, found) });
    }
    entries
}
