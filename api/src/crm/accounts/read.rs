//! Reading accounts.

use axum::Json;
use axum::extract::{Path, State as Shared};
use crm::account::{self, FIELDS, SORTS};
use crm::custom_field::{self, Entity};

use super::{AccountBody, Tagged, show, tagged};
use crate::State;
use crate::input::path_id;
use crate::listing::{Listing, ListingParams};
use crate::page::Page;
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Caller};

/// An account.
#[utoipa::path(
    get, path = "/accounts/{id}",
    responses((status = 200, description = "As asked", body = AccountBody)),
    security(("bearer" = ["accounts:read"])),
)]
pub(super) async fn find(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(account): Path<String>,
) -> Result<Tagged, Problem> {
    let account_id = path_id("acc", &account)?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let found = account::find(&mut *tx, caller.customer_id, account_id).await?;
    found.map(tagged).ok_or_else(|| Problem::new(Kind::NotFound))
}

/// Accounts, newest first by default.
#[utoipa::path(
    get, path = "/accounts",
    params(ListingParams),
    responses((status = 200, description = "As asked", body = Page<AccountBody>)),
    security(("bearer" = ["accounts:read"])),
)]
pub(super) async fn list(
    Shared(state): Shared<State>,
    caller: Caller,
    listing: Listing,
) -> Result<Json<Page<AccountBody>>, Problem> {
    let customer_id = caller.customer_id;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let custom = custom_field::of(&mut *tx, customer_id, Entity::Account).await?;
    let checked = listing.check(FIELDS, &custom)?;
    if listing.is_search() {
        let found = account::search(&mut tx, customer_id, &checked, listing.limit).await?;
        return Ok(Json(Page::ending(found.into_iter().map(show).collect(), None)));
    }
    let (sort, after) = listing.order(SORTS)?;
    let found =
        account::list(&mut tx, customer_id, &checked, sort, after.as_ref(), listing.limit).await?;
    Ok(Json(listing.page(found, show)))
}
