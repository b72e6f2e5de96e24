//! Whether the process lives, whether it can serve, and what it counts.

use axum::Json;
use axum::extract::State as Shared;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use crate::State;
use crate::problem::{Kind, Problem};

/// The process answers.
pub(super) async fn live() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// What the process counts, as Prometheus reads it.
pub(super) async fn metrics(Shared(state): Shared<State>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (state.metrics)())
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
