//! The public door: limits, request ids, problems in place of bare errors, the two health checks, and the metrics.

mod answer;
mod docs;
pub(crate) mod guard;
mod health;

use std::any::Any;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;

use crate::State;
use crate::input::BODY_BYTES;
use crate::problem::{Kind, Problem};

/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The services behind the door.
pub(crate) fn router(services: Router<State>, state: State) -> Router {
    behind_the_door(
        services
            .layer(middleware::from_fn_with_state(state.clone(), guard::guard))
            .route("/.well-known/jwks.json", get(crate::auth::well_known::keys))
            .route("/openapi.json", get(docs::document))
            .merge(docs::pages())
            .route("/healthz", get(health::live))
            .route("/readyz", get(health::ready))
            .route("/metrics", get(health::metrics))
            .fallback(async || Problem::new(Kind::NotFound))
            .with_state(state),
    )
}

/// The layers, outermost last: whatever lies inside is answered with a request id and a problem.
fn behind_the_door(routes: Router) -> Router {
    routes
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, TIMEOUT))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(answer::finish))
}

/// A panic is told to the log alone.
fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response {
    let text = cause.downcast_ref::<&str>().copied();
    let text = text.or_else(|| cause.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("no text"), "a handler panicked");
    Problem::new(Kind::Internal).into_response()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::http::{Request, StatusCode};
    use axum::routing::get;
    use tower::ServiceExt;

    #[tokio::test]
    async fn a_panic_becomes_a_problem_that_leaks_nothing() {
        async fn broken() -> StatusCode {
            panic!("the secret")
        }
        let routes = super::behind_the_door(Router::new().route("/", get(broken)));
        let request = Request::get("/").body(Body::empty()).unwrap();
        let response = routes.oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.contains("/problems/internal"), "{body}");
        assert!(!body.contains("secret"), "{body}");
    }
}
