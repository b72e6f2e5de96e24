//! Unsubscribing a contact on its behalf.

use axum::extract::{Path, State as Shared};
use crm::unsubscription;

use super::{ContactBody, Tagged, tagged};
use crate::State;
use crate::input::path_id;
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Caller};

/// Unsubscribes a contact: ends all of its runs, in every sequence and every state, suppresses its address and sets its
/// status. Doing it again changes nothing.
#[utoipa::path(
    post, path = "/contacts/{id}/unsubscribe",
    responses((status = 200, description = "The contact, unsubscribed", body = ContactBody)),
    security(("bearer" = ["contacts:write"])),
)]
pub(super) async fn unsubscribe(
    Shared(state): Shared<State>,
    caller: Caller,
    Path(contact): Path<String>,
) -> Result<Tagged, Problem> {
    let contact_id = path_id("con", &contact)?;
    let actor = caller.actor();
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let done = unsubscription::unsubscribe(&mut tx, caller.customer_id, contact_id, &actor).await?;
    done.map(|done| tagged(done.contact)).ok_or_else(|| Problem::new(Kind::NotFound))
}
