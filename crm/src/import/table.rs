//! The header and the rows of a file, each with its line. What is not a table is refused as a whole.

use std::borrow::Cow;
use std::collections::HashSet;

use super::decode::{self, Table};
use super::{ImportError, MAX_ROWS, header};

/// The most columns.
const MAX_COLUMNS: usize = 200;
/// The longest cell, in bytes; a longer one is a table within a quote.
const MAX_CELL: usize = 64 * 1024;
/// The longest name of a column, in bytes; surveys have whole questions.
const MAX_NAME: usize = 4 * 1024;

/// A row with the line on which it begins.
pub(super) type Row = (u64, Vec<String>);

/// The header and the rows of a table. `known` are the words by which headers are known here alone.
pub(super) fn read(
    table: &Table<'_>,
    known: &HashSet<String>,
) -> Result<(Vec<String>, Vec<Row>), ImportError> {
    if let Some(line) = decode::open_quote(table) {
        return Err(ImportError::OpenQuote { line });
    }
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(table.delimiter)
        .flexible(true)
        .has_headers(false)
        .from_reader(table.text.as_bytes());
    let mut rows: Vec<Row> = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| unreadable(&error, table.before))?;
        if record.iter().all(|cell| clean(cell).is_empty()) {
            continue;
        }
        if rows.len() as u64 > MAX_ROWS {
            return Err(ImportError::TooLarge);
        }
        let line = table.before + line_of(table.text, record.position());
        rows.push((line, record.iter().map(|cell| unguarded(&clean(cell)).to_owned()).collect()));
    }
    let at = header::find(&rows, known)?;
    let mut rest = rows.split_off(rows.len().min(at + 1));
    rest.shrink_to_fit();
    let (line, header) = rows.pop().unwrap_or_default();
    check(line, &header, MAX_NAME, &[])?;
    let header = names(header)?;
    for (line, cells) in &rest {
        check(*line, cells, MAX_CELL, &header)?;
    }
    Ok((header, rest))
}

/// A cell without blanks around it, and without the invisible characters that are copied along with text.
pub(super) fn clean(cell: &str) -> Cow<'_, str> {
    let cell = cell.trim();
    if cell.is_ascii() {
        return Cow::Borrowed(cell);
    }
    let seen = |letter: char| match letter {
        '\u{ad}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2060}' | '\u{feff}' => None,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => None,
        '\u{a0}' | '\u{2007}' | '\u{202f}' => Some(' '),
        other => Some(other),
    };
    // These join letters within the words of some scripts, but mean nothing around them.
    let is_around =
        |letter: char| letter.is_whitespace() || matches!(letter, '\u{200c}' | '\u{200d}');
    let text: String = cell.chars().filter_map(seen).collect();
    Cow::Owned(text.trim_matches(is_around).to_owned())
}

/// A cell without the quote that our exports write before what a spreadsheet would run as a formula.
pub(super) fn unguarded(cell: &str) -> &str {
    let formula =
        |rest: &&str| rest.trim_start_matches('\'').starts_with(['=', '+', '-', '@', '\t', '\r']);
    cell.strip_prefix('\'').filter(formula).unwrap_or(cell)
}

/// The names of the columns; each has one, and no other's.
fn names(mut header: Vec<String>) -> Result<Vec<String>, ImportError> {
    while header.last().is_some_and(String::is_empty) {
        header.pop();
    }
    if header.len() > MAX_COLUMNS {
        return Err(ImportError::TooManyColumns { found: header.len() });
    }
    for (at, name) in header.iter().enumerate() {
        if !name.is_empty() && header[..at].contains(name) {
            return Err(ImportError::HeaderTwice { name: name.clone(), column: at + 1 });
        }
    }
    Ok(header)
}

/// What can't be in a row of a table ends the reading.
fn check(line: u64, cells: &[String], most: usize, header: &[String]) -> Result<(), ImportError> {
    let found = cells.iter().position(|cell| cell.len() > most || cell.contains('\0'));
    let Some(at) = found else { return Ok(()) };
    let column =
        header.get(at).map_or_else(|| format!("column {}", at + 1), |name| format!("`{name}`"));
    let problem = match cells[at].len() {
        large if large > most => {
            format!("{column} holds {} KiB; check the quotes around it", large / 1024)
        }
        _small => format!("{column} holds a byte of zero; export the file as text"),
    };
    Err(ImportError::Unreadable { line, problem })
}

/// The line on which a record's first letter stands: its position is the end of the record before it, with
/// the rest of that line and blank lines in between.
fn line_of(text: &str, position: Option<&csv::Position>) -> u64 {
    let Some(position) = position else { return 0 };
    let rest = usize::try_from(position.byte()).ok().and_then(|at| text.as_bytes().get(at..));
    let between = rest.unwrap_or_default().iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    position.line() + between.filter(|byte| **byte == b'\n').count() as u64
}

fn unreadable(error: &csv::Error, before: u64) -> ImportError {
    let line = before + error.position().map_or(1, csv::Position::line);
    ImportError::Unreadable { line, problem: error.to_string() }
}
