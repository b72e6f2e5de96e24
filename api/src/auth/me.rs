//! Who is logged in.

use axum::Json;
use axum::extract::State as Shared;
use crm::{customer, user};
use serde::Serialize;
use utoipa::ToSchema;

use super::session::{CustomerBody, UserBody};
use crate::State;
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Caller};

/// The user and the customer.
#[derive(Serialize, ToSchema)]
pub(super) struct Me {
    user: UserBody,
    customer: CustomerBody,
}

/// The user of the access token, and the customer.
#[utoipa::path(
    get, path = "/me",
    responses((status = 200, description = "As asked", body = Me)),
    security(("bearer" = ["me:read"])),
)]
pub(super) async fn me(Shared(state): Shared<State>, caller: Caller) -> Result<Json<Me>, Problem> {
    let gone = || Problem::new(Kind::Unauthorized).detail("the user is not active any more");
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    let user = user::find(&mut *tx, caller.customer_id, caller.user()?.user_id).await?;
    let user = user.filter(|user| user.active).ok_or_else(gone)?;
    let customer = customer::find(&mut *tx, caller.customer_id).await?.ok_or_else(gone)?;
    Ok(Json(Me { user: user.into(), customer: customer.into() }))
}
