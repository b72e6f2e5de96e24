//! Logins by cookie, for pages of this server: a script can't read the cookie, and another site can't make a browser
//! change anything by it.

use axum::extract::State as Shared;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use crm::audit::{self, NewEntry};
use crm::operator;
use crm::user::Role;
use crm::web_session::{self, NewWebSession};
use engine::clock;
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::audit_routes::entry;
use super::login::{self, LogIn, Whose};
use super::operators;
use super::session::{hash, secret};
use crate::State;
use crate::gateway::client::Client;
use crate::input::Body;
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Asker, LoggedIn, Principal};

/// The cookie's name. The prefix holds a browser to `Secure` and to this host; plain HTTP in development has none.
const SECURE: &str = "__Host-salesos";
const PLAIN: &str = "salesos";

/// The routes, below `/auth`.
pub(super) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(open, close))
}

/// The cookie of a request.
pub(super) fn of(state: &State, headers: &HeaderMap) -> Option<String> {
    let name = name(state);
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        all.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(given, _)| *given == name).map(|(_, value)| value.to_owned())
}

fn name(state: &State) -> &'static str {
    if state.edge.is_production() { SECURE } else { PLAIN }
}

/// Who sends a cookie. What changes something must come from a page of this server.
pub(super) async fn asker(
    state: &State,
    cookie: &str,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Asker, Problem> {
    if !method.is_safe() && !from_here(headers) {
        let detail = "a page of another site can't do this";
        return Err(Problem::new(Kind::Forbidden).detail(detail));
    }
    if cookie.starts_with(operators::PREFIX) {
        return operators::asker(state, cookie).await;
    }
    let mut tx = tenant::look_up(&state.pool).await?;
    let known = web_session::find(&mut *tx, &hash(cookie)).await?;
    tx.commit().await?;
    let known = known.ok_or_else(|| Problem::new(Kind::Unauthorized).detail("log in again"))?;
    let user = LoggedIn {
        user_id: known.user_id,
        role: Role::read(&known.role),
        team_id: known.team_id,
        login: known.id,
    };
    Ok(Asker::of(known.customer_id, Principal::User(user)))
}

/// Whether a page of this server asks, by what the browser says of it (Fetch Metadata, else the origin). Who says
/// neither is no browser that carries cookies by itself.
fn from_here(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text(HeaderName::from_static("sec-fetch-site")) {
        return site == "same-origin";
    }
    match (text(header::ORIGIN), text(header::HOST)) {
        (Some(origin), Some(host)) => {
            origin.split_once("://").is_some_and(|(_, origin)| origin == host)
        }
        (None, _) => true,
        (Some(_), None) => false,
    }
}

/// A cookie that lives for so many seconds.
fn set(
    state: &State,
    value: &str,
    seconds: u64,
) -> Result<[(HeaderName, HeaderValue); 1], Problem> {
    let secure = if state.edge.is_production() { "; Secure" } else { "" };
    let text = format!(
        "{}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}",
        name(state)
    );
    let value = HeaderValue::from_str(&text).map_err(|_| Problem::new(Kind::Internal))?;
    Ok([(header::SET_COOKIE, value)])
}

/// Logs in by a cookie, for pages of this server.
#[utoipa::path(
    post, path = "/session",
    request_body = LogIn,
    responses(
        (status = 204, description = "The cookie is set"),
        (status = 401, description = "Wrong email or password", body = crate::problem::Body),
    ),
)]
async fn open(
    Shared(state): Shared<State>,
    client: Client,
    Body(given): Body<LogIn>,
) -> Result<(StatusCode, [(HeaderName, HeaderValue); 1]), Problem> {
    let login = match login::whose(&state, client, given).await? {
        Whose::User(login) => login,
        Whose::Operator(operator) => {
            let token = operators::open(&state, &operator).await?;
            let cookie = set(&state, &token, operators::LIFETIME_SECONDS)?;
            return Ok((StatusCode::NO_CONTENT, cookie));
        }
    };
    let cookie = secret()?;
    let seconds = state.settings.refresh_seconds;
    let new = NewWebSession {
        id: clock::new_id(),
        user_id: login.user_id,
        hash: &hash(&cookie),
        lifetime_seconds: std::time::Duration::from_secs(seconds).as_secs_f64(),
    };
    let mut tx = tenant::open(&state.pool, login.customer_id).await?;
    web_session::keep(&mut *tx, login.customer_id, new).await?;
    let opened = entry("login.opened", Some(login.user_id), client);
    let entry = NewEntry { data: json!({ "by": "cookie" }), ..opened };
    audit::write(&mut *tx, login.customer_id, entry).await?;
    tx.commit().await?;
    Ok((StatusCode::NO_CONTENT, set(&state, &cookie, seconds)?))
}

/// Ends the login of the cookie.
#[utoipa::path(
    delete, path = "/session",
    responses((status = 204, description = "The login has ended")),
    security(("bearer" = ["me:write"])),
)]
async fn close(
    Shared(state): Shared<State>,
    asker: Asker,
) -> Result<(StatusCode, [(HeaderName, HeaderValue); 1]), Problem> {
    let mut tx = tenant::begin(&state.pool, &asker).await?;
    match (&asker.principal, asker.customer_id) {
        (Principal::Operator { login, .. }, _) => operator::end_login(&mut *tx, *login).await?,
        (Principal::User(me), Some(customer_id)) => {
            web_session::end(&mut *tx, customer_id, me.login).await?;
        }
        (Principal::User(_) | Principal::Key { .. }, _) => {
            asker.user()?;
        }
    }
    Ok((StatusCode::NO_CONTENT, set(&state, "", 0)?))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_another_site_is_told_from_one_of_ours() {
        let asked = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(HeaderName::from_static(name), value.parse().unwrap());
            }
            from_here(&headers)
        };
        let here = ("host", "app.example.com");
        assert!(asked(&[here, ("sec-fetch-site", "same-origin")]));
        assert!(!asked(&[here, ("sec-fetch-site", "cross-site")]));
        assert!(!asked(&[here, ("sec-fetch-site", "same-site")]));
        assert!(asked(&[here, ("origin", "https://app.example.com")]));
        assert!(!asked(&[here, ("origin", "https://evil.example")]));
        assert!(!asked(&[here, ("origin", "null")]));
        assert!(asked(&[here]), "a program that was given the cookie");
    }
}
