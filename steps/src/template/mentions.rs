//! What is found in a text: each variable that it names with what is done with its value, and the conditions that decide
//! whether it is needed.

use std::ops::Range;

use engine::step::{TextName, TextPart, TextProblem, TextRole, TextUse};

/// A variable of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mention {
    pub(super) root: String,
    pub(super) parts: Vec<TextPart>,
    /// Its bytes in the text, with its fallback if that is a variable too.
    pub(super) span: Range<usize>,
    pub(super) place: Place,
    /// The index of the innermost condition around it.
    pub(super) guard: Option<usize>,
    /// Whether it has a fallback that may be missing too; the span then covers both.
    pub(super) with_fallback: bool,
    /// The text's own variable that names it, if that may hold another field's value too.
    pub(super) local: Option<String>,
    /// Whether the text spells it from its root on, not from a variable that it sets.
    pub(super) direct: bool,
    /// What takes the value, if it takes some kinds of value only.
    pub(super) used: Option<TextUse>,
}

/// Where a value is used, from the strictest place to the most lenient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the text, where a missing or empty value would leave a hole.
    Printed,
    /// In a loop, a filter or a computation, where a value is required.
    Read,
    /// In a condition or before a fallback, where it may be missing.
    Free,
    /// In a test whether it is there.
    Asked,
}

/// A condition on which a part of the text depends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Guard {
    pub(super) outer: Option<usize>,
    /// The indices of the mentions in it.
    pub(super) asks: Range<usize>,
}

/// What was found in a text.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) mentions: Vec<Mention>,
    pub(super) guards: Vec<Guard>,
    pub(super) problems: Vec<TextProblem>,
    /// Whether the text sets variables, so that more may depend on them than is known here.
    pub(super) sets: bool,
}

impl Mention {
    /// Whether any part of its path may be missing, and not only the last.
    pub(super) fn is_optional(&self) -> bool {
        let known = |part: &TextPart| !matches!(part, TextPart::Computed);
        matches!(self.place, Place::Free | Place::Asked)
            && self.direct
            && self.parts.len() > 1
            && self.parts.iter().all(known)
    }

    /// The path as people write it, and as minijinja reads it.
    pub(super) fn shown(&self) -> String {
        self.shown_to(self.parts.len())
    }

    /// The path up to so many parts.
    pub(super) fn shown_to(&self, length: usize) -> String {
        self.parts.iter().take(length).fold(self.root.clone(), |shown, part| match part {
            TextPart::Key(key) if is_word(key) => format!("{shown}.{key}"),
            TextPart::Key(key) => format!("{shown}['{key}']"),
            TextPart::Index(index) => format!("{shown}[{index}]"),
            TextPart::Computed => format!("{shown}[…]"),
        })
    }

    /// The names of the path with dots between.
    pub(super) fn dotted(&self) -> String {
        self.parts.iter().fold(self.root.clone(), |dotted, part| match part {
            TextPart::Key(key) => format!("{dotted}.{key}"),
            TextPart::Index(index) => format!("{dotted}.{index}"),
            TextPart::Computed => dotted,
        })
    }

    pub(super) fn name(&self) -> TextName {
        TextName {
            root: self.root.clone(),
            parts: self.parts.clone(),
            span: self.span.clone(),
            role: match self.place {
                Place::Printed => TextRole::Printed,
                Place::Read | Place::Free => TextRole::Read,
                Place::Asked => TextRole::Asked,
            },
            used: self.used.clone(),
        }
    }
}

fn is_word(key: &str) -> bool {
    key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !key.starts_with(|c: char| c.is_ascii_digit())
}
