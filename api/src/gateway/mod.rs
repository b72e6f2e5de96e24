//! The public door: who comes in and how often, limits, request ids, problems in place of bare errors, what browsers
//! are told, the checks of health, and the metrics. The services stand behind it in the same process, or each in a
//! process of its own.

mod answer;
mod browser;
mod circuit;
pub(crate) mod client;
mod context;
mod docs;
mod edge;
pub(crate) mod guard;
mod health;
mod limits;
mod proxy;
mod stream;
pub(crate) mod trace;
mod upstream;

use std::any::Any;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use serde_json::Value;
use tower_http::catch_panic::CatchPanicLayer;

pub use browser::Origins;
pub use client::TrustedProxies;
pub use context::InternalSecret;
pub(crate) use edge::Edge;
pub use edge::{AuthMode, Outside, Target};
pub use limits::Rates;

use crate::State;
use crate::input::BODY_BYTES;
use crate::problem::{Kind, Problem};
use crate::service::Service;

/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How long one may take that brings a file, however slow the line is.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(600);

/// How long one may take at a gateway that waits `TIMEOUT` for the service behind it, and says so.
const PASSING_TIMEOUT: Duration = Duration::from_secs(35);

/// Services in this process behind the door.
pub(crate) fn router(services: Router<State>, state: State) -> Router {
    let guard = middleware::from_fn_with_state(state.clone(), guard::guard);
    let routes = with_documentation(services).layer(guard);
    behind_the_door(with_checks(routes), state, TIMEOUT)
}

/// The door before services that run elsewhere; each document says what its service answers.
pub(crate) fn proxy(documents: &[(Service, Value)], state: State) -> Router {
    let routes = |(service, document): &(Service, Value)| proxy::routes(*service, document);
    let routes = documents.iter().map(routes).fold(Router::new(), Router::merge);
    let guard = middleware::from_fn_with_state(state.clone(), guard::pass);
    let routes = with_documentation(routes).layer(guard);
    behind_the_door(with_checks(routes), state, PASSING_TIMEOUT)
}

fn with_documentation(routes: Router<State>) -> Router<State> {
    routes
        .route("/.well-known/jwks.json", get(crate::auth::well_known::keys))
        .route("/openapi.json", get(docs::document))
        .merge(docs::pages())
        .fallback(async || Problem::new(Kind::NotFound))
}

/// What machines ask all the time is under no limit.
fn with_checks(routes: Router<State>) -> Router<State> {
    routes
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
}

/// The layers, outermost last: whatever lies inside is answered with a request id and a problem.
fn behind_the_door(routes: Router<State>, state: State, within: Duration) -> Router {
    let mut routes = routes
        .with_state(state.clone())
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(middleware::from_fn(move |request, next| in_time(request, next, within)))
        .layer(CatchPanicLayer::custom(panicked));
    if state.edge.is_public() {
        routes = routes.layer(browser::cors(&state.edge.outside.origins));
    }
    routes.layer(middleware::from_fn_with_state(state, answer::finish))
}

/// How long this request may take, where others of the door may take `usual`.
fn patience<T>(request: &axum::http::Request<T>, usual: Duration) -> Duration {
    if guard::takes_a_file(request) { usual.max(UPLOAD_TIMEOUT) } else { usual }
}

/// Answers 503 for what takes too long.
async fn in_time(request: Request, next: Next, within: Duration) -> Response {
    let patience = patience(&request, within);
    let answered = tokio::time::timeout(patience, next.run(request)).await;
    answered.unwrap_or_else(|_| StatusCode::SERVICE_UNAVAILABLE.into_response())
}

/// A panic is told to the log alone.
fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response {
    let text = cause.downcast_ref::<&str>().copied();
    let text = text.or_else(|| cause.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("no text"), "a handler panicked");
    Problem::new(Kind::Internal).into_response()
}

#[cfg(test)]
#[path = "door_tests.rs"]
mod tests;
