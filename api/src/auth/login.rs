//! Login by address and password.

use axum::Json;
use axum::extract::State as Shared;
use crm::{customer, user};
use engine::clock;
use serde::Deserialize;
use utoipa::ToSchema;

use super::session::{self, Session};
use crate::State;
use crate::input::Body;
use crate::problem::{Kind, Problem};
use crate::tenant;

/// Who logs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogIn {
    email: String,
    password: String,
}

/// Opens a session. An unknown address and a wrong password answer alike, after the same work.
#[utoipa::path(
    post, path = "/login",
    request_body = LogIn,
    responses((status = 200, description = "As asked", body = Session), (status = 401, description = "Wrong email or password", body = crate::problem::Body)),
)]
pub(super) async fn log_in(
    Shared(state): Shared<State>,
    Body(given): Body<LogIn>,
) -> Result<Json<Session>, Problem> {
    let login = user::find_login(&state.pool, given.email.trim()).await?;
    let hash = login.as_ref().map(|login| login.password_hash.clone());
    let matches = state.passwords.verify(given.password, hash).await?;
    let wrong = || Problem::new(Kind::InvalidCredentials);
    let login = login.filter(|_| matches).ok_or_else(wrong)?;
    let mut tx = tenant::open(&state.pool, login.customer_id).await?;
    let user = user::find(&mut *tx, login.customer_id, login.user_id).await?;
    let user = user.filter(|user| user.active).ok_or_else(wrong)?;
    let customer = customer::find(&mut *tx, login.customer_id).await?.ok_or_else(wrong)?;
    let session = session::open(&mut tx, &state, user, customer, clock::new_id()).await?;
    tx.commit().await?;
    Ok(Json(session))
}
