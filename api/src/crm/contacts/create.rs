//! Making a contact.

use axum::Json;
use axum::extract::State as Shared;
use axum::http::{HeaderName, StatusCode, header};
use crm::contact::{self, ContactError, NewContact};
use crm::custom_field::Entity;
use engine::id;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::super::custom::{self, Of};
use super::super::references::{account, out_of_reach, owner};
use super::{ContactBody, check_texts, show};
use crate::State;
use crate::input::Body;
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Caller};

/// A contact to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewContact)]
pub(super) struct Create {
    #[schema(example = "ada@example.com")]
    email: String,
    #[serde(default)]
    first_name: String,
    #[serde(default)]
    last_name: String,
    /// The company's name; its account is found or made.
    company: Option<String>,
    /// Its account, in place of its name.
    account_id: Option<String>,
    owner_id: Option<String>,
    phone: Option<String>,
    title: Option<String>,
    linkedin_url: Option<String>,
    country: Option<String>,
    region: Option<String>,
    city: Option<String>,
    /// An IANA zone; where none is given, the place or the telephone number tell it, if they do.
    time_zone: Option<String>,
    locale: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    /// Custom fields, by their keys.
    #[schema(value_type = Option<Object>)]
    custom: Option<Map<String, Value>>,
}

impl Create {
    fn check(&self) -> Result<(), Problem> {
        let texts = [
            ("first_name", Some(self.first_name.as_str())),
            ("last_name", Some(self.last_name.as_str())),
            ("company", self.company.as_deref()),
            ("phone", self.phone.as_deref()),
            ("title", self.title.as_deref()),
            ("country", self.country.as_deref()),
            ("region", self.region.as_deref()),
            ("city", self.city.as_deref()),
            ("locale", self.locale.as_deref()),
            ("linkedin_url", self.linkedin_url.as_deref()),
        ];
        check_texts(&texts, &self.tags)?;
        if self.company.is_some() && self.account_id.is_some() {
            return Err(Problem::invalid(
                "account_id",
                "is given beside `company`; give one of them",
            ));
        }
        Ok(())
    }
}

/// Makes a contact.
#[utoipa::path(
    post, path = "/contacts",
    request_body = Create,
    responses((status = 201, description = "Made", body = ContactBody)),
    security(("bearer" = ["contacts:write"])),
)]
pub(super) async fn create(
    Shared(state): Shared<State>,
    caller: Caller,
    Body(new): Body<Create>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<ContactBody>), Problem> {
    new.check()?;
    let customer_id = caller.customer_id;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let given = new.custom.unwrap_or_default();
    custom::check(&mut tx, customer_id, Entity::Contact, &given, Of::New).await?;
    let record = NewContact {
        account_id: account(&mut tx, customer_id, "account_id", new.account_id.as_deref()).await?,
        company: new.company.filter(|company| !company.trim().is_empty()),
        owner_id: owner(&mut tx, customer_id, new.owner_id.as_deref()).await?,
        first_name: new.first_name,
        last_name: new.last_name,
        email: new.email,
        phone: new.phone,
        title: new.title,
        linkedin_url: new.linkedin_url,
        country: new.country,
        region: new.region,
        city: new.city,
        time_zone: new.time_zone,
        locale: new.locale,
        tags: new.tags,
        custom: Some(Value::Object(given)),
    };
    let made = contact::create(&mut tx, customer_id, record).await.map_err(refused)?;
    let made = show(made);
    let location = format!("/api/v1/contacts/{}", made.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(made)))
}

fn refused(error: ContactError) -> Problem {
    match error {
        ContactError::InvalidEmail(_) => Problem::invalid("email", error.to_string()),
        ContactError::UnknownZone(zone) => Problem::invalid("time_zone", zone.to_string()),
        ContactError::Duplicate { contact_id: Some(contact_id) } => {
            Problem::new(Kind::DuplicateContact)
                .detail(format!("{} has this address", id::show("con", contact_id)))
        }
        ContactError::Duplicate { contact_id: None } => Problem::new(Kind::DuplicateContact)
            .detail("a contact that you do not reach has this address; ask an admin for it"),
        ContactError::OutOfReach => out_of_reach(),
        ContactError::Database(error) => error.into(),
    }
}
