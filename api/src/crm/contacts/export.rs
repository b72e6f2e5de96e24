//! Contacts as a table, streamed: a large one is never held in memory. Each page is read in a transaction of its own, so
//! that a slow reader holds no connection; a contact that changes meanwhile appears as it was when its page was read.

use std::io;

use axum::body::{Body, Bytes};
use axum::extract::State as Shared;
use axum::response::Response;
use crm::contact::{self, Contact, LISTED, PAGE, SORTS};
use crm::custom_field::{self, CustomField, Entity};
use crm::filter::{After, Checked, Sort};
use engine::id;
use futures_util::stream;
use serde_json::Value;

use super::super::table;
use crate::State;
use crate::listing::{Listing, ListingParams};
use crate::problem::Problem;
use crate::tenant::{self, Caller};

/// The columns that all contacts have; custom fields follow. An import of the table reads each by its header.
const HEADER: [&str; 19] = [
    "id",
    "first_name",
    "last_name",
    "email",
    "phone",
    "title",
    "company",
    "country",
    "region",
    "city",
    "time_zone",
    "locale",
    "linkedin_url",
    "status",
    "tags",
    "score",
    "level",
    "created_at",
    "updated_at",
];

/// Contacts as CSV, by the filter and the order of the listing; `limit` and `cursor` count for nothing. A cell that a
/// spreadsheet would run as a formula is preceded by a quote. The table is not a snapshot: it is read a page at a time, and
/// a contact that changes during the export appears as it was when its page was read.
#[utoipa::path(
    get, path = "/contacts/export.csv",
    params(ListingParams),
    responses((status = 200, description = "As asked", body = String, content_type = "text/csv")),
    security(("bearer" = ["contacts:read"])),
)]
pub(in super::super) async fn export(
    Shared(state): Shared<State>,
    caller: Caller,
    listing: Listing,
) -> Result<Response, Problem> {
    let customer_id = caller.customer_id;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let fields = custom_field::of(&mut *tx, customer_id, Entity::Contact).await?;
    let checked = listing.check(LISTED, &fields)?;
    let (sort, _) = listing.order(SORTS)?;
    let custom = fields.iter().map(|field| format!("custom.{}", field.key)).collect::<Vec<_>>();
    let header = HEADER.into_iter().chain(custom.iter().map(String::as_str));
    let first = Next::Header(table::rows([header])?);
    tx.undo().await?;
    let export = Export { state, caller, checked, sort, fields };
    let pages = stream::unfold((export, first), |(export, next)| async move {
        match next {
            Next::Header(bytes) => Some((Ok(bytes), (export, Next::Page(None)))),
            Next::Page(after) => match export.page(after.as_ref()).await {
                Ok(Some((bytes, next))) => Some((Ok(bytes), (export, next))),
                Ok(None) => None,
                // The answer has begun: all that is left is to break it off, so that nobody takes it for whole.
                Err(_) => {
                    Some((Err(io::Error::other("the rows can't be read")), (export, Next::End)))
                }
            },
            Next::End => None,
        }
    });
    Ok(table::answer("contacts.csv", Body::from_stream(pages)))
}

/// What comes next.
enum Next {
    Header(Bytes),
    Page(Option<After>),
    End,
}

/// An export under way.
struct Export {
    state: State,
    caller: Caller,
    checked: Checked,
    sort: Sort,
    fields: Vec<CustomField>,
}

impl Export {
    /// The rows after one, and what comes next.
    async fn page(&self, after: Option<&After>) -> Result<Option<(Bytes, Next)>, Problem> {
        let Self { state, caller, checked, sort, fields } = self;
        let mut tx = tenant::begin_part(&state.pool, caller).await?;
        let found = contact::list(&mut tx, caller.customer_id, checked, *sort, after, PAGE).await?;
        tx.rollback().await?;
        let Some((_, last)) = found.last() else { return Ok(None) };
        let whole = u32::try_from(found.len()).is_ok_and(|rows| rows == PAGE);
        let next = if whole { Next::Page(Some(last.clone())) } else { Next::End };
        let rows: Vec<Vec<String>> =
            found.into_iter().map(|(contact, _)| cells(contact, fields)).collect();
        let bytes = table::rows(rows.iter().map(|row| row.iter().map(String::as_str)))?;
        Ok(Some((bytes, next)))
    }
}

fn cells(contact: Contact, fields: &[CustomField]) -> Vec<String> {
    let text = |value: Option<String>| value.unwrap_or_default();
    let own = [
        id::show("con", contact.id),
        contact.first_name,
        contact.last_name,
        contact.email,
        text(contact.phone),
        text(contact.title),
        text(contact.company),
        text(contact.country),
        text(contact.region),
        text(contact.city),
        text(contact.time_zone),
        text(contact.locale),
        text(contact.linkedin_url),
        contact.status,
        contact.tags.join("; "),
        contact.score.to_string(),
        contact.level,
        contact.created_at.to_rfc3339(),
        contact.updated_at.to_rfc3339(),
    ];
    let value = |field: &CustomField| match &contact.custom[&field.key] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => {
            let words = values.iter().map(|one| one.as_str().unwrap_or_default());
            words.collect::<Vec<_>>().join("; ")
        }
        other @ (Value::Bool(_) | Value::Number(_) | Value::Object(_)) => other.to_string(),
    };
    own.into_iter().chain(fields.iter().map(value)).collect()
}
