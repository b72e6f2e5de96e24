//! Whether the process lives, and whether it can serve.

use axum::Json;
use axum::extract::State as Shared;
use serde_json::{Value, json};

use crate::State;
use crate::problem::{Kind, Problem};

/// The process answers.
pub(super) async fn live() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// The database answers, holds the tables, and keeps this role under row-level security.
pub(super) async fn ready(Shared(state): Shared<State>) -> Result<Json<Value>, Problem> {
    let unready = |detail: &str| Problem::new(Kind::Unavailable).detail(detail);
    let there =
        sqlx::query_scalar!(r#"select to_regclass('refresh_tokens') is not null as "there!""#)
            .fetch_one(&state.pool)
            .await
            .map_err(|error| {
                tracing::warn!(%error, "the database does not answer");
                unready("the database does not answer")
            })?;
    if !there {
        return Err(unready("the migrations are not applied; run `salesos migrate`"));
    }
    let guarded =
        sqlx::query_scalar!(r#"select row_security_active('refresh_tokens') as "guarded!""#)
            .fetch_one(&state.pool)
            .await?;
    if !guarded {
        return Err(unready("the role of the API is not under row-level security"));
    }
    Ok(Json(json!({ "status": "ok" })))
}
