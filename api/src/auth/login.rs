//! Login by address and password.

use axum::Json;
use axum::extract::State as Shared;
use crm::user::Login;
use crm::{audit, customer, user};
use engine::clock;
use serde::Deserialize;
use utoipa::ToSchema;

use super::audit_routes::entry;
use super::session::{self, Session};
use crate::State;
use crate::gateway::client::Client;
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
    responses(
        (status = 200, description = "Logged in", body = Session),
        (status = 401, description = "Wrong email or password", body = crate::problem::Body),
    ),
)]
pub(super) async fn log_in(
    Shared(state): Shared<State>,
    client: Client,
    Body(given): Body<LogIn>,
) -> Result<Json<Session>, Problem> {
    let wrong = || Problem::new(Kind::InvalidCredentials);
    let login = whose(&state, client, given).await?;
    let mut tx = tenant::open(&state.pool, login.customer_id).await?;
    let user = user::find(&mut *tx, login.customer_id, login.user_id).await?;
    let user = user.filter(|user| user.active).ok_or_else(wrong)?;
    let customer = customer::find(&mut *tx, login.customer_id).await?.ok_or_else(wrong)?;
    let session = session::open(&mut tx, &state, user, customer, clock::new_id()).await?;
    let entry = entry("login.opened", Some(login.user_id), client);
    audit::write(&mut *tx, login.customer_id, entry).await?;
    tx.commit().await?;
    Ok(Json(session))
}

/// Whose address and password these are; a wrong password is written down.
pub(super) async fn whose(state: &State, client: Client, given: LogIn) -> Result<Login, Problem> {
    let email = given.email.trim();
    let name = email.to_lowercase();
    state.tries.admit(&name, client)?;
    let login = user::find_login(&state.pool, email).await?;
    let hash = login.as_ref().map(|login| login.password_hash.clone());
    let matches = state.passwords.verify(given.password, hash).await?;
    let wrong = || Problem::new(Kind::InvalidCredentials);
    let Some(login) = login else { return Err(wrong()) };
    if !matches {
        let mut tx = tenant::open(&state.pool, login.customer_id).await?;
        let entry = entry("login.refused", Some(login.user_id), client);
        audit::write(&mut *tx, login.customer_id, entry).await?;
        tx.commit().await?;
        return Err(wrong());
    }
    state.tries.forget(&name, client);
    Ok(login)
}
