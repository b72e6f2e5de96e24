//! Reads typed values out of tables, and says in plain words what a wrong one should have been.
//!
//! Knows no key by name; what keys a document has is the checkers' affair.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::refusals::{Findings, Problem};
use super::suggest;
use super::tree::{Content, Entry, Node, Span};
use crate::timing;

/// Refuses every key that is not known; `place` is what takes the keys, as in "a sequence".
pub(super) fn refuse_unknown<'n>(
    entries: impl IntoIterator<Item = &'n Entry>,
    known: &[&str],
    place: &str,
    found: &mut Findings<'_>,
) {
    for entry in entries.into_iter().filter(|entry| !known.contains(&entry.key.as_str())) {
        found.note(|| {
            let message = format!("{place} has no key `{}`", entry.key);
            let help = match suggest::nearest(&entry.key, known.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("remove it; {place} takes {}", suggest::one_of(known)),
            };
            Problem::unknown(entry.key_span.clone(), message).help(help)
        });
    }
}

/// Whether one of the unknown keys is near to this one, so that its absence is told by that already.
pub(super) fn misspelled<'n>(
    entries: impl IntoIterator<Item = &'n Entry>,
    key: &str,
    known: impl Fn(&str) -> bool,
) -> bool {
    let mut unknown = entries.into_iter().filter(|entry| !known(&entry.key));
    unknown.any(|entry| suggest::nearest(&entry.key, [key]).is_some())
}

/// Notes that a value is of the wrong kind.
pub(super) fn refuse_kind(
    name: &str,
    node: &Node,
    wanted: &str,
    example: &str,
    found: &mut Findings<'_>,
) {
    let message = format!("`{name}` is {wanted}, but here stands {}", node.kind());
    found.add(Problem::at(node.span.clone(), message).help(format!("write {example}")));
}

/// The entries of a table.
pub(super) fn table<'n>(
    entry: &'n Entry,
    example: &str,
    found: &mut Findings<'_>,
) -> Option<&'n [Entry]> {
    let entries = entry.node.entries();
    if entries.is_none() {
        refuse_kind(&entry.key, &entry.node, "a table", example, found);
    }
    entries
}

/// A text that is not empty.
pub(super) fn text<'n>(
    entry: &'n Entry,
    example: &str,
    found: &mut Findings<'_>,
) -> Option<&'n str> {
    match entry.node.text() {
        Some(text) if !text.trim().is_empty() => Some(text),
        Some(_) => {
            let problem = Problem::at(entry.node.span.clone(), format!("`{}` is empty", entry.key));
            found.add(problem.help(format!("write {example}, or remove the key")));
            None
        }
        None => {
            refuse_kind(&entry.key, &entry.node, "a text", example, found);
            None
        }
    }
}

/// Texts with their places.
pub(super) fn texts<'n>(
    entry: &'n Entry,
    example: &str,
    found: &mut Findings<'_>,
) -> Vec<(&'n str, &'n Span)> {
    let Some(list) = entry.node.list() else {
        refuse_kind(&entry.key, &entry.node, "a list of texts", example, found);
        return Vec::new();
    };
    let mut texts = Vec::with_capacity(list.len());
    for node in list {
        match node.text() {
            Some(text) => texts.push((text, &node.span)),
            None => refuse_kind(&entry.key, node, "a list of texts", example, found),
        }
    }
    texts
}

/// True or false.
pub(super) fn truth(entry: &Entry, found: &mut Findings<'_>) -> Option<bool> {
    if let Content::Bool(value) = entry.node.content {
        return Some(value);
    }
    let example = format!("`{} = true` or `{} = false`, without quotes", entry.key, entry.key);
    refuse_kind(&entry.key, &entry.node, "true or false", &example, found);
    None
}

/// A number within bounds.
pub(super) fn number(
    entry: &Entry,
    bounds: RangeInclusive<f64>,
    example: &str,
    found: &mut Findings<'_>,
) -> Option<f64> {
    let Content::Number(number) = &entry.node.content else {
        let example = format!("{example}, without quotes");
        refuse_kind(&entry.key, &entry.node, "a number", &example, found);
        return None;
    };
    let number = number.as_f64().filter(|number| bounds.contains(number));
    if number.is_none() {
        let (least, most) = (bounds.start(), bounds.end());
        let message = format!("`{}` lies between {least} and {most}", entry.key);
        let problem = Problem::at(entry.node.span.clone(), message);
        found.add(problem.help(format!("write {example}")));
    }
    number
}

/// A duration such as `30s` or `2 hours`.
pub(super) fn duration(entry: &Entry, example: &str, found: &mut Findings<'_>) -> Option<Duration> {
    let text = text(entry, example, found)?;
    timing::duration(text)
        .map_err(|words| {
            let help = format!("write {example}");
            found.add(Problem::told(entry.node.span.clone(), &words, help));
        })
        .ok()
}
