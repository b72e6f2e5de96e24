//! Sign-up, login, refresh, logout and who is logged in. Hashes passwords and signs tokens.

pub(crate) mod access_token;
pub(crate) mod authenticate;
mod crypto;
mod login;
mod me;
pub(crate) mod password;
mod refresh;
mod session;
mod signup;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::State;

/// All routes of the service, below `/auth`.
pub(crate) fn router() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(signup::sign_up))
        .routes(routes!(login::log_in))
        .routes(routes!(refresh::refresh))
        .routes(routes!(refresh::log_out))
        .routes(routes!(me::me))
}
