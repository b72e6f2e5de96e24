//! The document, and pages that show it. Nothing is loaded from elsewhere.

use axum::Router;
use axum::extract::State as Shared;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::State;

/// The document as JSON.
pub(super) async fn document(Shared(state): Shared<State>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], state.document.clone())
}

/// Its pages, at `/docs`.
pub(super) fn pages() -> Router<State> {
    let config = Config::from("/openapi.json").persist_authorization(true).validator_url("none");
    SwaggerUi::new("/docs").config(config).into()
}
