//! The public keys of access tokens, for services elsewhere (RFC 7517).

use axum::Json;
use axum::extract::State as Shared;
use serde_json::Value;

use crate::State;

/// All keys that are good; none where tokens are signed by a secret.
pub(crate) async fn keys(Shared(state): Shared<State>) -> Json<Value> {
    Json(state.tokens.keys().public())
}
