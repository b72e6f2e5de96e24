//! Sign-up, logins, passwords, users, teams, API keys, operators of the platform, and the record of what was done to them. Hashes passwords and
//! signs tokens.

pub(crate) mod access_token;
mod api_keys;
pub(crate) mod audit_routes;
pub(crate) mod authenticate;
mod cookie;
pub(crate) mod crypto;
pub(crate) mod keys;
mod login;
mod mails;
mod me;
mod operators;
pub(crate) mod password;
mod password_routes;
mod refresh;
mod session;
mod signup;
mod teams;
pub(crate) mod tries;
mod users;
pub(crate) mod well_known;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::State;

/// All routes of the service.
pub(crate) fn router() -> OpenApiRouter<State> {
    let auth = OpenApiRouter::new()
        .routes(routes!(signup::sign_up))
        .routes(routes!(login::log_in))
        .routes(routes!(refresh::refresh))
        .routes(routes!(refresh::log_out))
        .routes(routes!(me::me))
        .merge(cookie::router())
        .merge(password_routes::router())
        .merge(audit_routes::router());
    OpenApiRouter::new()
        .nest("/auth", auth)
        .merge(users::router())
        .merge(teams::router())
        .merge(api_keys::router())
}
