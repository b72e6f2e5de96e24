//! Contacts: the people that a customer talks to. Owns `contacts`.

mod change;
mod list;
mod respell;
mod wipe;
mod write;
mod zone;

use chrono::{DateTime, Utc};
use engine::step::FieldType;
use engine::timing::Zone;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgExecutor;
use uuid::Uuid;

pub use change::{Change, Changing, change};
pub use list::{FIELDS as LISTED, LEVELS, SORTS, STATUSES, active, list, search};
pub(crate) use respell::respell;
pub(crate) use wipe::{erase, erased_among, lock_all};
pub use write::{ContactError, create, delete, lock, mark_bounced, restore};
pub(crate) use write::{count_events, hold, insert_placed, mark_unsubscribed, rename_company};
pub use zone::ZoneSource;

/// The most rows of one page.
pub const PAGE: u32 = 200;

/// A contact.
#[derive(Debug, Clone, PartialEq, Serialize, sqlx::FromRow)]
pub struct Contact {
    /// Whose it is.
    pub customer_id: Uuid,
    /// Its id (`con_…`).
    pub id: Uuid,
    /// The company.
    pub account_id: Option<Uuid>,
    /// The company's name, also where it has no account.
    pub company: Option<String>,
    /// Whose it is.
    pub owner_id: Option<Uuid>,
    /// First name; empty where unknown.
    pub first_name: String,
    /// Last name; empty where unknown.
    pub last_name: String,
    /// The address; one live contact of a customer has it.
    pub email: String,
    /// As it was given.
    pub phone: Option<String>,
    /// The job title.
    pub title: Option<String>,
    /// A profile.
    pub linkedin_url: Option<String>,
    /// Name or code, as it was given.
    pub country: Option<String>,
    /// State or province.
    pub region: Option<String>,
    /// City.
    pub city: Option<String>,
    /// IANA zone.
    pub time_zone: Option<String>,
    /// How the zone became known: `given`, `region`, `country` or `phone`.
    pub zone_source: Option<String>,
    /// BCP 47 tag.
    pub locale: Option<String>,
    /// `active`, `unsubscribed`, `bounced` or `erased`.
    pub status: String,
    /// Free words.
    pub tags: Vec<String>,
    /// The customer's own fields.
    pub custom: Value,
    /// How engaged the person is now; 0 where nothing happened.
    pub score: i32,
    /// What that means: `cold`, `warm` or `hot`.
    pub level: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// A contact to make; what is `None` is unknown.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NewContact {
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// The address.
    pub email: String,
    /// The account; the company's is found or made where there is none.
    pub account_id: Option<Uuid>,
    /// The company's name.
    pub company: Option<String>,
    /// Whose it is.
    pub owner_id: Option<Uuid>,
    /// Telephone.
    pub phone: Option<String>,
    /// Job title.
    pub title: Option<String>,
    /// A profile.
    pub linkedin_url: Option<String>,
    /// Country.
    pub country: Option<String>,
    /// State or province.
    pub region: Option<String>,
    /// City.
    pub city: Option<String>,
    /// IANA zone.
    pub time_zone: Option<String>,
    /// BCP 47 tag.
    pub locale: Option<String>,
    /// Free words.
    pub tags: Vec<String>,
    /// The customer's own fields, a JSON object.
    pub custom: Option<Value>,
}

/// A contact by id.
///
/// # Errors
/// What the statement returned.
pub async fn find(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    id: Uuid,
) -> Result<Option<Contact>, sqlx::Error> {
    Ok(find_all(db, customer_id, &[id]).await?.pop())
}

/// The contacts of these ids that are there, in no order.
///
/// # Errors
/// What the statement returned.
pub async fn find_all(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    ids: &[Uuid],
) -> Result<Vec<Contact>, sqlx::Error> {
    sqlx::query_as!(
        Contact,
        r#"select c.customer_id, c.id, c.account_id, c.company, c.owner_id, c.first_name, c.last_name, c.email, c.phone,
             c.title, c.linkedin_url, c.country, c.region, c.city, c.time_zone, c.zone_source, c.locale, c.status,
             c.tags, c.custom, coalesce(crm.score(g.sum, g.as_of, g.half_life_seconds), 0) as "score!",
             coalesce(g.level, 'cold') as "level!", c.created_at, c.updated_at
           from contacts c left join engagement g on g.customer_id = c.customer_id and g.contact_id = c.id
           where c.customer_id = $1 and c.id = any($2) and c.deleted_at is null"#,
        customer_id,
        ids,
    )
    .fetch_all(db)
    .await
}

/// The live contact of an address.
///
/// # Errors
/// What the statement returned.
pub async fn find_by_email(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    email: &str,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select id as "id!" from crm.contacts_in_reach
           where customer_id = $1 and lower(email) = lower($2) and deleted_at is null"#,
        customer_id,
        email,
    )
    .fetch_optional(db)
    .await
}

/// How many contacts a customer has.
///
/// # Errors
/// What the statement returned.
pub async fn count(db: impl PgExecutor<'_>, customer_id: Uuid) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from contacts where customer_id = $1 and deleted_at is null"#,
        customer_id,
    )
    .fetch_one(db)
    .await
}

/// What expressions and templates may read of a contact.
pub const FIELDS: &[(&str, FieldType)] = &[
    ("id", FieldType::Text),
    ("first_name", FieldType::Text),
    ("last_name", FieldType::Text),
    ("email", FieldType::Text),
    ("company", FieldType::Text),
    ("title", FieldType::Text),
    ("phone", FieldType::Text),
    ("country", FieldType::Text),
    ("region", FieldType::Text),
    ("city", FieldType::Text),
    ("time_zone", FieldType::Text),
    ("locale", FieldType::Text),
    ("status", FieldType::Text),
    ("score", FieldType::Number),
    ("level", FieldType::Text),
    ("tags", FieldType::List),
    ("custom", FieldType::Any),
    ("created_on", FieldType::Date),
];

/// The fields that change by themselves while a run goes on.
pub const VOLATILE: &[&str] = &["score", "level"];

/// A contact as runs see it; unknown texts are empty, so that a template's `default` takes over.
pub fn subject(contact: &Contact) -> Value {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    json!({
        "id": engine::id::show("con", contact.id),
        "first_name": contact.first_name,
        "last_name": contact.last_name,
        "email": contact.email,
        "company": text(&contact.company),
        "title": text(&contact.title),
        "phone": text(&contact.phone),
        "country": text(&contact.country),
        "region": text(&contact.region),
        "city": text(&contact.city),
        "time_zone": text(&contact.time_zone),
        "locale": text(&contact.locale),
        "status": contact.status,
        "score": contact.score,
        "level": contact.level,
        "tags": contact.tags,
        "custom": contact.custom,
        "created_on": contact.created_at.date_naive(),
    })
}

/// The contact's own zone: as it is kept, else where its country, region or number lie.
pub fn zone(contact: &Contact) -> Option<Zone> {
    if let Some(zone) = contact.time_zone.as_deref().and_then(|name| Zone::parse(name).ok()) {
        return Some(zone);
    }
    let (country, region) = (contact.country.as_deref(), contact.region.as_deref());
    zone::derived(country, region, contact.phone.as_deref()).map(|(zone, _)| zone)
}
