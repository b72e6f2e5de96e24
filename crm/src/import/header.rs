//! Which row of a file is its header: of the rows above the first contact, the one that names the most fields. Titles and
//! notes above it are ignored. A file without a header is refused, so no contact is taken for one or skipped. Pure.

use std::collections::HashSet;

use super::table::Row;
use super::{ImportError, addresses, country, words};

/// How many rows may be above the header.
const BEFORE_HEADER: usize = 20;
/// How many rows are read to tell which columns hold addresses.
const SAMPLES: usize = 100;
/// The longest cell that may name a field, in bytes.
const LONGEST: usize = 200;
/// What exports write where there is no value.
const PLACEHOLDERS: [&str; 9] =
    ["na", "nan", "nil", "none", "null", "unknown", "undefined", "true", "false"];

/// What a row above the first contact may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A header, a title, or a contact without an address or a number.
    Words,
    /// A note with an address or a number, such as who exported the file.
    Note,
    /// A contact.
    Contact,
}

/// The place of the header among the rows. `known` are the words of headers that a mapping or a custom field names.
pub(super) fn find(rows: &[Row], known: &HashSet<String>) -> Result<usize, ImportError> {
    let Some((first, _)) = rows.first() else { return Ok(0) };
    let kinds = rows.iter().take(BEFORE_HEADER).map(|(_, cells)| kind(cells));
    let kinds: Vec<Kind> = kinds.take_while(|kind| *kind != Kind::Contact).collect();
    let candidates = (0..kinds.len()).filter(|at| kinds[*at] == Kind::Words);
    // Of equals, the first.
    let rank = |at: &usize| (named(&rows[*at].1, known), filled(&rows[*at].1));
    let Some(best) = candidates.rev().max_by_key(rank) else {
        return Err(ImportError::NoHeader { line: *first });
    };
    let (line, cells) = &rows[best];
    let note = kinds[..best].iter().position(|kind| *kind == Kind::Note);
    let refused = match (named(cells, known), note) {
        (0 | 1, Some(note)) => Some(rows[note].0),
        (0, None) => {
            let above = rows[..best].iter().find(|(_, cells)| filled(cells) > 1);
            let contact = is_contact(cells, &rows[best + 1..]).then_some(*line);
            above.map(|(line, _)| *line).or(contact)
        }
        (_named, _) => None,
    };
    refused.map_or(Ok(best), |line| Err(ImportError::NoHeader { line }))
}

fn kind(cells: &[String]) -> Kind {
    let filled: Vec<&str> =
        cells.iter().map(String::as_str).filter(|cell| !cell.is_empty()).collect();
    let is_short = filled.len() <= 2;
    let tells = |cell: &str| has_address(cell) || is_number(cell) || (!is_short && is_link(cell));
    if !filled.iter().any(|cell| tells(cell)) {
        return Kind::Words;
    }
    // Such as "Exported by,ann@example.com".
    let is_label = |cell: &str| cell.ends_with(':') || words::is_about_seller(cell);
    let is_note = filled.first().is_some_and(|cell| is_label(cell))
        || !filled.iter().any(|cell| addresses::first(cell).is_some());
    match is_short && is_note {
        true => Kind::Note,
        false => Kind::Contact,
    }
}

/// How many fields a row names.
fn named(cells: &[String], known: &HashSet<String>) -> usize {
    let mut fields = HashSet::new();
    for cell in cells.iter().filter(|cell| cell.len() <= LONGEST) {
        let word = words::word(cell);
        match words::field(cell) {
            Some((field, _)) => fields.insert(field.to_owned()),
            None => known.contains(&word) && fields.insert(word),
        };
    }
    fields.len()
}

fn filled(cells: &[String]) -> usize {
    cells.iter().filter(|cell| !cell.is_empty()).count()
}

/// Whether a row that names no field looks like a contact.
fn is_contact(cells: &[String], below: &[Row]) -> bool {
    let others = || below.iter().map(|(_, row)| row.as_slice()).filter(move |row| *row != cells);
    let shares =
        |row: &[String]| row.iter().zip(cells).any(|(one, other)| !one.is_empty() && one == other);
    let width = others().take(SAMPLES).map(<[String]>::len).max().unwrap_or_default();
    let mut of_addresses = (0..width).filter(|at| are_addresses(below, *at)).peekable();
    let has_addresses = of_addresses.peek().is_some();
    let is_empty = |at: usize| cells.get(at).is_none_or(String::is_empty);
    cells.iter().any(|cell| is_value(cell))
        || others().any(shares)
        || (has_addresses && of_addresses.all(is_empty))
}

/// Whether most of a column's first values are addresses.
fn are_addresses(rows: &[Row], at: usize) -> bool {
    let cells = rows.iter().take(SAMPLES).filter_map(|(_, row)| row.get(at));
    let cells: Vec<&String> = cells.filter(|cell| !cell.is_empty()).collect();
    let such = cells.iter().filter(|cell| addresses::first(cell).is_some()).count();
    such > 0 && such * 5 >= cells.len() * 4
}

fn has_address(cell: &str) -> bool {
    let parts = cell.split_once(['@', '＠']);
    parts.is_some_and(|(local, host)| !local.trim().is_empty() && !host.trim().is_empty())
}

/// Whether a cell is a telephone number.
fn is_number(cell: &str) -> bool {
    let is_sign = |letter: char| letter.is_ascii_digit() || " +-()/.".contains(letter);
    let digits = cell.chars().filter(char::is_ascii_digit).count();
    cell.chars().all(is_sign) && (digits >= 9 || (cell.starts_with('+') && digits >= 7))
}

fn is_link(cell: &str) -> bool {
    cell.contains("://") || cell.starts_with("www.")
}

/// Whether a cell is a value and not the name of a column: a number, a link, a country, or a placeholder.
fn is_value(cell: &str) -> bool {
    let is_digits = cell.contains(|letter: char| letter.is_ascii_digit())
        && !cell.contains(char::is_alphabetic);
    let is_country = cell.chars().count() > 3 && country::code(cell).is_some();
    let is_placeholder = matches!(cell, "-" | "--" | "–" | "—" | "?")
        || PLACEHOLDERS.contains(&words::word(cell).as_str());
    is_digits || is_link(cell) || is_country || is_placeholder
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(csv: &str) -> Result<usize, u64> {
        let cells = |line: &str| line.split(',').map(|cell| cell.trim().to_owned()).collect();
        let rows: Vec<Row> = (1..).zip(csv.lines()).map(|(n, line)| (n, cells(line))).collect();
        find(&rows, &HashSet::from(["kürzel".to_owned()])).map_err(|error| {
            let ImportError::NoHeader { line } = error else { panic!("{error}") };
            line
        })
    }

    #[test]
    fn titles_and_notes_above_the_header_are_left_out() {
        for (csv, at) in [
            ("Email,Name\na@b.example,Ada", 0),
            ("Contacts export 2026,,\nEmail,First Name,Company\na@b.example,Ada,Acme", 1),
            ("Email list,,\nFirst Name,Email,Company\nAda,a@b.example,Acme", 1),
            ("Contact,,\nFirst Name,Email,Company\nAda,a@b.example,Acme", 1),
            ("Email,,\n,,\nFirst Name,Email,Company\nAda,a@b.example,Acme", 2),
            ("Person,,Company,\nFirst Name,Email,Name,City\nAda,a@b.example,Acme,Graz", 1),
            ("Contact,,\nWer,Kürzel,Wo\nAda,a@b.example,Graz", 1),
            ("Name,,\nKontaktname,Wer,Wo\nAda,a@b.example,Graz", 1),
            ("My contacts,,\nWer,Was,Wo\nAda,a@b.example,Graz", 1),
            (
                "Report,Contacts\nExported,2026-12-01 10:33\nEmail,Name,City\na@b.example,Ada,Graz",
                2,
            ),
            ("Exported by ann@us.example,,\nEmail,Name,City\na@b.example,Ada,Graz", 1),
            ("Exported by,ann@us.example,\nEmail,Name,City\na@b.example,Ada,Graz", 1),
            ("Hotline,+43 1 234 567 89\nEmail,Name,City\na@b.example,Ada,Graz", 1),
            ("Wer,Was\nAda,a@b.example", 0),
            ("Wer,Kürzel\nAda,a@b.example", 0),
            ("My contacts\na@b.example", 0),
            ("Email,Name\n,Ada\n,Bob\nc@b.example,Cid", 0),
            ("Email,Name\nEmail,Name\nc@b.example,Cid", 0),
            ("", 0),
        ] {
            assert_eq!(found(csv), Ok(at), "{csv}");
        }
    }

    #[test]
    fn a_file_without_a_header_is_refused_with_the_line_of_its_first_contact() {
        for (csv, line) in [
            ("a@b.example,Ada\nb@b.example,Bob", 1),
            ("Ada Lovelace,+43 1 2345678,\nBob Moe,+43 1 2345679,b@b.example", 1),
            ("Ada Lovelace,+43 1 2345678\nBob Moe,+43 1 2345679", 1),
            ("Ada,Lovelace,0316 123456\nBob,Moe,0316 123457", 1),
            ("Ada,Lovelace,\nBob,Moe,b@b.example", 1),
            ("Ada,Lovelace\nBob,Moe,b@b.example", 1),
            ("Ada,Lovelace,n/a\nBob,Moe,b@b.example", 1),
            ("Ada,Lovelace,-\nBob,Moe,b@b.example", 1),
            ("Ada,Acme,x\nBob,Acme,b@b.example", 1),
            ("Ada,Austria,x\nBob,Italy,b@b.example", 1),
            ("Ada,8010 Graz,12\nBob,8020 Graz,13", 1),
            ("Ada,https://ada.example,x\nBob,,b@b.example", 1),
            ("My contacts,,\nAda,Lovelace,\nBob,Moe,b@b.example", 2),
            ("Ada,Lovelace,\nBob,Moe,Beta\nCid,Lee,c@b.example", 1),
            ("ann@us.example,,\nEmail,Name,City\na@b.example,Ada,Graz", 1),
            ("Land,+43 660 1234567\nMoe,\nLee,c@b.example", 1),
        ] {
            assert_eq!(found(csv), Err(line), "{csv}");
        }
    }
}
