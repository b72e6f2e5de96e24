//! Contacts: make one, read one, list them.

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderName, StatusCode, header};
use chrono::{DateTime, Utc};
use crm::contact::{self, Contact, ContactError, Filter, NewContact};
use engine::id;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::State;
use crate::input::{Body, Params, bounded, path_id};
use crate::page::{self, Cursors, Page};
use crate::problem::{Kind, Problem};
use crate::revision;
use crate::tenant::{self, Caller};

/// The routes.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(find))
}

/// A contact as people read it.
#[derive(Serialize, ToSchema)]
#[schema(as = Contact)]
struct ContactBody {
    #[schema(example = "con_01h455vb4pex5vsknk084sn02q")]
    id: String,
    account_id: Option<String>,
    company: Option<String>,
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
    score: i32,
    /// `cold`, `warm` from 5 on, `hot` from 20 on.
    level: &'static str,
}

/// A score in a word.
fn level(score: i32) -> &'static str {
    match score {
        20.. => "hot",
        5..20 => "warm",
        _less => "cold",
    }
}

fn show(contact: Contact) -> ContactBody {
    ContactBody {
        id: id::show("con", contact.id),
        account_id: contact.account_id.map(|account| id::show("acc", account)),
        company: contact.company,
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
        locale: contact.locale,
        status: contact.status,
        tags: contact.tags,
        custom: contact.custom,
        engagement: Engagement { score: contact.score, level: level(contact.score) },
        created_at: contact.created_at,
        updated_at: contact.updated_at,
    }
}

/// A contact to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewContact)]
struct Create {
    #[schema(example = "ada@example.com")]
    email: String,
    #[serde(default)]
    first_name: String,
    #[serde(default)]
    last_name: String,
    company: Option<String>,
    phone: Option<String>,
    title: Option<String>,
    linkedin_url: Option<String>,
    country: Option<String>,
    region: Option<String>,
    city: Option<String>,
    time_zone: Option<String>,
    locale: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    /// Custom fields, by their keys.
    #[schema(value_type = Option<Object>)]
    custom: Option<Map<String, Value>>,
}

impl Create {
    /// Refuses texts that are longer than a name, a place or a link is.
    fn check(&self) -> Result<(), Problem> {
        bounded("first_name", &self.first_name, 200)?;
        bounded("last_name", &self.last_name, 200)?;
        let optional = [
            ("company", &self.company),
            ("phone", &self.phone),
            ("title", &self.title),
            ("country", &self.country),
            ("region", &self.region),
            ("city", &self.city),
            ("locale", &self.locale),
        ];
        for (field, text) in optional {
            bounded(field, text.as_deref().unwrap_or_default(), 200)?;
        }
        bounded("linkedin_url", self.linkedin_url.as_deref().unwrap_or_default(), 2_000)?;
        if self.tags.len() > 100 {
            return Err(Problem::invalid("tags", "are too many; 100 are the most"));
        }
        self.tags.iter().try_for_each(|tag| bounded("tags", tag, 100))
    }

    fn record(self) -> NewContact {
        NewContact {
            first_name: self.first_name,
            last_name: self.last_name,
            email: self.email,
            company: self.company,
            phone: self.phone,
            title: self.title,
            linkedin_url: self.linkedin_url,
            country: self.country,
            region: self.region,
            city: self.city,
            time_zone: self.time_zone,
            locale: self.locale,
            tags: self.tags,
            custom: self.custom.map(Value::Object),
        }
    }
}

/// A contact with its revision as its `ETag`.
type Tagged = ([(HeaderName, String); 1], Json<ContactBody>);

fn tagged(contact: Contact) -> Tagged {
    let tag = revision::tag(revision::of(contact.updated_at));
    ([(header::ETAG, tag)], Json(show(contact)))
}

/// Makes a contact.
#[utoipa::path(
    post, path = "/contacts",
    request_body = Create,
    responses((status = 201, description = "Made", body = ContactBody)),
    security(("bearer" = ["contacts:write"])),
)]
async fn create(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(new): Body<Create>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<ContactBody>), Problem> {
    new.check()?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let made = contact::create(&mut tx, caller.customer_id, new.record()).await.map_err(refused)?;
    let made = show(made);
    let location = format!("/api/v1/contacts/{}", made.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(made)))
}

fn refused(error: ContactError) -> Problem {
    match error {
        ContactError::InvalidEmail(_) => Problem::invalid("email", error.to_string()),
        ContactError::UnknownZone(zone) => Problem::invalid("time_zone", zone.to_string()),
        ContactError::Duplicate { contact_id } => Problem::new(Kind::DuplicateContact)
            .detail(format!("{} has this address", id::show("con", contact_id))),
        ContactError::Database(error) => error.into(),
    }
}

/// A contact.
#[utoipa::path(
    get, path = "/contacts/{id}",
    responses((status = 200, description = "As asked", body = ContactBody)),
    security(("bearer" = ["contacts:read"])),
)]
async fn find(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(contact): Path<String>,
) -> Result<Tagged, Problem> {
    let contact_id = path_id("con", &contact)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = contact::find(&mut *tx, caller.customer_id, contact_id).await?;
    found.map(tagged).ok_or_else(|| Problem::new(Kind::NotFound))
}

/// Which contacts to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct List {
    /// What name or address contains.
    q: Option<String>,
    /// `active unsubscribed bounced erased`.
    status: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// Contacts, newest first.
#[utoipa::path(
    get, path = "/contacts",
    params(List),
    responses((status = 200, description = "As asked", body = Page<ContactBody>)),
    security(("bearer" = ["contacts:read"])),
)]
async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    cursors: Cursors,
    Params(wanted): Params<List>,
) -> Result<Json<Page<ContactBody>>, Problem> {
    let limit = page::limit(wanted.limit)?;
    let before = cursors.read_id(wanted.cursor.as_deref())?;
    let filter = Filter { q: wanted.q, status: wanted.status, before };
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = contact::list(&mut *tx, caller.customer_id, &filter, limit).await?;
    Ok(Json(Page::of(found, limit, |contact| cursors.after_id(contact.id), show)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_answer_makes_a_contact_hot_and_a_click_makes_it_warm() {
        assert_eq!([-20, 4, 5, 19, 20].map(super::level), ["cold", "cold", "warm", "warm", "hot"]);
    }
}
