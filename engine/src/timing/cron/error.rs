//! What is wrong with an expression, where, and what to write instead.

use std::fmt;

use super::unit::Unit;

/// Why an expression can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronError {
    /// Where it stands, in characters from 1; `None` where the whole expression is wrong.
    pub column: Option<usize>,
    /// What is wrong, as a lowercase fragment.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

impl CronError {
    /// Of the expression as a whole.
    pub(super) fn whole(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { column: None, message: message.into(), help: help.into() }
    }

    /// Of what stands in a column.
    pub(super) fn at(column: usize, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { column: Some(column), message: message.into(), help: help.into() }
    }

    /// Six fields begin with seconds; whoever means a year last reads why a weekday is wrong.
    pub(super) fn in_place_of_a_year(mut self, unit: Unit, six: bool) -> Self {
        if six && unit == Unit::DayOfWeek {
            self.help.push_str("; six fields begin with seconds, and a year is the seventh");
        }
        self
    }
}

impl fmt::Display for CronError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.message, self.help)?;
        match self.column {
            Some(column) => write!(f, " (column {column})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for CronError {}
