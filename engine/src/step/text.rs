//! What the registry's reader of texts finds in one: the names, what takes their values, and what can't work.

use std::ops::Range;

/// Reads what a text names. Only texts whose syntax was found right are read.
pub type ReadText = fn(&str) -> TextReading;

/// What a text names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextReading {
    /// The variables, those that the text sets itself left out.
    pub names: Vec<TextName>,
    /// What can't work whatever the variables hold.
    pub problems: Vec<TextProblem>,
    /// Whether the text is empty whatever the variables hold.
    pub blank: bool,
}

/// A variable that a text reads, with what it selects from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextName {
    /// The variable, such as `contact`.
    pub root: String,
    /// What is selected from it.
    pub parts: Vec<TextPart>,
    /// Its bytes in the text.
    pub span: Range<usize>,
    /// What is done with the value.
    pub role: TextRole,
    /// What takes the value, if it takes some kinds of value only.
    pub used: Option<TextUse>,
}

/// One selection, as in `contact.title` and `contact.tags[0]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextPart {
    /// By a name.
    Key(String),
    /// By a number.
    Index(i64),
    /// By what is known only when the text is filled in.
    Computed,
}

/// What a text does with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextRole {
    /// It becomes part of the text, so it must be a value of its own.
    Printed,
    /// It is compared, looped over or handed to a filter.
    Read,
    /// It is asked whether it is there.
    Asked,
}

/// A filter, an operator or a tag that takes some kinds of value only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextUse {
    /// Its name at the start of a message, such as "the filter `round`".
    pub by: String,
    /// The kinds that it takes.
    pub takes: &'static [TextKind],
}

/// A kind of value in texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextKind {
    /// A text; dates are texts as well.
    Text,
    /// A number.
    Number,
    /// True or false.
    Bool,
    /// A list.
    List,
    /// Values by name.
    Table,
}

impl TextKind {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Number => "a number",
            Self::Bool => "true or false",
            Self::List => "a list",
            Self::Table => "a table",
        }
    }
}

impl TextUse {
    /// The message for a value of another kind, and what to write; `value` is its name in the message.
    pub fn refusal(&self, value: &str, kind: &str) -> (String, String) {
        // True and false count as numbers, which is not worth a word.
        let number = self.takes.contains(&TextKind::Number);
        let kinds = self.takes.iter().filter(|kind| !number || **kind != TextKind::Bool);
        let names: Vec<&str> = kinds.map(|kind| kind.name()).collect();
        let wanted = match names.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, before)) => format!("{} or {last}", before.join(", ")),
            None => "nothing".into(),
        };
        let message = format!("{} takes {wanted}, but {value} is {kind}", self.by);
        let items = kind == TextKind::Table.name() && self.takes.contains(&TextKind::List);
        let name = value.strip_prefix('`').and_then(|value| value.strip_suffix('`'));
        let help = match name.filter(|_| items) {
            Some(name) => format!("write `{name} | items`"),
            None => format!("give it {wanted}"),
        };
        (message, help)
    }
}

/// What can't work in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextProblem {
    /// Its bytes in the text.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// The name that is not known, and those that are; a near one is suggested.
    pub unknown: Option<(String, Vec<&'static str>)>,
    /// What to write if nothing is near.
    pub help: String,
}
