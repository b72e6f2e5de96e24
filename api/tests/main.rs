//! The API through its front door, on a database of each test's own, under the API's role.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod activities;
mod auth;
mod bulk;
mod conventions;
#[path = "../../tests/support/database.rs"]
mod database;
mod desk;
mod merging;
mod operators;
#[path = "../../tests/support/promises.rs"]
mod promises;
mod reach;
mod records;
mod schedules;
mod suppressions;

use std::sync::Arc;

use api::{Outside, Services, Settings, TokenKeys, UserMail};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use crm::enrollment::Sender;
use crm::vault::Vault;
use engine::definition_store::Definitions;
use engine::step::Registry;
use serde_json::{Value, json};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};
use tower::ServiceExt;

/// The secret that signs tokens in these tests.
const SECRET: &str = "a secret of the tests, long enough";

async fn door(database: &database::TestDatabase) -> (Router, PgPool) {
    door_with(database, &[SECRET]).await
}

/// A door with these secrets for tokens, the newest first.
async fn door_with(database: &database::TestDatabase, secrets: &[&str]) -> (Router, PgPool) {
    let options = database.options.clone().options([("role", "salesos_api")]);
    let pool = PgPoolOptions::new().max_connections(4).connect_with(options).await.unwrap();
    let settings = Settings {
        keys: Arc::new(TokenKeys::secrets(secrets).unwrap()),
        access_seconds: 900,
        refresh_seconds: 3_600,
        sender: Sender::DefaultOrMock,
        public_url: "http://localhost:3010".into(),
        user_mail: UserMail::Possible,
    };
    let definitions = Definitions::new(Registry::new());
    let services = Services {
        pool: api::Pool::direct(pool.clone()),
        definitions,
        settings,
        vault: Vault::of(&["what seals secrets in these tests"]).unwrap(),
        outside: Outside { production: true, ..Outside::default() },
        metrics: String::new,
        broker: None,
    };
    (api::router(services), pool)
}

async fn call(door: &Router, method: &str, path: &str, token: &str, body: Value) -> (u16, Value) {
    let mut request = Request::builder().method(method).uri(path);
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    if method == "PATCH" {
        request = request.header("if-match", "*");
    }
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    let request = request.header("content-type", "application/json").body(body).unwrap();
    let response = door.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), 4_000_000).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

async fn sign_up(door: &Router, email: &str) -> Value {
    let body =
        json!({ "email": email, "password": "correct horse", "name": "Ann", "company": "Acme" });
    let (status, session) = call(door, "POST", "/api/v1/auth/signup", "", body).await;
    assert_eq!(status, 201, "{session}");
    session
}

#[tokio::test]
async fn a_refresh_token_that_is_used_twice_ends_its_login() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let first = sign_up(&door, "ann@example.com").await;
    let body = json!({ "refresh_token": first["refresh_token"] });
    let (status, second) = call(&door, "POST", "/api/v1/auth/refresh", "", body.clone()).await;
    assert_eq!(status, 200, "{second}");
    let next = json!({ "refresh_token": second["refresh_token"] });
    let (status, third) = call(&door, "POST", "/api/v1/auth/refresh", "", next).await;
    assert_eq!(status, 200, "{third}");
    assert_eq!(call(&door, "POST", "/api/v1/auth/refresh", "", body).await.0, 401);
    let body = json!({ "refresh_token": third["refresh_token"] });
    assert_eq!(call(&door, "POST", "/api/v1/auth/refresh", "", body).await.0, 401);
    database.drop().await;
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_answer_alike() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    sign_up(&door, "ann@example.com").await;
    for email in ["ann@example.com", "nobody@example.com"] {
        let body = json!({ "email": email, "password": "wrong" });
        let (status, problem) = call(&door, "POST", "/api/v1/auth/login", "", body).await;
        assert_eq!((status, &problem["type"]), (401, &json!("/problems/invalid-credentials")));
    }
    let body = json!({ "email": "ANN@example.com", "password": "correct horse" });
    assert_eq!(call(&door, "POST", "/api/v1/auth/login", "", body).await.0, 200);
    database.drop().await;
}

#[tokio::test]
async fn a_contact_is_seen_by_its_customer_alone() {
    let database = database::database().await;
    let (door, pool) = door(&database).await;
    let ann = sign_up(&door, "ann@example.com").await;
    let bob = sign_up(&door, "bob@example.com").await;
    let (ann, bob) = (ann["access_token"].as_str().unwrap(), bob["access_token"].as_str().unwrap());
    let new = json!({ "email": "eve@lead.example" });
    let (status, made) = call(&door, "POST", "/api/v1/contacts", ann, new.clone()).await;
    assert_eq!((status, &made["engagement"]["score"]), (201, &json!(0)), "{made}");
    assert_eq!(call(&door, "POST", "/api/v1/contacts", ann, new).await.0, 409);
    let bad = json!({ "email": "x@y.example", "colour": "red" });
    let (status, problem) = call(&door, "POST", "/api/v1/contacts", ann, bad).await;
    assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!("colour")));
    let path = format!("/api/v1/contacts/{}", made["id"].as_str().unwrap());
    assert_eq!(call(&door, "GET", &path, ann, Value::Null).await.0, 200);
    assert_eq!(call(&door, "GET", &path, bob, Value::Null).await.0, 404);
    assert_eq!(call(&door, "GET", &path, "", Value::Null).await.0, 401);
    for rows in ["contacts", "crm.contacts_in_reach", "crm.search_words_in_reach"] {
        let count = AssertSqlSafe(format!("select count(*) from {rows}"));
        let seen: i64 = sqlx::query_scalar(count).fetch_one(&pool).await.unwrap();
        assert_eq!(seen, 0, "without a customer the role sees nothing in {rows}");
    }
    database.drop().await;
}

#[tokio::test]
async fn a_definition_that_is_refused_points_to_each_mistake_and_says_what_to_write() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let session = sign_up(&door, "ann@example.com").await;
    let token = session["access_token"].as_str().unwrap();
    let body = json!({ "definition": { "naem": "a", "timing": { "zone": ["Europe/Viena"] }, "steps": [{}] } });
    let (status, problem) = call(&door, "POST", "/api/v1/sequences", token, body).await;
    assert_eq!((status, &problem["type"]), (422, &json!("/problems/definition-refused")));
    let errors = problem["errors"].as_array().unwrap();
    let at = |pointer: &str| {
        let found = errors.iter().find(|error| error["pointer"] == pointer);
        found.unwrap_or_else(|| panic!("nothing points to {pointer}: {problem}"))
    };
    let misspelled = at("/definition/naem");
    assert_eq!(misspelled["message"], "a sequence has no key `naem`");
    assert_eq!(misspelled["help"], "did you mean `name`?");
    assert_eq!((&misspelled["line"], &misspelled["column"]), (&json!(2), &json!(3)));
    assert_eq!(at("/definition/timing/zone/0")["help"], "did you mean `Europe/Vienna`?");
    assert_eq!(at("/definition/steps/0")["message"], "this step has no `id`");
    assert!(problem["rendered"].as_str().unwrap().contains("did you mean `Europe/Vienna`?"));
    database.drop().await;
}

#[tokio::test]
async fn every_resource_wants_a_token_and_the_checks_of_health_want_none() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    for path in [
        "contacts",
        "sequences",
        "enrollments",
        "activities",
        "ops/jobs",
        "ops/schedules",
        "auth/me",
    ] {
        let path = format!("/api/v1/{path}");
        assert_eq!(call(&door, "GET", &path, "", Value::Null).await.0, 401, "{path}");
        let session = sign_up(&door, &format!("u{}@example.com", path.replace('/', ""))).await;
        let token = session["access_token"].as_str().unwrap();
        let (status, answer) = call(&door, "GET", &path, token, Value::Null).await;
        assert_eq!(status, 200, "{path}: {answer}");
    }
    assert_eq!(call(&door, "GET", "/healthz", "", Value::Null).await.0, 200);
    assert_eq!(call(&door, "GET", "/readyz", "", Value::Null).await.0, 200);
    database.drop().await;
}
