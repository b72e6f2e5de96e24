//! Imports of contacts from CSV files. Owns `imports`, `import_chunks` and `import_refusals`. A file is read and judged as
//! a whole before anything is written; then its rows become contacts chunk by chunk, each chunk gone with the
//! transaction that wrote it, so that none is written twice and none is lost, whatever stops the work.

mod abandoned;
mod addresses;
mod advance;
mod column;
mod country;
mod decode;
mod header;
mod kind;
mod letters;
mod name;
mod opt_out;
mod read;
mod store;
mod table;
mod words;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use utoipa::ToSchema;
use uuid::Uuid;

pub(crate) use abandoned::give_up;
pub use advance::{Advanced, Whole, advance, whole};
pub use column::{Own, Target};
pub use read::{Column, Parsed, RefusedRow, RowReason, read};
pub(crate) use store::erase;
pub use store::{Refusal, find, list, preview, refusals, store};

/// The most rows of one file; more come in several files.
pub const MAX_ROWS: u64 = 500_000;
/// The largest file, in bytes.
pub const MAX_BYTES: usize = 50 * 1024 * 1024;

/// How far an import may be.
pub const STATUSES: &[&str] = &["queued", "running", "done", "failed"];

/// What becomes of a row whose contact is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDuplicate {
    /// The contact stays as it is.
    #[default]
    Skip,
    /// The contact gets what the row says; what the row leaves empty stays.
    Update,
}

impl OnDuplicate {
    fn word(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Update => "update",
        }
    }
}

/// How a file is imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What the file is called.
    pub name: String,
    /// The field of a column by its header, or that it is left out; the others are proposed.
    pub mapping: BTreeMap<String, Option<String>>,
    /// What becomes of a row whose contact is there.
    pub on_duplicate: OnDuplicate,
    /// Whether companies become accounts that are not there yet.
    pub create_accounts: bool,
    /// Who does it.
    pub actor: String,
}

/// What was counted of a file's rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ImportCounts)]
pub struct Counts {
    /// Rows of the file, the header and blank lines apart.
    pub rows: u64,
    /// New contacts.
    pub created: u64,
    /// Contacts that were there and got what their row says.
    pub updated: u64,
    /// Rows whose contact was there and stays as it is.
    pub skipped: u64,
    /// Rows that repeat an earlier row's address.
    pub duplicate: u64,
    /// Rows with no usable address.
    pub invalid_email: u64,
    /// Rows without an address.
    pub missing_email: u64,
    /// Rows with a cell that its field does not take.
    pub invalid: u64,
}

/// An import.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    /// Its id (`imp_…`), also its run's.
    pub id: Uuid,
    /// What the file is called.
    pub name: String,
    /// The file's header.
    pub header: Vec<String>,
    /// By column, the field that it fills.
    pub mapping: Json<Vec<Option<Target>>>,
    /// `queued`, `running`, `done` or `failed`.
    pub status: String,
    /// How many rows are decided.
    pub done: i64,
    /// What was counted.
    pub counts: Counts,
    /// Why it failed.
    pub error: Option<String>,
    /// When it was ordered.
    pub created_at: DateTime<Utc>,
    /// When it last went on.
    pub updated_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is another kind of file.
    #[error("the file is {kind}")]
    NoText { kind: &'static str },
    /// No column holds addresses.
    #[error("no column holds email addresses; name one `Email` (found: {found})")]
    NoAddressColumn { found: String },
    /// Several columns hold addresses.
    #[error(
        "the columns {columns} hold email addresses, and no header tells which is the contact's; name it by a mapping, such as {{\"{first}\": \"email\"}} over the API or --map \"{first}=email\""
    )]
    SeveralAddressColumns { columns: String, first: String },
    /// The only columns that hold addresses are about the seller.
    #[error(
        "no column holds the contacts' email addresses: {columns} is about the seller; name one `Email`, or if it is the contact's after all, name it by a mapping, such as {{\"{first}\": \"email\"}} over the API or --map \"{first}=email\""
    )]
    SellersOnly { columns: String, first: String },
    /// The first line is a row.
    #[error(
        "the first line is data, not a header (line {line}); add a line above it that names the columns, such as `Email,First Name,Last Name`"
    )]
    NoHeader { line: u64 },
    /// A cell has no end.
    #[error(
        "the quote that opens in line {line} is never closed; close it, and write a quote within a cell twice"
    )]
    OpenQuote { line: u64 },
    /// Two columns have one name.
    #[error("the header `{name}` stands twice, again in column {column}; name each column once")]
    HeaderTwice { name: String, column: usize },
    /// More than a table of contacts has.
    #[error("the file has {found} columns; 200 are the most: leave out those that nobody needs")]
    TooManyColumns { found: usize },
    /// What was said of a column can't be.
    #[error("column `{header}`: {message}")]
    Mapping { header: String, message: String },
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
