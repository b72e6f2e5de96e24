//! Reads TOML into the spanned tree. Knows the syntax only; never judges what keys mean.

use serde_json::Number;
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::refusals::{Findings, Problem};
use super::tree::{Content, Entry, Node};

/// Quotes as word processors write them.
const CURLY: [char; 4] = ['\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}'];

/// Reads a document; `None` where the syntax is so broken that checking it would only mislead.
pub(super) fn read(source: &str, found: &mut Findings<'_>) -> Option<Node> {
    let (table, errors) = DeTable::parse_recoverable(source);
    if errors.is_empty() {
        let mut node = Node { span: 0..0, content: entries(table.get_ref(), found) };
        node.span = 0..source.len().min(1);
        return Some(node);
    }
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let (message, help) = explain(error.message(), source, span.start);
        found.add(Problem::at(span, message).help(help));
    }
    None
}

/// Says what a message of the parser means to someone who writes a sequence.
fn explain(message: &str, source: &str, at: usize) -> (String, String) {
    let line_start = source[..floor(source, at)].rfind('\n').map_or(0, |newline| newline + 1);
    let line = source[line_start..].lines().next().unwrap_or_default();
    let key = line.split('=').next().unwrap_or_default().trim();
    if message.contains("duplicate key") {
        let message = "this key stands here twice".to_owned();
        return (message, "keep one of the two; a second step begins with `[[steps]]`".into());
    }
    if line.contains('=') && message.contains("string values must be quoted") {
        let text = line.split_once('=').map_or("…", |(_, text)| text.trim());
        let straight = text.trim_matches(CURLY);
        if straight != text {
            let message = format!("the text after `{key} =` stands in curly quotes");
            return (message, format!("write straight ones: `{key} = \"{straight}\"`"));
        }
        let message = format!("the text after `{key} =` needs quotes");
        return (message, format!("write `{key} = \"{text}\"`"));
    }
    if let Some((key, value)) = line.split_once(':').filter(|_| !line.contains('=')) {
        let (key, value) = (key.trim(), value.trim());
        let help = format!("write `=` for the colon: `{key} = {value}`");
        return (format!("this is no TOML: {message}"), help);
    }
    let help = "a line is `key = value`; texts stand in double quotes, lists in [ ]".into();
    (format!("this is no TOML: {message}"), help)
}

fn floor(source: &str, at: usize) -> usize {
    (0..=at.min(source.len())).rev().find(|&i| source.is_char_boundary(i)).unwrap_or(0)
}

fn entries(table: &DeTable<'_>, found: &mut Findings<'_>) -> Content {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            key_span: key.span(),
            node: node(value, found),
        })
        .collect();
    entries.sort_by_key(|entry| entry.key_span.start);
    Content::Table(entries)
}

fn node(value: &Spanned<DeValue<'_>>, found: &mut Findings<'_>) -> Node {
    let span = value.span();
    let content = match value.get_ref() {
        DeValue::String(text) => Content::Text(text.to_string()),
        DeValue::Integer(integer) => number(integer_value(integer), &span, found),
        DeValue::Float(float) => {
            number(float.as_str().parse().ok().and_then(Number::from_f64), &span, found)
        }
        DeValue::Boolean(value) => Content::Bool(*value),
        DeValue::Datetime(instant) => Content::Text(instant.to_string()),
        DeValue::Array(list) => {
            Content::List(list.iter().map(|value| node(value, found)).collect())
        }
        DeValue::Table(table) => entries(table, found),
    };
    Node { span, content }
}

fn integer_value(integer: &DeInteger<'_>) -> Option<Number> {
    i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(Number::from)
}

fn number(
    number: Option<Number>,
    span: &std::ops::Range<usize>,
    found: &mut Findings<'_>,
) -> Content {
    number.map_or_else(
        || {
            found.add(
                Problem::at(span.clone(), "this number is too large or infinite")
                    .help("write a number of at most 18 digits"),
            );
            Content::Null
        },
        Content::Number,
    )
}
