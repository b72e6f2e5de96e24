//! Who asks, by what the request brings.

use axum::http::{HeaderMap, header};

use crate::State;
use crate::problem::{Kind, Problem};
use crate::tenant::Caller;

/// The caller of a request, by its access token.
pub(crate) async fn caller(state: &State, headers: &HeaderMap) -> Result<Caller, Problem> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, token) = given.and_then(|value| value.split_once(' ')).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("bearer") {
        let detail = "send the access token as `Authorization: Bearer …`";
        return Err(Problem::new(Kind::Unauthorized).detail(detail));
    }
    state.tokens.read(token.trim())
}
