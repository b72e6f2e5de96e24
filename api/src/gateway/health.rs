//! Whether the process lives, whether it can serve, and what it counts.

use axum::Json;
use axum::extract::State as Shared;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use futures_util::future::join_all;
use serde_json::{Map, Value, json};

use super::upstream::Upstream;
use crate::State;
use crate::pool::Pool;
use crate::problem::{Kind, Problem};

/// The process answers.
pub(super) async fn live() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// What the process counts, as Prometheus reads it.
pub(super) async fn metrics(Shared(state): Shared<State>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (state.metrics)())
}

fn unready(detail: &str) -> Problem {
    Problem::new(Kind::Unavailable).detail(detail)
}

/// The database answers, holds what this binary's migrations made, and keeps this role under row-level security. A
/// gateway also says which services answer; it is ready without them, since each request needs one only. Nor does anybody
/// need the broker: events wait for it in the database.
pub(super) async fn ready(Shared(state): Shared<State>) -> Result<Json<Value>, Problem> {
    let silent = |error: sqlx::Error| {
        tracing::warn!(%error, "the database does not answer");
        unready("the database does not answer")
    };
    let mut tx = state.pool.begin("").await.map_err(silent)?;
    let there =
        sqlx::query_scalar!(r#"select to_regclass('refresh_tokens') is not null as "there!""#)
            .fetch_one(&mut *tx)
            .await
            .map_err(silent)?;
    if !there || !is_migrated(&state.pool, &state.edge.outside.migrations).await? {
        return Err(unready("the migrations are not applied; run `salesos migrate`"));
    }
    let guarded =
        sqlx::query_scalar!(r#"select row_security_active('refresh_tokens') as "guarded!""#)
            .fetch_one(&mut *tx)
            .await?;
    tx.commit().await?;
    if !guarded {
        return Err(unready("the role of the API is not under row-level security"));
    }
    let mut said = Map::from_iter([("status".to_owned(), json!("ok"))]);
    if !state.edge.upstreams().is_empty() {
        said.insert("services".into(), services(state.edge.upstreams()).await);
    }
    if let Some(broker) = &state.broker {
        said.insert("broker".into(), word(broker().await));
    }
    Ok(Json(Value::Object(said)))
}

fn word(answers: bool) -> Value {
    json!(if answers { "answers" } else { "does not answer" })
}

/// Whether the database has all of these migrations. Their list is the owner's: as whom the process has logged in
/// may read it, its role may not.
async fn is_migrated(pool: &Pool, versions: &[i64]) -> Result<bool, Problem> {
    if versions.is_empty() {
        return Ok(true);
    }
    let mut tx = pool.begin("set local role none").await?;
    // Unchecked: sqlx makes this table, not a migration.
    let pending: bool = sqlx::query_scalar(
        "select exists (select from unnest($1::bigint[]) known (version) where not exists (
           select from _sqlx_migrations m where m.version = known.version and m.success))",
    )
    .bind(versions)
    .fetch_one(&mut *tx)
    .await?;
    tx.rollback().await?;
    Ok(!pending)
}

/// Which services answer, by name.
async fn services(upstreams: &[Upstream]) -> Value {
    let said = upstreams.iter().map(|upstream| async {
        (upstream.service.name().to_owned(), word(upstream.lives().await))
    });
    Value::Object(join_all(said).await.into_iter().collect())
}
