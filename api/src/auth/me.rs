//! Who is logged in.

use axum::Json;
use axum::extract::State as Shared;
use crm::operator::Operator;
use crm::{customer, user};
use serde::Serialize;
use utoipa::ToSchema;

use super::operators::OperatorBody;
use super::session::{CustomerBody, UserBody};
use crate::State;
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Asker, Principal};

/// The user and the customer, or the operator of the platform.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Me {
    User { user: UserBody, customer: CustomerBody },
    Operator { operator: OperatorBody },
}

/// Who the access token stands for: a user and the customer, or an operator of the platform.
#[utoipa::path(
    get, path = "/me",
    responses((status = 200, description = "As asked", body = Me)),
    security(("bearer" = ["me:read"])),
)]
pub(super) async fn me(Shared(state): Shared<State>, asker: Asker) -> Result<Json<Me>, Problem> {
    if let Principal::Operator { operator_id, email, name, .. } = asker.principal {
        let operator = Operator { id: operator_id, email, name }.into();
        return Ok(Json(Me::Operator { operator }));
    }
    let gone = || Problem::new(Kind::Unauthorized).detail("the user is not active any more");
    let user_id = asker.user()?.user_id;
    let customer_id = asker.customer_id.ok_or_else(gone)?;
    let mut tx = tenant::begin(&state.pool, &asker).await?;
    let user = user::find(&mut *tx, customer_id, user_id).await?;
    let user = user.filter(|user| user.active).ok_or_else(gone)?;
    let customer = customer::find(&mut *tx, customer_id).await?.ok_or_else(gone)?;
    Ok(Json(Me::User { user: user.into(), customer: customer.into() }))
}
