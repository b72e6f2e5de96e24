//! Who asks, by what the request brings: an access token, an API key, or a cookie.

use axum::http::{HeaderMap, Method, header};
use crm::api_key;

use super::{api_keys, cookie, operators};
use crate::State;
use crate::problem::{Kind, Problem};
use crate::tenant::{self, Asker, Principal};

/// Who sends a request.
pub(crate) async fn asker(
    state: &State,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Asker, Problem> {
    if !headers.contains_key(header::AUTHORIZATION)
        && let Some(cookie) = cookie::of(state, headers)
    {
        return cookie::asker(state, &cookie, method, headers).await;
    }
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, token) = given.and_then(|value| value.split_once(' ')).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("bearer") {
        let detail = "send the access token as `Authorization: Bearer …`";
        return Err(Problem::new(Kind::Unauthorized).detail(detail));
    }
    let token = token.trim();
    if token.starts_with(api_keys::PREFIX) {
        program(state, token).await
    } else if token.starts_with(operators::PREFIX) {
        operators::asker(state, token).await
    } else {
        state.tokens.read(token)
    }
}

/// Who sends a key; its use is noted, at most once a minute.
async fn program(state: &State, key: &str) -> Result<Asker, Problem> {
    let mut tx = tenant::look_up(&state.pool).await?;
    let known = api_key::find(&mut *tx, &super::session::hash(key)).await?;
    tx.commit().await?;
    let bad = || Problem::new(Kind::Unauthorized).detail("the API key is not good, or expired");
    let known = known.ok_or_else(bad)?;
    if !known.used_lately {
        let mut tx = tenant::open(&state.pool, known.customer_id).await?;
        api_key::note_use(&mut *tx, known.customer_id, known.id).await?;
        tx.commit().await?;
    }
    let key = Principal::Key { key_id: known.id, scopes: known.scopes };
    Ok(Asker::of(known.customer_id, key))
}
