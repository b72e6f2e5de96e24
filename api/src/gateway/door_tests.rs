//! What holds of every answer, whoever asked and whatever became of it. No database is asked.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::request::Builder;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::routing::get;
use crm::enrollment::Sender;
use crm::vault::Vault;
use engine::definition_store::Definitions;
use engine::step::Registry;
use serde_json::Value;
use sqlx::postgres::PgPoolOptions;
use tower::ServiceExt;

use super::*;
use crate::{Pool, Services, Settings, TokenKeys, UserMail};

/// What a process of these settings needs, with a database that nobody asks.
pub(super) fn services(outside: Outside) -> Services {
    let nowhere = PgPoolOptions::new().connect_lazy("postgres://nowhere").unwrap();
    Services {
        pool: Pool::direct(nowhere),
        definitions: Definitions::new(Registry::new()),
        settings: Settings {
            keys: Arc::new(TokenKeys::secrets(&["one secret of thirty-two letters"]).unwrap()),
            access_seconds: 60,
            refresh_seconds: 60,
            sender: Sender::Default,
            public_url: "http://localhost:3010".into(),
            user_mail: UserMail::Possible,
        },
        outside,
        vault: Vault::default(),
        metrics: String::new,
        broker: None,
    }
}

fn outside(rates: Rates) -> Outside {
    let origins = Origins::parse("http://localhost:3010").unwrap();
    Outside { rates, origins, ..Outside::default() }
}

/// An answer as a client reads it.
pub(super) async fn ask(door: &Router, request: Builder, body: &str) -> (u16, HeaderMap, Value) {
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let response = door.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = to_bytes(response.into_body(), 100_000).await.unwrap();
    (status, headers, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

#[tokio::test]
async fn a_panic_becomes_a_problem_that_leaks_nothing() {
    async fn broken() -> StatusCode {
        panic!("the secret")
    }
    let routes = Router::new().route("/", get(broken));
    let edge = Edge::whole(Outside::default());
    let state = crate::state(services(Outside::default()), &Value::Null, edge);
    let door = behind_the_door(routes, state, TIMEOUT);
    let (status, _, body) = ask(&door, Request::get("/"), "").await;
    assert_eq!((status, &body["type"]), (500, &Value::from("/problems/internal")));
    assert!(!body.to_string().contains("secret"), "{body}");
}

#[tokio::test]
async fn every_answer_tells_browsers_what_they_may_do() {
    let door = crate::router(services(outside(Rates::UNLIMITED)));
    let preflight = Request::options("/api/v1/contacts")
        .header("origin", "http://localhost:3010")
        .header("access-control-request-method", "PATCH")
        .header("access-control-request-headers", "if-match,authorization");
    let asked = [
        (Request::get("/healthz"), 200),
        (Request::get("/nowhere"), 404),
        (Request::get("/api/v1/contacts"), 401),
        (preflight, 200),
    ];
    for (request, expected) in asked {
        let (status, headers, body) = ask(&door, request, "").await;
        assert_eq!(status, expected, "{body}");
        for name in ["x-content-type-options", "referrer-policy", "x-frame-options", "x-request-id"]
        {
            assert!(headers.contains_key(name), "{expected} lacks {name}");
        }
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
    }
    let (status, headers, _) = ask(&door, Request::get("/docs/"), "").await;
    let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(status == 200 && policy.contains("style-src 'self' 'unsafe-inline'"), "{policy}");
}

#[tokio::test]
async fn pages_of_listed_origins_may_ask_and_others_may_not() {
    let door = crate::router(services(outside(Rates::UNLIMITED)));
    let from = |origin| Request::get("/api/v1/contacts").header("origin", origin);
    let (_, headers, _) = ask(&door, from("http://localhost:3010"), "").await;
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "http://localhost:3010");
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
    let exposed = headers[header::ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap();
    assert!(exposed.contains("ratelimit") && exposed.contains("etag"), "{exposed}");
    let (_, headers, _) = ask(&door, from("http://evil.example"), "").await;
    assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
}

#[tokio::test]
async fn whoever_asks_too_often_is_told_when_to_come_again() {
    let replicas = std::num::NonZeroU32::new(1_000).unwrap();
    let strict = Rates { address: 1, replicas, ..Rates::UNLIMITED };
    let door = crate::router(services(outside(strict)));
    let (status, headers, _) = ask(&door, Request::get("/api/v1/contacts"), "").await;
    assert_eq!(status, 401);
    assert_eq!(headers["ratelimit-policy"], "\"address\";q=1;w=1000");
    assert_eq!(headers["ratelimit"], "\"address\";r=0;t=1000");
    let (status, headers, body) = ask(&door, Request::post("/api/v1/auth/login"), "{").await;
    assert_eq!((status, &body["type"]), (429, &Value::from("/problems/too-many")));
    let wait: u64 = headers[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((900..=1_000).contains(&wait), "{wait}");
    assert!(headers.contains_key("ratelimit") && headers.contains_key("ratelimit-policy"));
    let (status, headers, _) = ask(&door, Request::get("/healthz"), "").await;
    assert!(status == 200 && !headers.contains_key("ratelimit"), "checks are under no limit");
}

#[tokio::test]
async fn a_service_behind_the_gateway_believes_no_token_of_a_user() {
    let secret = InternalSecret::parse("another secret, as long as first").unwrap();
    let mode = AuthMode::Gateway(secret);
    let door = crate::alone(services(Outside::default()), Service::Crm, &mode);
    for name in ["authorization", "x-tenant-context"] {
        let request = Request::get("/api/v1/contacts").header(name, "Bearer abc");
        let (status, _, body) = ask(&door, request, "").await;
        assert_eq!((status, &body["type"]), (401, &Value::from("/problems/unauthorized")));
    }
    let (status, ..) = ask(&door, Request::get("/api/v1/sequences"), "").await;
    assert_eq!(status, 404, "it is another service's");
}
