//! Why a document is refused: every problem at once, each with its place and what to write instead.
//!
//! Drawn as rustc draws errors for people, serialized with line and column for the API. Never decides
//! what is a problem.

use std::fmt;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use serde::Serialize;

use super::pointer::{Aim, pointer};
use super::tree::Node;
use crate::work;

/// The most problems that one answer lists; the rest is counted.
const LISTED: usize = 100;
/// The most bytes of a line that are drawn: documents of programs stand on one line.
const DRAWN: usize = 400;

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
    /// The part of the document it is about, as a JSON Pointer (RFC 6901): `/steps/2/when`; empty for the
    /// whole, and where the document can't be read.
    pub pointer: String,
    /// The bytes of the source it is about.
    #[serde(skip)]
    pub span: Range<usize>,
    /// What to write instead.
    pub help: Option<String>,
    /// Whether a name is not known, which another version of SalesOS may know.
    #[serde(skip)]
    pub unknown: bool,
    #[serde(skip)]
    aim: Aim,
}

impl Problem {
    /// A problem at a place; line and column are filled in when the refusal is made.
    pub(super) fn at(span: Range<usize>, message: impl Into<String>) -> Self {
        let (label, message) = (String::new(), message.into());
        let pointer = String::new();
        let (line, column, aim) = (0, 0, Aim::Place);
        Self { message, label, line, column, pointer, span, help: None, unknown: false, aim }
    }

    /// The same of the table or list around the place, where something is missing or that is wrong as a
    /// whole.
    pub(super) fn around(mut self) -> Self {
        self.aim = Aim::Around;
        self
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
    /// How many there are beyond those that are kept.
    more: usize,
}

impl<'s> Findings<'s> {
    /// None yet.
    pub(super) fn new(source: &'s str) -> Self {
        Self { source, problems: Vec::new(), more: 0 }
    }

    /// Notes a problem; one that is known already is not noted twice.
    pub(super) fn add(&mut self, problem: Problem) {
        self.note(|| problem);
    }

    /// The same of a problem whose words take some work: past the bound it is only counted, so that a document
    /// full of mistakes is refused as soon as any other.
    pub(super) fn note(&mut self, problem: impl FnOnce() -> Problem) {
        if self.problems.len() == LISTED {
            self.more += 1;
            return;
        }
        let problem = problem();
        work::count(self.problems.len());
        let known =
            |other: &Problem| other.span == problem.span && other.message == problem.message;
        if !self.problems.iter().any(known) {
            self.problems.push(problem);
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.problems.len() + self.more
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

    /// The place of a part of a text. If an escape or a line break after the quotes shifts it, the part is found by
    /// counting earlier occurrences of the same letters.
    pub(super) fn within(&self, node: &Node, text: &str, inner: &Range<usize>) -> Range<usize> {
        if let Some(start) = self.text_start(node, text) {
            return start + inner.start..start + inner.end;
        }
        let whole = || node.span.clone();
        let (Some(written), Some(part)) = (self.source.get(whole()), text.get(inner.clone()))
        else {
            return whole();
        };
        if part.is_empty() || written.matches(part).count() != text.matches(part).count() {
            return whole();
        }
        let before = text[..inner.start].matches(part).count();
        let found = written.match_indices(part).nth(before);
        found.map_or_else(whole, |(at, _)| node.span.start + at..node.span.start + at + part.len())
    }

    /// Whether further problems are only counted.
    pub(super) fn is_full(&self) -> bool {
        self.problems.len() == LISTED
    }

    /// All of them as the answer; `root` is the document, where it can be read.
    pub(super) fn refusals(self, file: &str, root: Option<&Node>) -> Refusals {
        let Self { source, mut problems, more } = self;
        for problem in &mut problems {
            if let Some(root) = root {
                problem.pointer = pointer(root, &problem.span, problem.aim);
            }
            problem.span = clip(source, &problem.span);
            (problem.line, problem.column) = place(source, problem.span.start);
        }
        problems.sort_by_key(|problem| problem.span.start);
        Refusals { file: file.into(), problems, unlisted: more, source: source.into() }
    }
}

/// Everything that is wrong with a document. Its display is the plain drawing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusals {
    /// The document's file name.
    pub file: String,
    /// The first 100 that were found, in the order of their places.
    pub problems: Vec<Problem>,
    /// How many more there are than listed.
    pub unlisted: usize,
    #[serde(skip)]
    source: String,
}

impl Refusals {
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
        let line = lines(&self.source, &problem.span);
        let part = excerpt(&self.source, &line, problem.span.start);
        work::count(part.len());
        let span = problem.span.start - part.start..problem.span.end.min(part.end) - part.start;
        let annotation = AnnotationKind::Primary.span(span);
        let annotation = if problem.label.is_empty() {
            annotation
        } else {
            annotation.label(problem.label.as_str())
        };
        let snippet = Snippet::source(&self.source[part.clone()])
            .line_start(problem.line)
            .annotation(annotation);
        let title = Level::ERROR.primary_title(problem.message.as_str());
        let mut group = if part == line {
            title.element(snippet.path(self.file.as_str()))
        } else {
            // The excerpt counts columns of its own.
            let origin = Origin::path(self.file.as_str()).line(problem.line);
            title.element(origin.char_column(problem.column)).element(snippet)
        };
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
    let (start, end) = (floor(source, span.start), floor(source, span.end));
    let line_end = source[start..].find('\n').map_or(source.len(), |length| start + length);
    start..end.max(start).min(line_end)
}

/// The line and the column, in characters, of a byte of the source.
fn place(source: &str, at: usize) -> (usize, usize) {
    work::count(at);
    let before = &source[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The line of a span.
fn lines(source: &str, span: &Range<usize>) -> Range<usize> {
    let start = source[..span.start].rfind('\n').map_or(0, |newline| newline + 1);
    let end = source[span.end..].find('\n').map_or(source.len(), |length| span.end + length);
    start..end
}

/// A line, or of a long one the part around a place.
fn excerpt(source: &str, line: &Range<usize>, at: usize) -> Range<usize> {
    if line.len() <= DRAWN {
        return line.clone();
    }
    let start = floor(source, at.saturating_sub(DRAWN / 4).max(line.start));
    start..floor(source, (start + DRAWN).min(line.end)).max(at)
}

/// The nearest place before, where a letter begins.
fn floor(source: &str, at: usize) -> usize {
    (0..=at.min(source.len())).rev().find(|&i| source.is_char_boundary(i)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Findings, Problem};

    #[test]
    fn columns_count_characters_and_a_span_ends_with_its_line() {
        let mut found = Findings::new("ä\n\"ö\" x\nnext");
        found.add(Problem::at(4..19, "wrong"));
        let refusals = found.refusals("a.toml", None);
        assert_eq!((refusals.problems[0].line, refusals.problems[0].column), (2, 2));
        assert_eq!(refusals.problems[0].span, 4..9);
    }

    #[test]
    fn of_a_long_line_the_part_around_the_place_is_drawn_with_its_own_column() {
        let source = format!("{{\"{}\": 1, \"ä\": wrong}}", "x".repeat(1_000));
        let at = source.find("wrong").unwrap_or_default();
        let mut found = Findings::new(&source);
        found.add(Problem::at(at..at + 5, "wrong"));
        let drawn = found.refusals("a.json", None).to_string();
        assert!(drawn.contains("a.json:1:1014"), "{drawn}");
        assert!(drawn.contains("\"ä\": wrong") && drawn.contains("^^^^^"), "{drawn}");
        assert!(drawn.len() < 800, "{drawn}");
    }

    #[test]
    fn what_is_not_listed_is_counted() {
        let source = "x".repeat(200);
        let mut found = Findings::new(&source);
        (0..150).for_each(|i| found.add(Problem::at(i..i, "wrong")));
        let refusals = found.refusals("a.toml", None);
        assert_eq!((refusals.problems.len(), refusals.unlisted), (100, 50));
        assert!(refusals.to_string().ends_with("a.toml: 150 problems, the first 100 shown"));
    }
}
