//! Reading opportunities.

use axum::Json;
use axum::extract::{Path, State as Shared};
use crm::custom_field::{self, Entity};
use crm::opportunity::{self, FIELDS, SORTS};
use utoipa::IntoParams;

use super::{OpportunityBody, Tagged, show, tagged};
use crate::State;
use crate::input::{optional_id, path_id};
use crate::listing::{Listing, ListingParams};
use crate::page::Page;
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Caller};

/// An opportunity.
#[utoipa::path(
    get, path = "/opportunities/{id}",
    responses((status = 200, description = "As asked", body = OpportunityBody)),
    security(("bearer" = ["opportunities:read"])),
)]
pub(super) async fn find(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(deal): Path<String>,
) -> Result<Tagged, Problem> {
    let opportunity_id = path_id("opp", &deal)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = opportunity::find(&mut *tx, caller.customer_id, opportunity_id).await?;
    found.map(tagged).ok_or_else(|| Problem::new(Kind::NotFound))
}

/// What else opportunities are asked.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "`Listing` reads it")]
struct More {
    /// Those of one contact.
    contact_id: Option<String>,
}

/// Opportunities, newest first by default, also for a search.
#[utoipa::path(
    get, path = "/opportunities",
    params(ListingParams, More),
    responses((status = 200, description = "As asked", body = Page<OpportunityBody>)),
    security(("bearer" = ["opportunities:read"])),
)]
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    mut listing: Listing,
) -> Result<Json<Page<OpportunityBody>>, Problem> {
    let contact = listing.take("contact_id");
    let contact_id = optional_id("contact_id", "con", contact.as_deref())?;
    let customer_id = caller.customer_id;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let custom = custom_field::of(&mut *tx, customer_id, Entity::Opportunity).await?;
    let asked = (&listing.check(FIELDS, &custom)?, contact_id);
    let (sort, after) = listing.order(SORTS)?;
    let found =
        opportunity::list(&mut tx, customer_id, asked, sort, after.as_ref(), listing.limit).await?;
    Ok(Json(listing.page(found, show)))
}
