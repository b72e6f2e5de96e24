//! Why a document is refused: every problem at once, each with its place and what to write instead.
//!
//! Drawn as rustc draws errors for people, serialized with line and column for the API. Never decides
//! what is a problem.

use std::fmt;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;

use super::tree::Node;

/// The most problems that one answer lists; the rest is counted.
const LISTED: usize = 100;

/// One thing that is wrong in a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What is wrong, as a lowercase fragment.
    pub message: String,
    /// A word at the place itself; empty where the message says it all.
    #[serde(skip)]
    pub label: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The bytes of the source it is about.
    #[serde(skip)]
    pub span: Range<usize>,
    /// What to write instead.
    pub help: Option<String>,
    /// Whether a name is not known, which another version of SalesOS may know.
    #[serde(skip)]
    pub unknown: bool,
}

impl Problem {
    /// A problem at a place; line and column are filled in when the refusal is made.
    pub(super) fn at(span: Range<usize>, message: impl Into<String>) -> Self {
        let (label, message) = (String::new(), message.into());
        Self { message, label, line: 0, column: 0, span, help: None, unknown: false }
    }

    /// A name that is not known at a place.
    pub(super) fn unknown(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { unknown: true, ..Self::at(span, message) }
    }

    /// A problem in words that came from elsewhere: what follows a semicolon is what to write, else `help` is.
    pub(super) fn told(span: Range<usize>, words: &str, help: impl Into<String>) -> Self {
        match words.split_once("; ") {
            Some((message, help)) => Self::at(span, message).help(help),
            None => Self::at(span, words).help(help),
        }
    }

    /// The same with a word at the place.
    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// The same with what to write instead.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The problems met so far while a document is read.
#[derive(Debug)]
pub(super) struct Findings<'s> {
    source: &'s str,
    problems: Vec<Problem>,
}

impl<'s> Findings<'s> {
    /// None yet.
    pub(super) fn new(source: &'s str) -> Self {
        Self { source, problems: Vec::new() }
    }

    /// Notes a problem; one that is known already is not noted twice.
    pub(super) fn add(&mut self, problem: Problem) {
        let known =
            |other: &Problem| other.span == problem.span && other.message == problem.message;
        // Past the bound only the count matters, and comparing each with all would be slow.
        if self.problems.len() > LISTED || !self.problems.iter().any(known) {
            self.problems.push(problem);
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.problems.len()
    }

    /// Where a text's first letter stands in the source, if the source has the text letter by letter
    /// between one or three quotes.
    pub(super) fn text_start(&self, node: &Node, text: &str) -> Option<usize> {
        let written = self.source.get(node.span.clone())?;
        let quotes = [1, 3].into_iter().find(|&quotes| {
            written.len() == text.len() + 2 * quotes
                && written.get(quotes..).is_some_and(|w| w.starts_with(text))
        })?;
        Some(node.span.start + quotes)
    }

    /// All of them as the answer.
    pub(super) fn refusals(self, file: &str) -> Refusals {
        Refusals::new(file, self.source, self.problems)
    }
}

/// Everything that is wrong with a document. Its display is the plain drawing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusals {
    /// The document's file name.
    pub file: String,
    /// The problems in the order of their places; at most 100.
    pub problems: Vec<Problem>,
    /// How many more there are than listed.
    pub unlisted: usize,
    #[serde(skip)]
    source: String,
}

impl Refusals {
    fn new(file: &str, source: &str, mut problems: Vec<Problem>) -> Self {
        for problem in &mut problems {
            problem.span = clip(source, &problem.span);
            (problem.line, problem.column) = place(source, problem.span.start);
        }
        problems.sort_by_key(|problem| problem.span.start);
        let unlisted = problems.len().saturating_sub(LISTED);
        problems.truncate(LISTED);
        Self { file: file.into(), problems, unlisted, source: source.into() }
    }

    /// Draws the problems with their lines of the source, like rustc; `color` adds the terminal's escapes.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let mut drawn = String::new();
        for problem in &self.problems {
            drawn.push_str(&self.draw(problem, &renderer));
            drawn.push_str("\n\n");
        }
        let count = self.problems.len() + self.unlisted;
        let noun = if count == 1 { "problem" } else { "problems" };
        drawn.push_str(&format!("{}: {count} {noun}", self.file));
        if self.unlisted > 0 {
            drawn.push_str(&format!(", the first {} shown", self.problems.len()));
        }
        drawn
    }

    fn draw(&self, problem: &Problem, renderer: &Renderer) -> String {
        let (start, end) = lines(&self.source, &problem.span);
        let span = problem.span.start - start..problem.span.end - start;
        let annotation = AnnotationKind::Primary.span(span);
        let annotation = if problem.label.is_empty() {
            annotation
        } else {
            annotation.label(problem.label.as_str())
        };
        let snippet = Snippet::source(&self.source[start..end])
            .path(self.file.as_str())
            .line_start(problem.line)
            .annotation(annotation);
        let mut group = Level::ERROR.primary_title(problem.message.as_str()).element(snippet);
        if let Some(help) = &problem.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.render(&[group])
    }
}

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Refusals {}

/// Keeps a span inside the source, on letter boundaries and on its first line.
fn clip(source: &str, span: &Range<usize>) -> Range<usize> {
    let floor = |at: usize| {
        (0..=at.min(source.len())).rev().find(|&i| source.is_char_boundary(i)).unwrap_or(0)
    };
    let (start, end) = (floor(span.start), floor(span.end));
    let line_end = source[start..].find('\n').map_or(source.len(), |length| start + length);
    start..end.max(start).min(line_end)
}

/// The line and the column, in characters, of a byte of the source.
fn place(source: &str, at: usize) -> (usize, usize) {
    let before = &source[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// Where the line of a span begins and ends.
fn lines(source: &str, span: &Range<usize>) -> (usize, usize) {
    let start = source[..span.start].rfind('\n').map_or(0, |newline| newline + 1);
    let end = source[span.end..].find('\n').map_or(source.len(), |length| span.end + length);
    (start, end)
}

#[cfg(test)]
mod tests {
    use super::{Findings, Problem};

    #[test]
    fn columns_count_characters_and_a_span_ends_with_its_line() {
        let mut found = Findings::new("ä\n\"ö\" x\nnext");
        found.add(Problem::at(4..19, "wrong"));
        let refusals = found.refusals("a.toml");
        assert_eq!((refusals.problems[0].line, refusals.problems[0].column), (2, 2));
        assert_eq!(refusals.problems[0].span, 4..9);
    }

    #[test]
    fn what_is_not_listed_is_counted() {
        let source = "x".repeat(200);
        let mut found = Findings::new(&source);
        (0..150).for_each(|i| found.add(Problem::at(i..i, "wrong")));
        let refusals = found.refusals("a.toml");
        assert_eq!((refusals.problems.len(), refusals.unlisted), (100, 50));
        assert!(refusals.to_string().ends_with("a.toml: 150 problems, the first 100 shown"));
    }
}
