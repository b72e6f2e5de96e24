//! The gateway before a service of the test's own.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::net::SocketAddr;

use axum::http::Request as Asked;
use axum::routing::post;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::tests::{ask, services};
use super::*;
use crate::{InternalSecret, Outside, Target};

const LOGIN: &str = "/api/v1/auth/login";

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A gateway before services that all answer at this address.
fn before(address: SocketAddr) -> Router {
    let secret = InternalSecret::parse("one secret of thirty-two letters").unwrap();
    let target = Target::parse(&format!("http://{address}")).unwrap();
    crate::gateway(services(Outside::default()), &secret, |_| target.clone())
}

/// Answers with what it was asked.
async fn echo(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, 10_000).await.unwrap();
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.to_string(), Value::from(value.to_str().unwrap()))
    };
    let headers: serde_json::Map<String, Value> = parts.headers.iter().map(text).collect();
    let told = [("connection", "x-hop"), ("x-hop", "1"), ("etag", "\"1\"")];
    let body = json!({ "headers": headers, "body": String::from_utf8_lossy(&bytes),
                       "path": parts.uri.to_string() });
    (told, axum::Json(body)).into_response()
}

#[tokio::test]
async fn what_concerns_one_connection_only_stays_there_and_the_rest_goes_through() {
    let (listener, address) = listener().await;
    tokio::spawn(
        async move { axum::serve(listener, Router::new().route(LOGIN, post(echo))).await },
    );
    let request = Asked::post(format!("{LOGIN}?a=b%20c"))
        .header("connection", "keep-alive, x-secret")
        .header("x-secret", "1")
        .header("te", "trailers")
        .header("x-tenant-context", "made up")
        .header("x-forwarded-for", "1.2.3.4")
        .header("authorization", "Bearer abc")
        .header("x-request-id", "req_of_mine")
        .header("accept-language", "de");
    let (status, headers, said) = ask(&before(address), request, "{\"email\":1}").await;
    assert_eq!(status, 200, "{said}");
    assert_eq!(said["path"], format!("{LOGIN}?a=b%20c"));
    assert_eq!(said["body"], "{\"email\":1}");
    let heard = &said["headers"];
    for gone in ["connection", "x-secret", "te", "x-tenant-context"] {
        assert_eq!(heard[gone], Value::Null, "{heard}");
    }
    assert_eq!(heard["x-request-id"], "req_of_mine");
    assert_eq!(heard["accept-language"], "de");
    assert_eq!(heard["host"], address.to_string());
    assert_eq!(heard["x-forwarded-for"], "0.0.0.0", "a client without a connection");
    // No permission is needed here, so that the service looks at the token itself.
    assert_eq!(heard["authorization"], "Bearer abc");
    assert!(!headers.contains_key("x-hop") && headers["etag"] == "\"1\"");
    assert_eq!(headers["x-request-id"], "req_of_mine");
}

#[tokio::test]
async fn what_needs_a_permission_does_not_reach_the_service_without_a_token() {
    let (listener, address) = listener().await;
    drop(listener);
    let (status, _, said) = ask(&before(address), Asked::get("/api/v1/contacts"), "").await;
    assert_eq!((status, &said["type"]), (401, &Value::from("/problems/unauthorized")));
    let (status, ..) = ask(&before(address), Asked::get("/api/v1/nothing"), "").await;
    assert_eq!(status, 404);
    let (status, ..) = ask(&before(address), Asked::delete(LOGIN), "").await;
    assert_eq!(status, 405);
}

#[tokio::test]
async fn a_service_that_is_gone_is_named_and_after_five_failures_not_asked_again() {
    let (listener, address) = listener().await;
    drop(listener);
    let gateway = before(address);
    for _ in 0..6 {
        let (status, headers, said) = ask(&gateway, Asked::post(LOGIN), "{}").await;
        assert_eq!((status, &said["type"]), (503, &Value::from("/problems/unavailable")));
        assert!(said["detail"].as_str().unwrap().contains("`auth`"), "{said}");
        assert!(headers.contains_key(header::RETRY_AFTER));
    }
    // It is back, but nobody looks so soon.
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(
        async move { axum::serve(listener, Router::new().route(LOGIN, post(echo))).await },
    );
    let (status, ..) = ask(&gateway, Asked::post(LOGIN), "{}").await;
    assert_eq!(status, 503);
    let (status, ..) = ask(&before(address), Asked::post(LOGIN), "{}").await;
    assert_eq!(status, 200, "another gateway has not seen it fail");
}

#[tokio::test]
async fn an_answer_that_is_none_is_told_with_the_name_of_the_service() {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _read = stream.read(&mut [0; 1_000]).await;
            let _written = stream.write_all(b"what?\r\n\r\n").await;
        }
    });
    let (status, _, said) = ask(&before(address), Asked::post(LOGIN), "{}").await;
    assert_eq!((status, &said["type"]), (502, &Value::from("/problems/bad-gateway")));
    assert!(said["detail"].as_str().unwrap().contains("`auth`"), "{said}");
}
