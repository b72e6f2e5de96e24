//! Login by address and password.

use axum::Json;
use axum::extract::State as Shared;
use crm::operator::{self, Operator};
use crm::user::Login;
use crm::{audit, customer, user};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::audit_routes::entry;
use super::operators::{self, OperatorSession};
use super::session::{self, Origin, Session};
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

/// What a login is answered with: a user's session, or that of an operator of the platform.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Opened {
    User(Session),
    Operator(OperatorSession),
}

/// Opens a session. An unknown address and a wrong password answer alike, after the same work.
#[utoipa::path(
    post, path = "/login",
    request_body = LogIn,
    responses(
        (status = 200, description = "Logged in", body = Opened),
        (status = 401, description = "Wrong email or password", body = crate::problem::Body),
    ),
)]
pub(super) async fn log_in(
    Shared(state): Shared<State>,
    client: Client,
    Body(given): Body<LogIn>,
) -> Result<Json<Opened>, Problem> {
    let wrong = || Problem::new(Kind::InvalidCredentials);
    let login = match whose(&state, client, given).await? {
        Whose::User(login) => login,
        Whose::Operator(operator) => {
            let token = operators::open(&state, &operator).await?;
            return Ok(Json(Opened::Operator(OperatorSession::of(operator, token))));
        }
    };
    let mut tx = tenant::open(&state.pool, login.customer_id).await?;
    let user = user::find(&mut *tx, login.customer_id, login.user_id).await?;
    let user = user.filter(|user| user.active).ok_or_else(wrong)?;
    let customer = customer::find(&mut *tx, login.customer_id).await?.ok_or_else(wrong)?;
    let session = session::open(&mut tx, &state, user, customer, Origin::Login).await?;
    let entry = entry("login.opened", Some(login.user_id), client);
    audit::write(&mut *tx, login.customer_id, entry).await?;
    tx.commit().await?;
    Ok(Json(Opened::User(session)))
}

/// Whose an address and its password are.
pub(super) enum Whose {
    User(Login),
    Operator(Operator),
}

/// Whose address and password these are; a user's wrong password is written down.
pub(super) async fn whose(state: &State, client: Client, given: LogIn) -> Result<Whose, Problem> {
    let email = crm::address::stored(&given.email);
    let name = email.to_lowercase();
    state.tries.admit(&name, client)?;
    let mut tx = tenant::look_up(&state.pool).await?;
    let login = user::find_login(&mut *tx, &email).await?;
    let operator = match login {
        Some(_) => None,
        None => operator::find(&mut *tx, &email).await?,
    };
    tx.commit().await?;
    let of_user = login.as_ref().map(|login| login.password_hash.clone());
    let hash = of_user.or_else(|| Some(operator.as_ref()?.password_hash.clone()));
    let matches = state.passwords.verify(given.password, hash).await?;
    let whose = match (login, operator) {
        (Some(login), _) if matches => Whose::User(login),
        (None, Some(found)) if matches => Whose::Operator(found.operator),
        (Some(login), _) => {
            let mut tx = tenant::open(&state.pool, login.customer_id).await?;
            let entry = entry("login.refused", Some(login.user_id), client);
            audit::write(&mut *tx, login.customer_id, entry).await?;
            tx.commit().await?;
            return Err(Problem::new(Kind::InvalidCredentials));
        }
        (None, _) => return Err(Problem::new(Kind::InvalidCredentials)),
    };
    state.tries.forget(&name, client);
    Ok(whose)
}
