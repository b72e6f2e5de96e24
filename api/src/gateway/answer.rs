//! Gives every request an id and every error its problem.

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use engine::{clock, id};

use crate::problem::{Kind, Problem};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Runs the request and completes its answer.
pub(super) async fn finish(request: Request, next: Next) -> Response {
    let request_id = given(&request).unwrap_or_else(|| id::show("req", clock::new_id()));
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let started = clock::started();
    let mut response = next.run(request).await;
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        response = explain(response, &request_id);
    }
    tracing::info!(
        request.id = request_id,
        %method,
        route = route.as_ref().map_or("", MatchedPath::as_str),
        status = status.as_u16(),
        milliseconds = started.elapsed().as_millis(),
        "answered"
    );
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Answers hold a customer's data; no cache keeps them.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The id that the caller gave, where it is a plain word of at most 64 letters.
fn given(request: &Request) -> Option<String> {
    let text = request.headers().get(REQUEST_ID)?.to_str().ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (!text.is_empty() && text.len() <= 64 && text.chars().all(plain)).then(|| text.to_owned())
}

/// Writes the problem of a handler, or one for a status that nobody explained.
fn explain(response: Response, request_id: &str) -> Response {
    let (mut parts, _) = response.into_parts();
    let problem = parts.extensions.remove::<Problem>();
    let problem = problem.unwrap_or_else(|| Problem::new(Kind::of(parts.status)));
    let kind = HeaderValue::from_static("application/problem+json");
    parts.headers.insert(header::CONTENT_TYPE, kind);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(problem.body(request_id)))
}
