//! Sign-up, login, refresh, logout and who is logged in. Hashes passwords and signs tokens.

pub(crate) mod access_token;
mod crypto;
mod login;
mod me;
pub(crate) mod password;
mod refresh;
mod session;
mod signup;

use axum::Router;
use axum::routing::{get, post};

use crate::State;

/// All routes of the service, below `/auth`.
pub(crate) fn router() -> Router<State> {
    Router::new()
        .route("/signup", post(signup::sign_up))
        .route("/login", post(login::log_in))
        .route("/refresh", post(refresh::refresh))
        .route("/logout", post(refresh::log_out))
        .route("/me", get(me::me))
}
