//! A password that is changed, or was forgotten. Whoever sets one ends the other logins.

use std::time::Duration;

use axum::Extension;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use crm::audit::{self, NewEntry};
use crm::{password_link, user};
use engine::id;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::audit_routes::{entry, note};
use super::mails::{self, Mail};
use super::password;
use super::session::{self, hash};
use crate::State;
use crate::gateway::client::Client;
use crate::idempotency::{self, Keyed};
use crate::input::Body;
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Caller};

/// How long an answer takes from which nobody shall learn whether an address exists.
const ALIKE: Duration = Duration::from_millis(400);

/// The routes, below `/auth`.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(change)).routes(routes!(forgot)).routes(routes!(reset))
}

/// A password for another.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PasswordChange {
    password: String,
    /// 8 to 200 characters.
    new_password: String,
}

/// Changes the caller's password, and ends their other logins.
#[utoipa::path(
    post, path = "/password/change",
    request_body = PasswordChange,
    responses(
        (status = 204, description = "It is changed"),
        (status = 401, description = "The password is wrong", body = crate::problem::Body),
    ),
    security(("bearer" = ["me:write"])),
)]
async fn change(
    Shared(state): Shared<State>,
    caller: Caller,
    client: Client,
    keyed: Option<Extension<Keyed>>,
    Body(given): Body<PasswordChange>,
) -> Result<Response, Problem> {
    password::check("new_password", &given.new_password)?;
    let me = caller.user()?;
    let who = id::show("usr", me.user_id);
    state.tries.admit(&who, client)?;
    // No connection is held while passwords wait for their turn; what is undone held the request's key as well.
    caller.work.undo().await?;
    let mut tx = tenant::open(&state.pool, caller.customer_id).await?;
    let kept = user::password_hash(&mut *tx, caller.customer_id, me.user_id).await?;
    tx.rollback().await?;
    if !state.passwords.verify(given.password, kept).await? {
        return Err(Problem::new(Kind::InvalidCredentials).detail("the password is wrong"));
    }
    let new = state.passwords.hash(given.new_password).await?;
    let mut tx = tenant::begin(&state.pool, &caller).await?;
    if let Some(Extension(keyed)) = keyed
        && let Some(answered) = idempotency::claim(&mut tx, &state.vault, &caller, &keyed).await?
    {
        return Ok(answered);
    }
    user::set_password(&mut *tx, caller.customer_id, me.user_id, &new).await?;
    session::end_all(&mut tx, caller.customer_id, me.user_id, Some(me.login)).await?;
    note(&mut tx, &caller, &client, ("password.changed", &who), json!({})).await?;
    state.tries.forget(&who, client);
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Who forgot theirs.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ForgottenPassword {
    email: String,
}

/// Mails a link by which a password can be set, good once and for 30 minutes. The answer does not tell whether the
/// address has an account.
#[utoipa::path(
    post, path = "/password/forgot",
    request_body = ForgottenPassword,
    responses(
        (status = 202, description = "If the address has an account, a mail is on its way"),
        (status = 503, description = "No mail server is set, or try again soon", body = crate::problem::Body),
    ),
)]
async fn forgot(
    Shared(state): Shared<State>,
    client: Client,
    Body(given): Body<ForgottenPassword>,
) -> Result<StatusCode, Problem> {
    mails::require(&state)?;
    let answered_at = tokio::time::Instant::now() + ALIKE;
    let email = crm::address::stored(&given.email);
    state.tries.admit(&email.to_lowercase(), client)?;
    let mut tx = tenant::look_up(&state.pool).await?;
    let login = user::find_login(&mut *tx, &email).await?;
    tx.commit().await?;
    if let Some(login) = login {
        let mut tx = tenant::open(&state.pool, login.customer_id).await?;
        let mail = Mail::ForgottenPassword;
        mails::write(&mut tx, &state, login.customer_id, login.user_id, mail).await?;
        let entry = entry("password.forgotten", Some(login.user_id), client);
        audit::write(&mut *tx, login.customer_id, entry).await?;
        tx.commit().await?;
    }
    tokio::time::sleep_until(answered_at).await;
    Ok(StatusCode::ACCEPTED)
}

/// A password by a link.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PasswordReset {
    /// Of the link.
    token: String,
    /// 8 to 200 characters.
    password: String,
}

/// Sets a password by the token of a link, which is spent by it, and ends all logins.
#[utoipa::path(
    post, path = "/password/reset",
    request_body = PasswordReset,
    responses(
        (status = 204, description = "It is set; log in by it"),
        (status = 401, description = "The token is not good", body = crate::problem::Body),
    ),
)]
async fn reset(
    Shared(state): Shared<State>,
    client: Client,
    Body(given): Body<PasswordReset>,
) -> Result<StatusCode, Problem> {
    password::check("password", &given.password)?;
    let bad = || {
        let detail = "the link is not good any more; ask for another";
        Problem::new(Kind::InvalidToken).detail(detail)
    };
    let token_hash = hash(&given.token);
    let mut tx = tenant::look_up(&state.pool).await?;
    let customer_id = password_link::customer_of(&mut *tx, &token_hash).await?.ok_or_else(bad)?;
    tx.commit().await?;
    let new = state.passwords.hash(given.password).await?;
    let mut tx = tenant::open(&state.pool, customer_id).await?;
    let spent = password_link::spend(&mut tx, customer_id, &token_hash).await?;
    let user_id = spent.ok_or_else(bad)?;
    let found = user::find(&mut *tx, customer_id, user_id).await?;
    found.filter(|user| user.active).ok_or_else(bad)?;
    user::set_password(&mut *tx, customer_id, user_id, &new).await?;
    session::end_all(&mut tx, customer_id, user_id, None).await?;
    let who = format!("user:{}", id::show("usr", user_id));
    let entry = NewEntry { actor: &who, ..entry("password.reset", Some(user_id), client) };
    audit::write(&mut *tx, customer_id, entry).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
