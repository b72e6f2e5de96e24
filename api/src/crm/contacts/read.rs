//! Reading contacts.

use axum::Json;
use axum::extract::{Path, State as Shared};
use crm::contact::{self, LISTED, SORTS};
use crm::custom_field::{self, Entity};
use serde_json::Value;
use utoipa::IntoParams;

use super::{ContactBody, Tagged, show, tagged};
use crate::State;
use crate::input::path_id;
use crate::listing::{Listing, ListingParams};
use crate::page::Page;
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Caller};

/// A contact.
#[utoipa::path(
    get, path = "/contacts/{id}",
    responses((status = 200, description = "As asked", body = ContactBody)),
    security(("bearer" = ["contacts:read"])),
)]
pub(super) async fn find(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(contact): Path<String>,
) -> Result<Tagged, Problem> {
    let contact_id = path_id("con", &contact)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = contact::find(&mut *tx, caller.customer_id, contact_id).await?;
    found.map(tagged).ok_or_else(|| Problem::new(Kind::NotFound))
}

/// What else contacts are asked.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "`Listing` reads it")]
struct More {
    /// `active unsubscribed bounced erased`, as `filter[status][eq]`.
    status: Option<String>,
}

/// Contacts, newest first by default.
#[utoipa::path(
    get, path = "/contacts",
    params(ListingParams, More),
    responses((status = 200, description = "As asked", body = Page<ContactBody>)),
    security(("bearer" = ["contacts:read"])),
)]
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    mut listing: Listing,
) -> Result<Json<Page<ContactBody>>, Problem> {
    if let Some(status) = listing.take("status") {
        let asked = listing.filter.fields.entry("status".into()).or_default();
        asked.insert("eq".into(), Value::from(status));
    }
    let customer_id = caller.customer_id;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let custom = custom_field::of(&mut *tx, customer_id, Entity::Contact).await?;
    let checked = listing.check(LISTED, &custom)?;
    if listing.is_search() {
        let found = contact::search(&mut tx, customer_id, &checked, listing.limit).await?;
        return Ok(Json(Page::ending(found.into_iter().map(show).collect(), None)));
    }
    let (sort, after) = listing.order(SORTS)?;
    let found =
        contact::list(&mut tx, customer_id, &checked, sort, after.as_ref(), listing.limit).await?;
    Ok(Json(listing.page(found, show)))
}
