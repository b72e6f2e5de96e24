//! Reading a file of contacts: which columns it has, which rows are taken, and why the others are not. Pure.

use std::collections::{BTreeMap, HashSet};

use engine::timing::Zone;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::column::{self, Own, Target};
use super::{Counts, ImportError, MAX_BYTES, MAX_ROWS, decode};
use crate::address;
use crate::contact::NewContact;
use crate::custom_field::CustomField;

/// How many rows go in one chunk.
const CHUNK: usize = 500;
/// The most columns.
const MAX_COLUMNS: usize = 200;
/// The longest cell, in bytes; a longer one is a quote that nobody closed.
const MAX_CELL: usize = 64 * 1024;
/// The longest value of a field, in characters.
const LONGEST: usize = 200;
/// How many rows are looked at, and shown, to tell what stands in a column.
const SAMPLES: usize = 100;

/// Why a row was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowReason {
    /// An earlier row of the file has the same address.
    Duplicate,
    /// What stands as address is none.
    InvalidEmail,
    /// No address.
    MissingEmail,
    /// A cell that its field does not take, or more cells than the header has.
    Invalid,
}

impl RowReason {
    /// The stored word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::InvalidEmail => "invalid_email",
            Self::MissingEmail => "missing_email",
            Self::Invalid => "invalid",
        }
    }
}

/// A refused row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedRow {
    /// The line of the file on which the row begins, from 1.
    pub line: u64,
    /// Why.
    pub reason: RowReason,
    /// What stood there, or what to write.
    pub value: String,
    /// The row as it was.
    #[serde(skip)]
    pub cells: Vec<String>,
}

/// A column, and what it fills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its header.
    pub header: String,
    /// The field that it fills; nothing where it is left out.
    pub target: Option<Target>,
    /// What stands in it, of the first rows.
    pub samples: Vec<String>,
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// Its columns.
    pub columns: Vec<Column>,
    /// What was counted.
    pub counts: Counts,
    /// The rows that are taken, in chunks.
    pub(crate) chunks: Vec<Vec<Taken>>,
    /// The refused rows.
    pub refused: Vec<RefusedRow>,
}

/// A row that is taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Taken {
    pub(crate) line: u64,
    pub(crate) contact: NewContact,
}

/// Reads a file. `mapping` names the field of a column by its header, or that it is left out; the others are proposed.
///
/// # Errors
/// That it can't be read as a whole, with what to do.
pub fn read(
    bytes: &[u8],
    mapping: &BTreeMap<String, Option<String>>,
    custom: &[CustomField],
) -> Result<Parsed, ImportError> {
    if bytes.len() > MAX_BYTES {
        return Err(ImportError::TooLarge);
    }
    let text = decode::decode(bytes)?;
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(decode::delimiter(&text))
        .flexible(true)
        .from_reader(text.as_bytes());
    let header = header(reader.headers().map_err(|error| unreadable(&error))?)?;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| unreadable(&error))?;
        if record.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        if rows.len() as u64 >= MAX_ROWS {
            return Err(ImportError::TooLarge);
        }
        let line = line_of(&text, record.position());
        rows.push((line, checked(line, &record, &header)?));
    }
    let samples: Vec<Vec<String>> =
        rows.iter().take(SAMPLES).map(|(_, cells)| cells.clone()).collect();
    let targets = targets(&header, &samples, mapping, custom)?;
    let mut reading = Reading { targets: &targets, custom, seen: HashSet::new() };
    let mut parsed = Parsed {
        columns: columns(&header, &targets, &samples),
        counts: Counts { rows: rows.len() as u64, ..Counts::default() },
        chunks: Vec::new(),
        refused: Vec::new(),
    };
    for (line, cells) in rows {
        match reading.contact(&cells, header.len()) {
            Ok(contact) => parsed.take(Taken { line, contact }),
            Err((reason, value)) => parsed.refuse(RefusedRow { line, reason, value, cells }),
        }
    }
    Ok(parsed)
}

impl Parsed {
    fn take(&mut self, taken: Taken) {
        match self.chunks.last_mut().filter(|chunk| chunk.len() < CHUNK) {
            Some(chunk) => chunk.push(taken),
            None => self.chunks.push(vec![taken]),
        }
    }

    fn refuse(&mut self, row: RefusedRow) {
        match row.reason {
            RowReason::Duplicate => self.counts.duplicate += 1,
            RowReason::InvalidEmail => self.counts.invalid_email += 1,
            RowReason::MissingEmail => self.counts.missing_email += 1,
            RowReason::Invalid => self.counts.invalid += 1,
        }
        self.refused.push(row);
    }

    /// How many rows are taken.
    pub fn taken(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.len() as u64).sum()
    }
}

/// The names of the columns; each has one, and no other's.
fn header(record: &csv::StringRecord) -> Result<Vec<String>, ImportError> {
    let mut header: Vec<String> = record.iter().map(|name| name.trim().to_owned()).collect();
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

/// A row's cells without blanks around them; what can't be a row of a table ends the reading.
fn checked(
    line: u64,
    record: &csv::StringRecord,
    header: &[String],
) -> Result<Vec<String>, ImportError> {
    for (at, cell) in record.iter().enumerate() {
        let column =
            header.get(at).map_or_else(|| format!("column {}", at + 1), |name| format!("`{name}`"));
        if cell.len() > MAX_CELL {
            let problem = format!(
                "{column} holds {} KiB; is there a quote that nobody closed?",
                cell.len() / 1024
            );
            return Err(ImportError::Unreadable { line, problem });
        }
        if cell.contains('\0') {
            let problem = format!("{column} holds a byte of zero; export the file as text");
            return Err(ImportError::Unreadable { line, problem });
        }
    }
    Ok(record.iter().map(|cell| cell.trim().to_owned()).collect())
}

/// The line on which a record's first letter stands: its position is the end of the record before it, with
/// the rest of that line and blank lines in between.
fn line_of(text: &str, position: Option<&csv::Position>) -> u64 {
    let Some(position) = position else { return 0 };
    let rest = usize::try_from(position.byte()).ok().and_then(|at| text.as_bytes().get(at..));
    let between = rest.unwrap_or_default().iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    position.line() + between.filter(|byte| **byte == b'\n').count() as u64
}

fn unreadable(error: &csv::Error) -> ImportError {
    let line = error.position().map_or(1, csv::Position::line);
    ImportError::Unreadable { line, problem: error.to_string() }
}

/// What each column fills: as was said, else as is probable.
fn targets(
    header: &[String],
    samples: &[Vec<String>],
    mapping: &BTreeMap<String, Option<String>>,
    custom: &[CustomField],
) -> Result<Vec<Option<Target>>, ImportError> {
    let mut targets = column::propose(header, samples, custom);
    for (name, wanted) in mapping {
        let refused = |message| ImportError::Mapping { header: name.clone(), message };
        let at = header.iter().position(|header| header == name).ok_or_else(|| {
            refused(format!("the file has no such column; there are: {}", header.join(", ")))
        })?;
        let wanted = wanted.as_deref().map(|text| column::target(text, custom)).transpose();
        let wanted = wanted.map_err(refused)?;
        if let Some(wanted) = &wanted {
            let other = (0..header.len())
                .find(|other| *other != at && targets[*other].as_ref() == Some(wanted));
            match other {
                Some(other) if mapping.contains_key(&header[other]) => {
                    let field = String::from(wanted.clone());
                    return Err(refused(format!("`{}` fills `{field}` as well", header[other])));
                }
                Some(other) => targets[other] = None,
                None => {}
            }
        }
        targets[at] = wanted;
    }
    if targets.contains(&Some(Target::Own(Own::Email))) {
        return Ok(targets);
    }
    let found: Vec<&str> =
        header.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    let found = if found.is_empty() { "nothing".into() } else { found.join(", ") };
    Err(ImportError::NoAddressColumn { found })
}

fn columns(header: &[String], targets: &[Option<Target>], samples: &[Vec<String>]) -> Vec<Column> {
    let shown = |at: usize| {
        let cells = samples.iter().filter_map(|row| row.get(at)).filter(|cell| !cell.is_empty());
        cells.take(3).map(|cell| cell.chars().take(LONGEST).collect()).collect()
    };
    let column = |(at, name): (usize, &String)| Column {
        header: name.clone(),
        target: targets[at].clone(),
        samples: shown(at),
    };
    header.iter().enumerate().map(column).collect()
}

/// What rows are read by.
struct Reading<'a> {
    targets: &'a [Option<Target>],
    custom: &'a [CustomField],
    seen: HashSet<String>,
}

impl Reading<'_> {
    /// A row's contact, or why it is none.
    fn contact(
        &mut self,
        cells: &[String],
        width: usize,
    ) -> Result<NewContact, (RowReason, String)> {
        let own = |wanted: Own| {
            let at = self.targets.iter().position(|target| *target == Some(Target::Own(wanted)));
            at.and_then(|at| cells.get(at)).cloned().unwrap_or_default()
        };
        let given = own(Own::Email);
        if given.is_empty() {
            return Err((RowReason::MissingEmail, given));
        }
        let Some(email) = address::read(&given) else {
            return Err((RowReason::InvalidEmail, given));
        };
        let invalid = |message: String| (RowReason::Invalid, message);
        if let Some(more) =
            cells.get(width..).filter(|more| more.iter().any(|cell| !cell.is_empty()))
        {
            let cells = width + more.len();
            return Err(invalid(format!(
                "{cells} cells where the header has {width}; is a quote missing?"
            )));
        }
        let contact = self.filled(cells, email.clone()).map_err(invalid)?;
        if !self.seen.insert(email.to_lowercase()) {
            return Err((RowReason::Duplicate, given));
        }
        Ok(contact)
    }

    fn filled(&self, cells: &[String], email: String) -> Result<NewContact, String> {
        let mut contact = NewContact { email, ..NewContact::default() };
        let (mut values, mut name) = (Map::new(), None);
        for (target, cell) in self.targets.iter().zip(cells).filter(|(_, cell)| !cell.is_empty()) {
            match target {
                None => {}
                Some(Target::Custom(key)) => {
                    let field = self.custom.iter().find(|field| field.key == *key);
                    let read = field.map(|field| field.read_cell(cell)).transpose();
                    let value = read.map_err(|message| format!("custom.{key} {message}"))?;
                    values.insert(key.clone(), value.unwrap_or(Value::Null));
                }
                Some(Target::Own(own)) => {
                    if cell.chars().count() > LONGEST && *own != Own::Linkedin && *own != Own::Tags
                    {
                        return Err(format!("{} is longer than {LONGEST} characters", own.name()));
                    }
                    fill(&mut contact, &mut name, *own, cell);
                }
            }
        }
        if let Some(name) =
            name.filter(|_| contact.first_name.is_empty() && contact.last_name.is_empty())
        {
            let (first, last) = name.split_once(' ').unwrap_or((&name, ""));
            (contact.first_name, contact.last_name) = (first.to_owned(), last.trim().to_owned());
        }
        contact.custom = Some(Value::Object(values));
        Ok(contact)
    }
}

fn fill(contact: &mut NewContact, name: &mut Option<String>, own: Own, cell: &str) {
    let some = || Some(cell.to_owned());
    match own {
        Own::Email => {}
        Own::FirstName => contact.first_name = cell.to_owned(),
        Own::LastName => contact.last_name = cell.to_owned(),
        Own::Name => *name = some(),
        Own::Company => contact.company = some(),
        Own::Title => contact.title = some(),
        Own::Phone => contact.phone = some(),
        Own::Country => contact.country = some(),
        Own::Region => contact.region = some(),
        Own::City => contact.city = some(),
        // A zone that does not exist helps nobody; the country may.
        Own::TimeZone => contact.time_zone = some().filter(|zone| Zone::parse(zone).is_ok()),
        Own::Linkedin => contact.linkedin_url = some(),
        Own::Locale => contact.locale = some(),
        Own::Tags => {
            let tags = cell.split([';', '|']).map(str::trim).filter(|tag| !tag.is_empty());
            contact.tags = tags.map(str::to_owned).collect();
        }
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
