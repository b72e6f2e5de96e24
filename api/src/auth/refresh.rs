//! Going on with a login by its refresh token, and ending it.

use axum::Json;
use axum::extract::{Request, State as Shared};
use axum::http::StatusCode;
use crm::token::{self, Spent};
use crm::{audit, customer, operator, user};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit_routes::entry;
use super::authenticate;
use super::session::{self, Origin, Session};
use crate::State;
use crate::gateway::client::Client;
use crate::input::{self, Body};
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Asker, Principal};

/// The token of the login.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Refresh {
    refresh_token: String,
}

fn bad() -> Problem {
    Problem::new(Kind::InvalidToken).detail("the refresh token is not good any more; log in again")
}

/// Gives new tokens for a refresh token, which is spent by it. A spent token ends the login, unless two tabs refreshed
/// at the same moment: for 30 seconds it is accepted again, until one of the tokens that it was exchanged for is used.
#[utoipa::path(
    post, path = "/refresh",
    request_body = Refresh,
    responses((status = 200, description = "As asked", body = Session), (status = 401, description = "The token is not good", body = crate::problem::Body)),
)]
pub(super) async fn refresh(
    Shared(state): Shared<State>,
    client: Client,
    Body(given): Body<Refresh>,
) -> Result<Json<Session>, Problem> {
    let hash = session::hash(&given.refresh_token);
    let customer_id = customer_of(&state, &hash).await?.ok_or_else(bad)?;
    let mut tx = tenant::open(&state.pool, customer_id).await?;
    let (token_id, user_id, family) = match token::spend(&mut tx, customer_id, &hash).await? {
        Spent::Good { token_id, user_id, family } => (token_id, user_id, family),
        Spent::Reused => {
            tracing::warn!(customer.id = %customer_id, "a refresh token was used twice");
            let entry = entry("login.token_reused", None, client);
            audit::write(&mut *tx, customer_id, entry).await?;
            tx.commit().await?;
            return Err(bad());
        }
        Spent::Bad => return Err(bad()),
    };
    let user = user::find(&mut *tx, customer_id, user_id).await?;
    let user = user.filter(|user| user.active).ok_or_else(bad)?;
    let customer = customer::find(&mut *tx, customer_id).await?.ok_or_else(bad)?;
    let origin = Origin::Refreshed { family, token_id };
    let session = session::open(&mut tx, &state, user, customer, origin).await?;
    tx.commit().await?;
    Ok(Json(session))
}

/// Ends the login of the access token, or of the refresh token where there is no access token.
#[utoipa::path(
    post, path = "/logout",
    request_body = Option<Refresh>,
    responses((status = 204, description = "The login has ended"), (status = 401, description = "The token is not good", body = crate::problem::Body)),
)]
pub(super) async fn log_out(
    Shared(state): Shared<State>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let asker = authenticate::asker(&state, request.method(), request.headers()).await;
    if let Ok(Asker { principal: Principal::Operator { login, .. }, .. }) = &asker {
        let mut tx = tenant::look_up(&state.pool).await?;
        operator::end_login(&mut *tx, *login).await?;
        tx.commit().await?;
        return Ok(StatusCode::NO_CONTENT);
    }
    let whose = asker.and_then(|asker| Ok((asker.customer_id, asker.user()?.login)));
    let body = input::bytes(request, &state).await?;
    let given = match body.is_empty() {
        true => None,
        false => Some(input::read_json::<Refresh>(&body)?),
    };
    match (whose, given) {
        (Ok((Some(customer_id), login)), _) => {
            let mut tx = tenant::open(&state.pool, customer_id).await?;
            token::revoke(&mut tx, customer_id, login).await?;
            tx.commit().await?;
        }
        (Ok((None, _)) | Err(_), Some(given)) => end(&state, &given.refresh_token).await?,
        (Ok((None, _)), None) => return Err(bad()),
        (Err(problem), None) => return Err(problem),
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The customer of a token, before anybody is known.
async fn customer_of(state: &State, hash: &[u8]) -> Result<Option<Uuid>, Problem> {
    let mut tx = tenant::look_up(&state.pool).await?;
    let found = token::customer_of(&mut *tx, hash).await?;
    tx.commit().await?;
    Ok(found)
}

/// Ends the login of a refresh token; one that nobody knows ends nothing.
async fn end(state: &State, refresh_token: &str) -> Result<(), Problem> {
    let hash = session::hash(refresh_token);
    let Some(customer_id) = customer_of(state, &hash).await? else { return Ok(()) };
    let mut tx = tenant::open(&state.pool, customer_id).await?;
    match token::spend(&mut tx, customer_id, &hash).await? {
        Spent::Good { family, .. } => token::revoke(&mut tx, customer_id, family).await?,
        Spent::Reused | Spent::Bad => {}
    }
    tx.commit().await?;
    Ok(())
}
