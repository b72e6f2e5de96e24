//! The HTTP surface. So far whether the process lives and is ready; the services follow.

mod password;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use sqlx::PgPool;

pub use password::hash_password;

/// What the API needs of the process that serves it.
pub struct Services {
    /// Connections under row-level security.
    pub pool: PgPool,
    /// Reads workflow documents.
    pub definitions: engine::definition_store::Definitions,
    /// Signs access tokens.
    pub jwt_secret: String,
    /// How long an access token is good.
    pub access_seconds: u64,
    /// How long a refresh token is good.
    pub refresh_seconds: u64,
    /// What a customer without a mailbox sends through.
    pub sender: crm::enrollment::Sender,
}

/// All routes.
pub fn router(services: Services) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .with_state(services.pool)
}

async fn ready(State(pool): State<PgPool>) -> StatusCode {
    match engine::clock::now(&pool).await {
        Ok(_) => StatusCode::OK,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
