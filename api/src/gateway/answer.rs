//! Gives every request an id and every error its problem, and tells browsers what holds of every answer.

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State as Shared};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use engine::{clock, id};

use super::browser;
use super::trace::{self, Trace};
use crate::State;
use crate::problem::{Kind, Problem};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Marks the answer of a service behind the gateway, which says itself what is wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passed;

/// Runs the request and completes its answer.
pub(super) async fn finish(Shared(state): Shared<State>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let request_id = given(&parts.headers).unwrap_or_else(|| id::show("req", clock::new_id()));
    // The services behind the gateway take it over.
    let value = HeaderValue::try_from(&request_id).expect("an id is plain letters and digits");
    parts.headers.insert(REQUEST_ID, value.clone());
    if !parts.method.is_safe() {
        let trace = Trace::of(&parts.headers);
        parts.headers.insert(trace::HEADER, trace.header());
        parts.extensions.insert(trace);
    }
    let client = state.edge.client(&parts);
    parts.extensions.insert(client);
    let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
    let route = parts.extensions.get::<MatchedPath>().cloned();
    let started = clock::started();
    let mut response = next.run(Request::from_parts(parts, body)).await;
    let status = response.status();
    let passed = response.extensions_mut().remove::<Passed>();
    if (status.is_client_error() || status.is_server_error()) && passed.is_none() {
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
    response.headers_mut().insert(REQUEST_ID, value);
    browser::secure(response.headers_mut(), &path, state.edge.outside.production);
    response
}

/// The id that the caller gave, where it is a plain word of at most 64 letters.
fn given(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(REQUEST_ID)?.to_str().ok()?;
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
