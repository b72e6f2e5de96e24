//! Reading a file of contacts: which columns it has, which rows are taken, and why the others are not. Pure.

use std::collections::{BTreeMap, HashSet};

use chrono::NaiveDate;
use engine::timing::Zone;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::column::{self, Columns, Own, Proposed, Target};
use super::words::{self, Says};
use super::{Counts, ImportError, MAX_BYTES, addresses, country, decode, name, table};
use crate::address::Named;
use crate::contact::NewContact;
use crate::custom_field::CustomField;
use crate::suppression::Reason;

/// How many rows go in one chunk.
const CHUNK: usize = 500;
/// The longest value of a field, in characters.
const LONGEST: usize = 200;
/// How much of a cell an error shows, in characters.
const SHOWN: usize = 40;

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
    /// How many of the rows that are taken say that their person gets no mail.
    pub unsubscribed: u64,
    /// The addresses of refused rows that say so; they are suppressed all the same.
    pub(crate) opted_out: Vec<(String, Reason)>,
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
    /// Why the person gets no mail, if the row says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) says: Option<Reason>,
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
    let (header, rows) = table::read(&decode::table(&text), &known(mapping, custom))?;
    let proposed = proposed(&header, &rows, mapping, custom)?;
    let mut reading = Reading {
        targets: &proposed.targets,
        emails: &proposed.emails,
        custom,
        is_own: is_own_export(&header),
        seen: HashSet::new(),
    };
    let mut parsed = Parsed {
        columns: columns(&header, &proposed.targets, &rows),
        counts: Counts { rows: rows.len() as u64, ..Counts::default() },
        unsubscribed: 0,
        opted_out: Vec::new(),
        chunks: Vec::new(),
        refused: Vec::new(),
    };
    for (line, cells) in rows {
        match reading.contact(&cells, header.len()) {
            Ok((contact, says)) => parsed.take(Taken { line, contact, says }),
            Err((reason, value)) => {
                parsed.opted_out.extend(reading.opt_out(&cells));
                parsed.refuse(RefusedRow { line, reason, value, cells });
            }
        }
    }
    Ok(parsed)
}

/// The words of headers that a mapping or a custom field names.
fn known(mapping: &BTreeMap<String, Option<String>>, custom: &[CustomField]) -> HashSet<String> {
    let mapped = mapping.keys().map(|name| words::word(name));
    let keys = custom.iter().map(|field| words::word(&format!("custom.{}", field.key)));
    let fields = custom.iter().flat_map(|field| [&field.key, &field.label]);
    let known = mapped.chain(keys).chain(fields.map(|name| words::word(name)));
    known.filter(|word| !word.is_empty()).collect()
}

/// Whether a file is an export of ours: its tags have `;` between them, and commas within.
fn is_own_export(header: &[String]) -> bool {
    header.starts_with(&["id", "first_name", "last_name", "email"].map(str::to_owned))
}

impl Parsed {
    fn take(&mut self, taken: Taken) {
        self.unsubscribed += u64::from(taken.says.is_some());
        match self.chunks.last_mut().filter(|chunk| chunk.len() < CHUNK) {
            Some(chunk) => chunk.push(taken),
            None => self.chunks.push(vec![taken]),
        }
    }

    fn refuse(&mut self, mut row: RefusedRow) {
        if row.value.chars().count() > LONGEST {
            row.value = row.value.chars().take(LONGEST).chain(['…']).collect();
        }
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

/// What each column fills: as a mapping says, else as is probable.
fn proposed(
    header: &[String],
    rows: &[(u64, Vec<String>)],
    mapping: &BTreeMap<String, Option<String>>,
    custom: &[CustomField],
) -> Result<Proposed, ImportError> {
    let mut said: Vec<(usize, Option<Target>)> = Vec::new();
    for (name, wanted) in mapping {
        let refused = |message| ImportError::Mapping { header: name.clone(), message };
        let written = table::clean(name);
        let at = header.iter().position(|header| *header == written).ok_or_else(|| {
            refused(format!("the file has no such column; there are: {}", header.join(", ")))
        })?;
        let wanted = wanted.as_deref().map(|text| column::target(text, custom)).transpose();
        let wanted = wanted.map_err(refused)?;
        let other = said.iter().find(|(_, other)| other.is_some() && *other == wanted);
        if let (Some((other, _)), Some(wanted)) = (other, &wanted) {
            let field = String::from(wanted.clone());
            return Err(refused(format!("`{}` fills `{field}` as well", header[*other])));
        }
        said.push((at, wanted));
    }
    let named: Vec<usize> = said.iter().map(|(at, _)| *at).collect();
    let mut proposed = Columns { header, rows, said: &named }.propose(custom);
    for (at, wanted) in said {
        if wanted.is_some() {
            for target in proposed.targets.iter_mut().filter(|target| **target == wanted) {
                *target = None;
            }
        }
        if wanted == Some(Target::Own(Own::Email)) {
            proposed.emails = vec![at];
            proposed.equals.clear();
        }
        proposed.targets[at] = wanted;
    }
    let names = |columns: &[usize]| {
        let names = columns.iter().map(|at| format!("`{}`", header[*at]));
        names.collect::<Vec<_>>().join(", ")
    };
    if let [first, ..] = proposed.equals.as_slice() {
        let (columns, first) = (names(&proposed.equals), header[*first].clone());
        return Err(ImportError::SeveralAddressColumns { columns, first });
    }
    if !proposed.emails.is_empty() {
        return Ok(proposed);
    }
    if let [first, ..] = proposed.sellers.as_slice() {
        let (columns, first) = (names(&proposed.sellers), header[*first].clone());
        return Err(ImportError::SellersOnly { columns, first });
    }
    let found: Vec<&str> =
        header.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    let found = if found.is_empty() { "nothing".into() } else { found.join(", ") };
    Err(ImportError::NoAddressColumn { found })
}

fn columns(
    header: &[String],
    targets: &[Option<Target>],
    rows: &[(u64, Vec<String>)],
) -> Vec<Column> {
    let shown = |at: usize| {
        let rows = rows.iter().take(column::SAMPLES);
        let cells = rows.filter_map(|(_, row)| row.get(at)).filter(|cell| !cell.is_empty());
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
    emails: &'a [usize],
    custom: &'a [CustomField],
    is_own: bool,
    seen: HashSet<String>,
}

impl Reading<'_> {
    /// The address of a row that is refused and says that its person gets no mail: that counts all the same.
    fn opt_out(&self, cells: &[String]) -> Option<(String, Reason)> {
        let says = self.of(cells, Own::Unsubscribed).find_map(reason)?;
        let given = self.emails.iter().filter_map(|at| cells.get(*at));
        let named =
            given.filter(|cell| !cell.is_empty()).find_map(|cell| addresses::first(cell))?;
        Some((named.email, says))
    }

    /// The filled cells of a field.
    fn of<'c>(&self, cells: &'c [String], own: Own) -> impl Iterator<Item = &'c str> {
        let cells = self.targets.iter().zip(cells);
        let of = cells.filter(move |(target, cell)| {
            !cell.is_empty() && matches!(target, Some(Target::Own(found)) if *found == own)
        });
        of.map(|(_, cell)| cell.as_str())
    }

    /// A cell that fills a field and has letters that were lost before the file was written.
    fn spoiled<'c>(&self, cells: &'c [String]) -> Option<&'c str> {
        let filling = self.targets.iter().zip(cells).filter(|(target, _)| target.is_some());
        filling.map(|(_, cell)| cell.as_str()).find(|cell| is_spoiled(cell))
    }

    /// A row's contact and what it says of their mail, or why it is none.
    fn contact(
        &mut self,
        cells: &[String],
        width: usize,
    ) -> Result<(NewContact, Option<Reason>), (RowReason, String)> {
        let given = self.emails.iter().filter_map(|at| cells.get(*at));
        let given: Vec<&String> = given.filter(|cell| !cell.is_empty()).collect();
        let Some(first) = given.first() else {
            return Err((RowReason::MissingEmail, String::new()));
        };
        let Some(named) = given.iter().find_map(|cell| addresses::first(cell)) else {
            return Err((RowReason::InvalidEmail, (*first).clone()));
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
        if let Some(spoiled) = self.spoiled(cells) {
            let shown: String = spoiled.chars().take(SHOWN).collect();
            return Err(invalid(format!(
                "`{shown}` has letters that were lost or misread; export the file again as CSV UTF-8"
            )));
        }
        let email = named.email.to_lowercase();
        let read = self.filled(cells, named).map_err(invalid)?;
        if !self.seen.insert(email) {
            return Err((RowReason::Duplicate, (*first).clone()));
        }
        Ok(read)
    }

    fn filled(
        &self,
        cells: &[String],
        Named { name, email }: Named,
    ) -> Result<(NewContact, Option<Reason>), String> {
        let mut contact = NewContact { email, ..NewContact::default() };
        let (mut values, mut full, mut says) = (Map::new(), None, None);
        for (target, cell) in self.targets.iter().zip(cells).filter(|(_, cell)| !cell.is_empty()) {
            match target {
                None => {}
                Some(Target::Custom(key)) => {
                    let field = self.custom.iter().find(|field| field.key == *key);
                    let read = field.map(|field| field.read_cell(cell)).transpose();
                    let value =
                        read.map_err(|message| format!("custom.{key} {message}: `{cell}`"))?;
                    values.insert(key.clone(), value.unwrap_or(Value::Null));
                }
                Some(Target::Own(Own::Name)) => full = Some(cell.as_str()),
                Some(Target::Own(Own::Tags)) => contact.tags = tags(cell, self.is_own),
                Some(Target::Own(Own::Unsubscribed)) => says = says.or(reason(cell)),
                Some(Target::Own(own)) => {
                    if cell.chars().count() > LONGEST && *own != Own::Linkedin {
                        return Err(format!("{} is longer than {LONGEST} characters", own.name()));
                    }
                    fill(&mut contact, *own, cell);
                }
            }
        }
        let full = full.filter(|full| !full.contains('@')).unwrap_or(&name);
        if contact.first_name.is_empty() && contact.last_name.is_empty() {
            (contact.first_name, contact.last_name) = name::split(full);
            let longest = contact.first_name.chars().count().max(contact.last_name.chars().count());
            if longest > LONGEST {
                return Err(format!("name is longer than {LONGEST} characters"));
            }
        }
        contact.custom = Some(Value::Object(values));
        Ok((contact, says))
    }
}

/// What follows `Ã` and `Â` in UTF-8 that was read as windows-1252, besides the signs of Latin-1.
const MISREAD: &str = "ŠŽŒŸšžœƒ€‚„‡ˆ‰";

/// Whether a cell has a replacement character, or UTF-8 that was read as windows-1252, as in `JosÃ©`.
fn is_spoiled(cell: &str) -> bool {
    let is_sign = |letter: char| matches!(letter, '\u{a1}'..='\u{bf}') || MISREAD.contains(letter);
    let pairs = cell.chars().zip(cell.chars().skip(1));
    let mut misread = pairs.filter(|(first, second)| match *first {
        'Ã' | 'Â' => is_sign(*second),
        'â' => *second == '€',
        _other => false,
    });
    !cell.is_ascii() && (cell.contains('\u{fffd}') || misread.next().is_some())
}

fn is_date(cell: &str) -> bool {
    let day = cell.get(..10).unwrap_or(cell);
    ["%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y"]
        .iter()
        .any(|format| NaiveDate::parse_from_str(day, format).is_ok())
}

/// Why a contact gets no mail, where a cell says so.
fn reason(cell: &str) -> Option<Reason> {
    // A column that is about opting out may hold the day on which they did.
    match words::says(cell).or_else(|| is_date(cell).then_some(Says::Flag))? {
        Says::Flag | Says::Unsubscribed => Some(Reason::Unsubscribed),
        Says::Bounced => Some(Reason::Bounced),
    }
}

/// The words of a cell of tags: with `;`, `|`, `:::` or `,` between them, in quotes or not. What begins with `*` is a
/// group of Google's own.
fn tags(cell: &str, is_own: bool) -> Vec<String> {
    let parts: Vec<&str> = match cell.contains([';', '|']) || cell.contains(":::") || is_own {
        true => cell.split([';', '|']).flat_map(|part| part.split(":::")).collect(),
        false => cell.split(',').collect(),
    };
    let bare = |part: &str| part.trim().trim_matches('"').trim().to_owned();
    let tags = parts.into_iter().map(bare).filter(|tag| !tag.is_empty() && !tag.starts_with("* "));
    let mut seen = Vec::new();
    for tag in tags {
        if !seen.contains(&tag) {
            seen.push(tag);
        }
    }
    seen
}

fn fill(contact: &mut NewContact, own: Own, cell: &str) {
    let some = || Some(cell.to_owned());
    match own {
        // These are read from several columns, or into several fields.
        Own::Email | Own::Name | Own::Tags | Own::Unsubscribed => {}
        Own::FirstName => contact.first_name = cell.to_owned(),
        Own::LastName => contact.last_name = cell.to_owned(),
        Own::Company => contact.company = some(),
        Own::Title => contact.title = some(),
        Own::Phone => contact.phone = some(),
        Own::Country => contact.country = Some(country::code(cell).unwrap_or(cell).to_owned()),
        Own::Region => contact.region = some(),
        Own::City => contact.city = some(),
        // A zone that does not exist helps nobody; the country may.
        Own::TimeZone => contact.time_zone = some().filter(|zone| Zone::parse(zone).is_ok()),
        Own::Linkedin => contact.linkedin_url = some(),
        Own::Locale => contact.locale = some(),
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
