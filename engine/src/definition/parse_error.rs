//! Puts what a step type refused into the words and the place of the document.
//!
//! A type's own message is a fragment, with `key: ` before it where it is about one key. What serde says
//! by itself (unknown field, missing field, invalid type) is said anew.

use super::own_keys::Step;
use super::references::find_text;
use super::refusals::Problem;
use super::suggest;
use super::tree::{Content, Entry, Node, Span};

/// The problem behind a message of [`crate::step::ParseStep`].
pub(super) fn explain(message: &str, own: &Step<'_>) -> Problem {
    let (entry, message) = about_key(message, own);
    let quoted = quoted(message);
    let at = || entry.map_or_else(|| place(own, &quoted), |entry| entry.node.span.clone());
    let fallback = || match entry {
        Some(entry) => format!("look at `{}` of step `{}`", entry.key, own.id),
        None => format!("look at step `{}`", own.id),
    };
    if message.starts_with("unknown field") {
        let (wrong, known) = split_first(&quoted);
        let at = find_key(own.entries, wrong).map_or_else(at, |entry| entry.key_span.clone());
        let message = format!("step `{}` has no key `{wrong}` here", own.id);
        return Problem::at(at, message).help(suggest::help(wrong, known.iter().copied()));
    }
    if message.starts_with("unknown variant") {
        let (wrong, known) = split_first(&quoted);
        let message = format!("`{wrong}` is none of what can stand here");
        return Problem::at(at(), message).help(suggest::help(wrong, known.iter().copied()));
    }
    if message.starts_with("missing field") {
        let (missing, _) = split_first(&quoted);
        let message = format!("step `{}` has no `{missing}`", own.id);
        return Problem::at(own.head.clone(), message)
            .around()
            .help(format!("add `{missing} = …`"));
    }
    if let Some((given, expected)) = wrong_value(message) {
        let message = format!("here stands {given}, which can't be");
        return Problem::at(at(), message).help(format!("write {expected}"));
    }
    let problem = Problem::told(at(), message, fallback());
    if problem.span == *own.head { problem.around() } else { problem }
}

/// Takes `key: ` from the front of a message where the step has that key.
fn about_key<'a, 'm>(message: &'m str, own: &Step<'a>) -> (Option<&'a Entry>, &'m str) {
    let split = message.split_once(": ");
    let found = split.and_then(|(key, rest)| {
        let key = key.trim_matches('`');
        own.entries.iter().find(|entry| entry.key == key).map(|entry| (entry, rest))
    });
    found.map_or((None, message), |(entry, rest)| (Some(entry), rest))
}

/// What stands between backticks.
fn quoted(message: &str) -> Vec<&str> {
    message.split('`').skip(1).step_by(2).collect()
}

fn split_first<'q>(quoted: &'q [&'q str]) -> (&'q str, &'q [&'q str]) {
    quoted.split_first().map_or(("", &[]), |(first, rest)| (*first, rest))
}

/// The first place that a message names: a key of the step, a text or a number in it.
fn place(own: &Step<'_>, quoted: &[&str]) -> Span {
    let named = quoted.iter().find_map(|word| {
        let key = own.entries.iter().find(|entry| entry.key == *word);
        let text = || own.entries.iter().find_map(|entry| find_text(&entry.node, word));
        let number = || own.entries.iter().find_map(|entry| find_number(&entry.node, word));
        key.map(|entry| &entry.node).or_else(text).or_else(number)
    });
    // A message may quote a part of a text alone, such as its unit.
    let held = || {
        let first = quoted.first().filter(|word| !word.is_empty())?;
        own.entries.iter().filter(|entry| !own.shares(&entry.key)).find_map(|entry| {
            entry.node.text().filter(|text| text.contains(*first)).map(|_| &entry.node)
        })
    };
    let named = named.or_else(held);
    named.map_or_else(|| own.head.clone(), |node| node.span.clone())
}

fn find_number<'n>(node: &'n Node, said: &str) -> Option<&'n Node> {
    match &node.content {
        Content::Number(number) => (number.to_string() == said).then_some(node),
        Content::List(list) => list.iter().find_map(|node| find_number(node, said)),
        Content::Table(entries) => entries.iter().find_map(|entry| find_number(&entry.node, said)),
        Content::Null | Content::Bool(_) | Content::Text(_) => None,
    }
}

fn find_key<'n>(entries: &'n [Entry], key: &str) -> Option<&'n Entry> {
    let direct = entries.iter().find(|entry| entry.key == key);
    direct.or_else(|| entries.iter().find_map(|entry| find_key_within(&entry.node, key)))
}

fn find_key_within<'n>(node: &'n Node, key: &str) -> Option<&'n Entry> {
    match &node.content {
        Content::Table(entries) => find_key(entries, key),
        Content::List(list) => list.iter().find_map(|node| find_key_within(node, key)),
        Content::Null | Content::Bool(_) | Content::Number(_) | Content::Text(_) => None,
    }
}

/// What serde found and wanted, in plain words.
fn wrong_value(message: &str) -> Option<(String, String)> {
    let kinds = ["invalid type: ", "invalid value: ", "invalid length "];
    let rest = kinds.iter().find_map(|kind| message.strip_prefix(kind))?;
    let (given, expected) = rest.split_once(", expected ")?;
    Some((plain(given), plain(expected)))
}

fn plain(words: &str) -> String {
    const WORDS: [(&str, &str); 10] = [
        ("floating point", "the number"),
        ("integer", "the number"),
        ("string", "the text"),
        ("boolean", "the value"),
        ("sequence", "a list"),
        ("a the text", "a text"),
        ("a the number", "a number"),
        ("a the value", "true or false"),
        ("map", "a table"),
        ("a a ", "a "),
    ];
    WORDS.iter().fold(words.to_owned(), |text, (serde, plain)| text.replace(serde, plain))
}
