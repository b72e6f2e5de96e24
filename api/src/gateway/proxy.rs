//! The gateway before services that run elsewhere: which service answers what, and what of a request and of its
//! answer goes through (RFC 9110, section 7.6.1).

use axum::Router;
use axum::extract::{Request, State as Shared};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use serde_json::Value;

use super::client::{Client, FORWARDED_FOR};
use super::context::CONTEXT;
use super::edge::Entrance;
use crate::State;
use crate::problem::{Kind, Problem};
use crate::service::Service;
use crate::tenant::Asker;

/// What concerns one connection only, and what a proxy consumes.
const HOP_BY_HOP: [HeaderName; 10] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    // The gateway has answered it by the time that it reads the body.
    header::EXPECT,
];

/// The routes of a service, as its own document names them.
pub(super) fn routes(service: Service, document: &Value) -> Router<State> {
    let mut router = Router::new();
    for (path, operations) in document["paths"].as_object().into_iter().flatten() {
        for method in operations.as_object().into_iter().flatten().map(|(method, _)| method) {
            let method: Method =
                method.to_ascii_uppercase().parse().expect("the document has methods");
            let method = MethodFilter::try_from(method).expect("the document has usual methods");
            let send = move |Shared(state): Shared<State>, request: Request| async move {
                forward(&state, service, request).await
            };
            router = router.route(path, on(method, send));
        }
    }
    router
}

/// Sends a request that was let in to its service.
async fn forward(state: &State, service: Service, request: Request) -> Response {
    let Entrance::Before { signer, upstreams } = &state.edge.entrance else {
        return Problem::new(Kind::Internal).into_response();
    };
    let Some(upstream) = upstreams.iter().find(|upstream| upstream.service == service) else {
        return Problem::new(Kind::Internal).into_response();
    };
    let (mut parts, body) = request.into_parts();
    strip(&mut parts.headers);
    if let Some(asker) = parts.extensions.remove::<Asker>() {
        let context = signer.sign(&asker, service, &parts.method, parts.uri.path());
        parts.headers.remove(header::AUTHORIZATION);
        parts.headers.insert(CONTEXT, context);
    }
    name_client(&mut parts);
    let mut response = upstream.send(Request::from_parts(parts, body)).await;
    strip(response.headers_mut());
    response
}

/// Leaves out what is for this connection only, and what nobody outside may say.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP).chain([&CONTEXT]) {
        headers.remove(name);
    }
}

/// Says for whom the gateway asks; what came in is weighed already.
fn name_client(parts: &mut Parts) {
    parts.headers.remove(FORWARDED_FOR);
    let client = parts.extensions.get::<Client>();
    let named = client.and_then(|client| HeaderValue::try_from(client.0.to_string()).ok());
    if let Some(named) = named {
        parts.headers.insert(FORWARDED_FOR, named);
    }
}

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;
