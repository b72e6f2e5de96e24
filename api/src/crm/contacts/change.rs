//! Changing a contact, deleting it, and bringing it back.

use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use crm::change::present;
use crm::contact::{self, Change, Changing, Contact};
use crm::custom_field::Entity;
use crm::enrollment;
use engine::timing::Zone;
use serde::Deserialize;
use serde_json::{Map, Value};
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::super::custom::{self, Of};
use super::super::references::{account, out_of_reach, owner};
use super::{ContactBody, Tagged, check_texts, show, tagged};
use crate::State;
use crate::input::{Body, address, path_id};
use crate::problem::{Kind, Problem};
use crate::revision;
use crate::tenant::{self, Caller};

/// What is to become of a contact: what is left out stays, what is `null` is unknown from then on.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ContactChange)]
pub(in super::super) struct Wanted {
    email: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    first_name: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    last_name: Option<Option<String>>,
    /// The company's name; its account is found or made.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    company: Option<Option<String>>,
    /// Its account, in place of its name.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    account_id: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    owner_id: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    phone: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    title: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    linkedin_url: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    country: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    region: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    city: Option<Option<String>>,
    /// An IANA zone; `null` leaves it to the place or the telephone number.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    time_zone: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    locale: Option<Option<String>>,
    /// All tags, in place of those that are there.
    tags: Option<Vec<String>>,
    /// Tags to add to those that are there.
    #[serde(default)]
    add_tags: Vec<String>,
    /// Tags to take away.
    #[serde(default)]
    remove_tags: Vec<String>,
    /// Custom fields to set, by their keys; `null` takes one away, the others stay.
    #[schema(value_type = Option<Object>)]
    custom: Option<Map<String, Value>>,
}

impl Wanted {
    fn check(&self) -> Result<(), Problem> {
        fn text(field: &Option<Option<String>>) -> Option<&str> {
            field.as_ref().and_then(Option::as_deref)
        }
        let texts = [
            ("first_name", text(&self.first_name)),
            ("last_name", text(&self.last_name)),
            ("company", text(&self.company)),
            ("phone", text(&self.phone)),
            ("title", text(&self.title)),
            ("country", text(&self.country)),
            ("region", text(&self.region)),
            ("city", text(&self.city)),
            ("locale", text(&self.locale)),
            ("linkedin_url", text(&self.linkedin_url)),
        ];
        check_texts(&texts, self.tags.as_deref().unwrap_or(&self.add_tags))?;
        let some = !self.add_tags.is_empty() || !self.remove_tags.is_empty();
        if self.tags.is_some() && some {
            return Err(Problem::invalid(
                "tags",
                "are all tags; give them, or what to add and remove",
            ));
        }
        if self.company.is_some() && self.account_id.is_some() {
            return Err(Problem::invalid(
                "account_id",
                "is given beside `company`; give one of them",
            ));
        }
        if let Some(zone) = text(&self.time_zone) {
            Zone::parse(zone).map_err(|error| Problem::invalid("time_zone", error.to_string()))?;
        }
        Ok(())
    }

    /// Refuses what no two records can share.
    pub(in super::super) fn check_many(&self) -> Result<(), Problem> {
        match &self.email {
            Some(_) => Err(Problem::invalid("set.email", "is one contact's alone")),
            None => Ok(()),
        }
    }

    /// The change, where all that it names is there.
    pub(in super::super) async fn read(
        self,
        tx: &mut PgConnection,
        customer_id: Uuid,
    ) -> Result<Change, Problem> {
        self.check()?;
        let values = self.custom.unwrap_or_default();
        custom::check(&mut *tx, customer_id, Entity::Contact, &values, Of::Change).await?;
        let email = self.email.map(|given| address("email", &given));
        let account_id = match self.account_id {
            Some(named) => {
                Some(account(&mut *tx, customer_id, "account_id", named.as_deref()).await?)
            }
            None => None,
        };
        let owner_id = match self.owner_id {
            Some(named) => Some(owner(&mut *tx, customer_id, named.as_deref()).await?),
            None => None,
        };
        // To the rules of contacts an empty text is an unknown one.
        let text = |field: Option<Option<String>>| field.map(Option::unwrap_or_default);
        Ok(Change {
            email: email.transpose()?,
            account_id,
            owner_id,
            first_name: text(self.first_name),
            last_name: text(self.last_name),
            company: text(self.company),
            phone: text(self.phone),
            title: text(self.title),
            linkedin_url: text(self.linkedin_url),
            country: text(self.country),
            region: text(self.region),
            city: text(self.city),
            time_zone: text(self.time_zone),
            locale: text(self.locale),
            tags: self.tags,
            add_tags: self.add_tags,
            remove_tags: self.remove_tags,
            custom: values,
        })
    }
}

/// Locks a contact that the caller reaches.
async fn lock(tx: &mut PgConnection, caller: &Caller, text: &str) -> Result<Contact, Problem> {
    let contact_id = path_id("con", text)?;
    let found = contact::lock(tx, caller.customer_id, contact_id).await?;
    found.ok_or_else(|| Problem::new(Kind::NotFound))
}

/// Changes what the body names.
#[utoipa::path(
    patch, path = "/contacts/{id}",
    request_body = Wanted,
    responses((status = 200, description = "As asked", body = ContactBody)),
    security(("bearer" = ["contacts:write"])),
)]
pub(super) async fn change(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(contact): Path<String>,
    headers: HeaderMap,
    Body(wanted): Body<Wanted>,
) -> Result<Tagged, Problem> {
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let locked = lock(&mut tx, &caller, &contact).await?;
    revision::require(&headers, revision::of(locked.updated_at))?;
    let customer_id = caller.customer_id;
    let change = wanted.read(&mut tx, customer_id).await?;
    let changing = Changing { customer_id, contact_id: locked.id, change };
    contact::change(&mut tx, &[changing], "api").await?;
    let changed = contact::find(&mut *tx, customer_id, locked.id).await?;
    changed.map(tagged).ok_or_else(out_of_reach)
}

/// Deletes a contact and ends its enrollments; the contact can be restored.
#[utoipa::path(
    delete, path = "/contacts/{id}",
    responses((status = 204, description = "It is deleted")),
    security(("bearer" = ["contacts:write"])),
)]
pub(super) async fn delete(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(contact): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let locked = lock(&mut tx, &caller, &contact).await?;
    revision::check(&headers, revision::of(locked.updated_at))?;
    let (customer_id, actor) = (caller.customer_id, caller.actor());
    enrollment::end_all(&mut tx, &state.definitions, customer_id, locked.id, &actor).await?;
    contact::delete(&mut tx, customer_id, locked.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Brings a deleted contact back.
#[utoipa::path(
    post, path = "/contacts/{id}/restore",
    responses((status = 200, description = "As asked", body = ContactBody)),
    security(("bearer" = ["contacts:write"])),
)]
pub(super) async fn restore(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(contact): Path<String>,
) -> Result<Json<ContactBody>, Problem> {
    let contact_id = path_id("con", &contact)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = contact::restore(&mut tx, caller.customer_id, contact_id).await?;
    found.map(|found| Json(show(found))).ok_or_else(|| Problem::new(Kind::NotFound))
}
