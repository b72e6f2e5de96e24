//! The header and the rows of a file, each with its line. What is not a table is refused as a whole.

use super::decode::{self, Table};
use super::words;
use super::{ImportError, MAX_ROWS};

/// The most columns.
const MAX_COLUMNS: usize = 200;
/// The longest cell, in bytes; a longer one is a table within a quote.
const MAX_CELL: usize = 64 * 1024;

/// Rows with the line on which each begins.
pub(super) type Rows = Vec<(u64, Vec<String>)>;

/// The header and the rows of a table.
pub(super) fn read(table: &Table<'_>) -> Result<(Vec<String>, Rows), ImportError> {
    if let Some(line) = decode::open_quote(table) {
        return Err(ImportError::OpenQuote { line });
    }
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(table.delimiter)
        .flexible(true)
        .has_headers(false)
        .from_reader(table.text.as_bytes());
    let mut rows: Rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| unreadable(&error, table.before))?;
        if record.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        if rows.len() as u64 > MAX_ROWS {
            return Err(ImportError::TooLarge);
        }
        let line = table.before + line_of(table.text, record.position());
        rows.push((line, record.iter().map(|cell| unguarded(cell.trim()).to_owned()).collect()));
    }
    let at = header_at(&rows)?;
    let mut rest = rows.split_off(rows.len().min(at + 1));
    rest.shrink_to_fit();
    let header = header(rows.pop().map(|(_, cells)| cells).unwrap_or_default())?;
    for (line, cells) in &rest {
        check(*line, cells, &header)?;
    }
    Ok((header, rest))
}

/// How many rows may stand before the header.
const BEFORE_HEADER: usize = 20;

/// Which row is the header: the first one, or where that names no field, the one below that names most. A row with an
/// address is data.
fn header_at(rows: &[(u64, Vec<String>)]) -> Result<usize, ImportError> {
    let has_address = |cell: &String| {
        let parts = cell.split_once('@');
        parts.is_some_and(|(local, host)| !local.trim().is_empty() && !host.trim().is_empty())
    };
    let is_data = |(_, cells): &&(u64, Vec<String>)| cells.iter().any(has_address);
    let above = rows.iter().take(BEFORE_HEADER).take_while(|row| !is_data(row));
    let named = |(_, cells): &(u64, Vec<String>)| {
        cells.iter().filter(|cell| words::field(cell).is_some()).count()
    };
    let named: Vec<usize> = above.map(named).collect();
    match (rows.first(), named.first()) {
        (Some((line, _)), None) => Err(ImportError::NoHeader { line: *line }),
        (None, None) | (_, Some(1..)) => Ok(0),
        (_, Some(0)) => {
            let best = (0..named.len()).rev().max_by_key(|at| named[*at]);
            Ok(best.unwrap_or_default())
        }
    }
}

/// A cell without the quote that our exports write before what a spreadsheet would run as a formula.
pub(super) fn unguarded(cell: &str) -> &str {
    let formula =
        |rest: &&str| rest.trim_start_matches('\'').starts_with(['=', '+', '-', '@', '\t', '\r']);
    cell.strip_prefix('\'').filter(formula).unwrap_or(cell)
}

/// The names of the columns; each has one, and no other's.
fn header(mut header: Vec<String>) -> Result<Vec<String>, ImportError> {
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
fn check(line: u64, cells: &[String], header: &[String]) -> Result<(), ImportError> {
    let found = cells.iter().position(|cell| cell.len() > MAX_CELL || cell.contains('\0'));
    let Some(at) = found else { return Ok(()) };
    let column =
        header.get(at).map_or_else(|| format!("column {}", at + 1), |name| format!("`{name}`"));
    let problem = match cells[at].len() {
        large if large > MAX_CELL => {
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
