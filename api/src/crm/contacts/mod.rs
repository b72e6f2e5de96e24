//! Contacts: the people that a customer talks to.

mod change;
mod create;
mod export;
mod read;
mod unsubscribe;

pub(super) use change::Wanted;

use axum::Json;
use axum::http::{HeaderName, header};
use chrono::{DateTime, Utc};
use crm::contact::Contact;
use engine::id;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::State;
use crate::input::bounded;
use crate::problem::Problem;
use crate::revision;

/// The routes.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(read::list, create::create))
        .routes(routes!(export::export))
        .routes(routes!(read::find, change::change, change::delete))
        .routes(routes!(change::restore))
        .routes(routes!(unsubscribe::unsubscribe))
}

/// A contact as people read it.
#[derive(Serialize, ToSchema)]
#[schema(as = Contact)]
struct ContactBody {
    #[schema(example = "con_01h455vb4pex5vsknk084sn02q")]
    id: String,
    account_id: Option<String>,
    company: Option<String>,
    owner_id: Option<String>,
    first_name: String,
    last_name: String,
    email: String,
    phone: Option<String>,
    title: Option<String>,
    linkedin_url: Option<String>,
    country: Option<String>,
    region: Option<String>,
    city: Option<String>,
    time_zone: Option<String>,
    /// How the zone became known: `given`, by `region`, `country` or `phone`.
    time_zone_source: Option<String>,
    locale: Option<String>,
    status: String,
    tags: Vec<String>,
    /// Custom fields, by their keys.
    #[schema(value_type = Object)]
    custom: Value,
    engagement: Engagement,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(Serialize, ToSchema)]
struct Engagement {
    /// Now.
    score: i32,
    /// `cold`, `warm` or `hot`.
    level: String,
}

fn show(contact: Contact) -> ContactBody {
    ContactBody {
        id: id::show("con", contact.id),
        account_id: contact.account_id.map(|account| id::show("acc", account)),
        company: contact.company,
        owner_id: contact.owner_id.map(|owner| id::show("usr", owner)),
        first_name: contact.first_name,
        last_name: contact.last_name,
        email: contact.email,
        phone: contact.phone,
        title: contact.title,
        linkedin_url: contact.linkedin_url,
        country: contact.country,
        region: contact.region,
        city: contact.city,
        time_zone: contact.time_zone,
        time_zone_source: contact.zone_source,
        locale: contact.locale,
        status: contact.status,
        tags: contact.tags,
        custom: contact.custom,
        engagement: Engagement { score: contact.score, level: contact.level },
        created_at: contact.created_at,
        updated_at: contact.updated_at,
    }
}

/// A contact with its revision as its `ETag`.
type Tagged = ([(HeaderName, String); 1], Json<ContactBody>);

fn tagged(contact: Contact) -> Tagged {
    let tag = revision::tag(revision::of(contact.updated_at));
    ([(header::ETAG, tag)], Json(show(contact)))
}

/// Refuses texts that are longer than a name, a place or a link is.
fn check_texts(texts: &[(&str, Option<&str>)], tags: &[String]) -> Result<(), Problem> {
    for (field, text) in texts {
        let most = if *field == "linkedin_url" { 2_000 } else { 200 };
        bounded(field, text.unwrap_or_default(), most)?;
    }
    if tags.len() > 100 {
        return Err(Problem::invalid("tags", "are too many; 100 are the most"));
    }
    for tag in tags {
        bounded("tags", tag, 100)?;
        if tag.trim().is_empty() {
            return Err(Problem::invalid("tags", "one of them is empty"));
        }
    }
    Ok(())
}
