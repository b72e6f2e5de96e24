//! Accounts: the companies that contacts work for.

mod change;
mod create;
mod read;

pub(super) use change::Wanted;

use axum::Json;
use axum::http::{HeaderName, header};
use chrono::{DateTime, Utc};
use crm::account::{Account, AccountError, Address};
use engine::id;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::references::out_of_reach;
use crate::State;
use crate::input::bounded;
use crate::problem::{Kind, Problem};
use crate::revision;

/// The routes.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(read::list, create::create))
        .routes(routes!(read::find, change::change, change::delete))
        .routes(routes!(change::restore))
}

/// An account as people read it.
#[derive(Serialize, ToSchema)]
#[schema(as = Account)]
struct AccountBody {
    #[schema(example = "acc_01h455vb4pex5vsknk084sn02q")]
    id: String,
    name: String,
    domain: Option<String>,
    industry: Option<String>,
    employees: Option<i32>,
    phone: Option<String>,
    website: Option<String>,
    address: Address,
    owner_id: Option<String>,
    tags: Vec<String>,
    /// Custom fields, by their keys.
    #[schema(value_type = Object)]
    custom: Map<String, Value>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

fn show(account: Account) -> AccountBody {
    AccountBody {
        id: id::show("acc", account.id),
        name: account.name,
        domain: account.domain,
        industry: account.industry,
        employees: account.employees,
        phone: account.phone,
        website: account.website,
        address: account.address.0,
        owner_id: account.owner_id.map(|owner| id::show("usr", owner)),
        tags: account.tags,
        custom: account.custom.0,
        created_at: account.created_at,
        updated_at: account.updated_at,
    }
}

/// An account with its revision as its `ETag`.
type Tagged = ([(HeaderName, String); 1], Json<AccountBody>);

fn tagged(account: Account) -> Tagged {
    let tag = revision::tag(revision::of(account.updated_at));
    ([(header::ETAG, tag)], Json(show(account)))
}

fn refused(error: AccountError) -> Problem {
    match error {
        AccountError::NameTaken => Problem::new(Kind::NameTaken).detail(error.to_string()),
        AccountError::UnknownOwner => Problem::invalid("owner_id", error.to_string()),
        AccountError::OutOfReach => out_of_reach(),
        AccountError::Database(error) => error.into(),
    }
}

/// Refuses texts that are longer than what they name is, and what is no domain, number or tag.
fn check(
    texts: &[(&str, Option<&str>)],
    address: Option<&Address>,
    employees: Option<i32>,
    tags: &[String],
) -> Result<(), Problem> {
    for (field, text) in texts {
        let most = if *field == "website" { 2_000 } else { 200 };
        let text = text.unwrap_or_default();
        bounded(field, text, most)?;
        if *field == "domain"
            && !text.is_empty()
            && (!text.contains('.') || text.contains(['/', '@', ' ']))
        {
            return Err(Problem::invalid("domain", "is no domain; write it as example.com"));
        }
    }
    if let Some(Address { street, postal_code, city, region, country }) = address {
        for (field, text) in [
            ("address.street", street),
            ("address.postal_code", postal_code),
            ("address.city", city),
            ("address.region", region),
            ("address.country", country),
        ] {
            bounded(field, text.as_deref().unwrap_or_default(), 200)?;
        }
    }
    if employees.is_some_and(|employees| employees < 0) {
        return Err(Problem::invalid("employees", "is 0 or more"));
    }
    if tags.len() > 100 || tags.iter().any(|tag| tag.trim().is_empty() || tag.chars().count() > 100)
    {
        return Err(Problem::invalid("tags", "are at most 100, each of 1 to 100 characters"));
    }
    Ok(())
}
