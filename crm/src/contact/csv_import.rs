//! Contacts from a CSV as CRMs and spreadsheets write it: any common delimiter and encoding, a byte order
//! mark, quoted newlines, headers in many words. A row is taken or refused with its reason; nothing is
//! dropped in silence, and a second import of the same file makes nothing twice.

use std::collections::HashSet;

use engine::timing::Zone;
use serde::Serialize;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::write::{address, insert_batch};
use super::{Batch, NewContact};

const CHUNK: usize = 500;
/// The most rows of one file; more come in several files.
const MAX_ROWS: u64 = 200_000;
/// The largest file, in bytes.
pub const MAX_BYTES: usize = 50 * 1024 * 1024;
/// How many refused rows a report lists; all are counted.
const MAX_REFUSED: usize = 10_000;

/// Why a row was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RowReason {
    /// An earlier row of the file has the same address.
    Duplicate,
    /// What stands as address is none.
    InvalidEmail,
    /// No address.
    MissingEmail,
}

/// A refused row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedRow {
    /// The line of the file on which the row begins, from 1.
    pub line: u64,
    /// Why.
    pub reason: RowReason,
    /// What stood as address.
    pub value: String,
}

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// Rows of the file, the header and blank lines apart.
    pub rows: u64,
    /// New contacts.
    pub created: u64,
    /// Rows whose contact the customer had already; it stays as it was.
    pub existing: u64,
    /// Rows that repeat an earlier row's address.
    pub duplicate: u64,
    /// Rows with no usable address.
    pub invalid_email: u64,
    /// Rows without an address.
    pub missing_email: u64,
    /// The refused rows, at most 10,000 of them.
    pub refused: Vec<RefusedRow>,
    /// The contacts of all rows that were taken, in the file's order.
    #[serde(skip)]
    pub contact_ids: Vec<Uuid>,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// No column holds addresses.
    #[error("no column holds email addresses; name one `Email` (found: {found})")]
    NoAddressColumn { found: String },
    /// It is no CSV.
    #[error("line {line} can't be read as CSV: {problem}")]
    Unreadable { line: u64, problem: String },
    /// Too much at once.
    #[error("the file is too large: at most {MAX_ROWS} rows and 50 MiB; split it")]
    TooLarge,
    /// The database refused.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Imports a file, a transaction per 500 rows: what was imported before an error stays, and the same file
/// can be imported again.
///
/// # Errors
/// `NoAddressColumn`, `Unreadable` and `TooLarge` before anything is written, or what a statement returned.
pub async fn import(
    db: &mut PgConnection,
    customer_id: Uuid,
    bytes: &[u8],
) -> Result<ImportReport, ImportError> {
    let (contacts, mut report) = read(bytes)?;
    for chunk in contacts.chunks(CHUNK) {
        let mut tx = db.begin().await?;
        let Batch { created, by_email } =
            insert_batch(&mut tx, customer_id, chunk.to_vec(), "import").await?;
        tx.commit().await?;
        report.created += created.len() as u64;
        report.existing += (chunk.len() - created.len()) as u64;
        let found = chunk.iter().filter_map(|new| by_email.get(&new.email.to_lowercase()));
        report.contact_ids.extend(found);
    }
    Ok(report)
}

/// Reads all rows; pure.
fn read(bytes: &[u8]) -> Result<(Vec<NewContact>, ImportReport), ImportError> {
    if bytes.len() > MAX_BYTES {
        return Err(ImportError::TooLarge);
    }
    let text = decode(bytes);
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter(&text))
        .flexible(true)
        .from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| unreadable(&error))?.clone();
    let columns = Columns::of(&header)?;
    let mut contacts = Vec::new();
    let mut report = ImportReport::default();
    let mut seen = HashSet::new();
    for record in reader.records() {
        let record = record.map_err(|error| unreadable(&error))?;
        if record.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        report.rows += 1;
        if report.rows > MAX_ROWS {
            return Err(ImportError::TooLarge);
        }
        let given = columns.cell(&record, columns.email);
        match judge(&given, &mut seen) {
            Ok(email) => contacts.push(columns.contact(&record, email)),
            Err(reason) => {
                let line = line_of(&text, record.position());
                report.refuse(RefusedRow { line, reason, value: given });
            }
        }
    }
    Ok((contacts, report))
}

/// The line on which a record's first letter stands: its position is the end of the record before it, with
/// the rest of that line and blank lines in between.
fn line_of(text: &str, position: Option<&csv::Position>) -> u64 {
    let Some(position) = position else { return 0 };
    let rest = usize::try_from(position.byte()).ok().and_then(|at| text.as_bytes().get(at..));
    let between = rest.unwrap_or_default().iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    position.line() + between.filter(|byte| **byte == b'\n').count() as u64
}

fn judge(given: &str, seen: &mut HashSet<String>) -> Result<String, RowReason> {
    if given.is_empty() {
        return Err(RowReason::MissingEmail);
    }
    let email = address(given).ok_or(RowReason::InvalidEmail)?;
    if seen.insert(email.to_lowercase()) { Ok(email) } else { Err(RowReason::Duplicate) }
}

impl ImportReport {
    fn refuse(&mut self, row: RefusedRow) {
        match row.reason {
            RowReason::Duplicate => self.duplicate += 1,
            RowReason::InvalidEmail => self.invalid_email += 1,
            RowReason::MissingEmail => self.missing_email += 1,
        }
        if self.refused.len() < MAX_REFUSED {
            self.refused.push(row);
        }
    }
}

fn unreadable(error: &csv::Error) -> ImportError {
    let line = error.position().map_or(1, csv::Position::line);
    ImportError::Unreadable { line, problem: error.to_string() }
}

/// Text from bytes: by the byte order mark, else UTF-8 where it is that, else by guess.
fn decode(bytes: &[u8]) -> String {
    if let Some((encoding, mark)) = encoding_rs::Encoding::for_bom(bytes) {
        return encoding.decode_without_bom_handling(&bytes[mark..]).0.into_owned();
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    let mut detector = chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Deny);
    detector.feed(bytes, true);
    detector
        .guess(None, chardetng::Utf8Detection::Deny)
        .decode_without_bom_handling(bytes)
        .0
        .into_owned()
}

/// The delimiter that the header line has most of.
fn delimiter(text: &str) -> u8 {
    let header = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let count = |delimiter: &u8| header.bytes().filter(|byte| byte == delimiter).count();
    let most = [b'\t', b';', b','].into_iter().max_by_key(count);
    most.unwrap_or(b',')
}

/// Where the fields stand.
#[derive(Default)]
struct Columns {
    email: Option<usize>,
    first_name: Option<usize>,
    last_name: Option<usize>,
    name: Option<usize>,
    company: Option<usize>,
    title: Option<usize>,
    phone: Option<usize>,
    country: Option<usize>,
    region: Option<usize>,
    city: Option<usize>,
    time_zone: Option<usize>,
    linkedin: Option<usize>,
    locale: Option<usize>,
}

impl Columns {
    fn of(header: &csv::StringRecord) -> Result<Self, ImportError> {
        let mut columns = Self::default();
        for (index, name) in header.iter().enumerate() {
            if let Some(field) = columns.field(name) {
                field.get_or_insert(index);
            }
        }
        if columns.email.is_some() {
            return Ok(columns);
        }
        let found: Vec<&str> =
            header.iter().map(str::trim).filter(|name| !name.is_empty()).collect();
        let found = if found.is_empty() { "nothing".into() } else { found.join(", ") };
        Err(ImportError::NoAddressColumn { found })
    }

    /// The field that a header names, case, blanks and punctuation apart.
    fn field(&mut self, name: &str) -> Option<&mut Option<usize>> {
        let word: String = name.chars().filter(|c| c.is_alphanumeric()).collect();
        Some(match word.to_lowercase().as_str() {
            "email" | "emailaddress" | "mail" | "workemail" | "primaryemail" | "emails" => {
                &mut self.email
            }
            "firstname" | "givenname" | "forename" | "vorname" => &mut self.first_name,
            "lastname" | "surname" | "familyname" | "nachname" => &mut self.last_name,
            "name" | "fullname" | "contactname" => &mut self.name,
            "company" | "companyname" | "account" | "accountname" | "organization"
            | "organisation" => &mut self.company,
            "title" | "jobtitle" | "position" | "role" => &mut self.title,
            "phone" | "phonenumber" | "mobile" | "telephone" | "workphone" => &mut self.phone,
            "country" | "countrycode" | "countryregion" => &mut self.country,
            "state" | "region" | "province" | "stateregion" => &mut self.region,
            "city" | "town" => &mut self.city,
            "timezone" | "tz" => &mut self.time_zone,
            "linkedin" | "linkedinurl" | "linkedinprofile" => &mut self.linkedin,
            "locale" | "language" => &mut self.locale,
            _other => return None,
        })
    }

    fn cell(&self, record: &csv::StringRecord, column: Option<usize>) -> String {
        column.and_then(|index| record.get(index)).map(str::trim).unwrap_or_default().to_owned()
    }

    fn contact(&self, record: &csv::StringRecord, email: String) -> NewContact {
        let some = |column| Some(self.cell(record, column)).filter(|cell| !cell.is_empty());
        let (mut first_name, mut last_name) =
            (self.cell(record, self.first_name), self.cell(record, self.last_name));
        if let Some(name) =
            some(self.name).filter(|_| first_name.is_empty() && last_name.is_empty())
        {
            let (first, last) = name.split_once(' ').unwrap_or((&name, ""));
            (first_name, last_name) = (first.to_owned(), last.trim().to_owned());
        }
        NewContact {
            first_name,
            last_name,
            email,
            company: some(self.company),
            phone: some(self.phone),
            title: some(self.title),
            linkedin_url: some(self.linkedin),
            country: some(self.country),
            region: some(self.region),
            city: some(self.city),
            // A zone that does not exist helps nobody; the country may.
            time_zone: some(self.time_zone).filter(|zone| Zone::parse(zone).is_ok()),
            locale: some(self.locale),
            tags: Vec::new(),
            custom: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(csv: &str) -> (u64, u64, u64, u64) {
        let (_, report) = read(csv.as_bytes()).expect("the file can be read");
        (report.rows, report.duplicate, report.invalid_email, report.missing_email)
    }

    #[test]
    fn rows_are_refused_with_their_reason_and_line() {
        let csv = "\u{feff}First Name;E-mail\r\nAda; ADA@example.com \r\n\r\nAda;ada@example.com\r\n\
                   Bob;nobody\r\nCid;\r\n;;\r\n";
        assert_eq!(counts(csv), (4, 1, 1, 1));
        let (contacts, report) = read(csv.as_bytes()).expect("the file can be read");
        assert_eq!(contacts[0].email, "ADA@example.com");
        let lines: Vec<u64> = report.refused.iter().map(|row| row.line).collect();
        assert_eq!(lines, [4, 5, 6]);
    }

    #[test]
    fn a_file_without_addresses_says_which_columns_it_has() {
        let error = read(b"Name,Phone\nAda,1\n").expect_err("there is no address");
        assert_eq!(
            error.to_string(),
            "no column holds email addresses; name one `Email` (found: Name, Phone)"
        );
    }

    #[test]
    fn latin_letters_of_an_old_export_survive() {
        let (contacts, _) =
            read(b"name,email\nJos\xe9 Garc\xeda,jose@example.com\n").expect("readable");
        assert_eq!(
            (contacts[0].first_name.as_str(), contacts[0].last_name.as_str()),
            ("José", "García")
        );
    }

    #[test]
    fn a_messy_export_is_counted_as_its_makers_counted_it() {
        let folder =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/contacts");
        let Ok(bytes) = std::fs::read(folder.join("contacts.csv")) else {
            eprintln!("skipped: no shared contacts here");
            return;
        };
        let (contacts, report) = read(&bytes).expect("the export can be read");
        assert_eq!(
            (
                report.rows,
                contacts.len(),
                report.duplicate,
                report.invalid_email,
                report.missing_email
            ),
            (1000, 957, 19, 18, 6)
        );
    }
}
