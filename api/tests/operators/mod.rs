//! Operators of the platform: who they are, what they see, and what they don't.

use axum::Router;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{call, database, door, sign_up};

const PASSWORD: &str = "all of the platform";

async fn operator(door: &Router, db: &PgPool) -> String {
    let hash = api::hash_password(PASSWORD);
    crm::operator::create(db, "olga@platform.example", "Olga", &hash).await.unwrap();
    let body = json!({ "email": "Olga@platform.example", "password": PASSWORD });
    let (status, session) = call(door, "POST", "/api/v1/auth/login", "", body).await;
    assert_eq!((status, &session["operator"]["name"]), (200, &json!("Olga")), "{session}");
    session["access_token"].as_str().unwrap().to_owned()
}

/// Schedules of two customers, past the API; gives the customers.
async fn schedules(door: &Router) -> [String; 2] {
    let mut customers = Vec::new();
    for name in ["ann", "bob"] {
        let session = sign_up(door, &format!("{name}@{name}.example")).await;
        let token = session["access_token"].as_str().unwrap();
        let new = json!({ "name": name, "cron": "0 9 * * mon", "data": {} });
        let (status, made) = call(door, "POST", "/api/v1/ops/schedules", token, new).await;
        assert_eq!(status, 201, "{made}");
        customers.push(session["customer"]["id"].as_str().unwrap().to_owned());
    }
    customers.try_into().unwrap()
}

#[tokio::test]
async fn an_operator_sees_what_runs_for_all_customers_and_none_of_their_records() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let customers = schedules(&door).await;
    let olga = operator(&door, &database.pool).await;
    let (status, listed) = call(&door, "GET", "/api/v1/ops/schedules", &olga, Value::Null).await;
    assert_eq!(status, 200, "{listed}");
    let mut seen: Vec<&str> = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|schedule| schedule["customer_id"].as_str().unwrap())
        .collect();
    seen.sort_unstable();
    let mut wanted: Vec<&str> = customers.iter().map(String::as_str).collect();
    wanted.sort_unstable();
    assert_eq!(seen, wanted);
    // Acts on what is a customer's, under its own name.
    let id = listed["data"][0]["id"].as_str().unwrap();
    let path = format!("/api/v1/ops/schedules/{id}/pause");
    let (status, paused) = call(&door, "POST", &path, &olga, Value::Null).await;
    assert_eq!((status, &paused["state"]), (200, &json!("paused")), "{paused}");
    let actor: String =
        sqlx::query_scalar("select actor from engine.schedules where paused_at is not null")
            .fetch_one(&database.pool)
            .await
            .unwrap();
    assert!(actor.starts_with("operator:opr_"), "{actor}");
    // What belongs to a customer is not an operator's to read or make.
    for (method, path, body) in [
        ("GET", "/api/v1/contacts", Value::Null),
        ("GET", "/api/v1/users", Value::Null),
        ("GET", "/api/v1/sequences", Value::Null),
        ("POST", "/api/v1/contacts", json!({ "email": "eve@lead.example" })),
        ("POST", "/api/v1/ops/schedules", json!({ "name": "x", "cron": "0 9 * * mon" })),
    ] {
        let (status, problem) = call(&door, method, path, &olga, body).await;
        assert_eq!(status, 403, "{method} {path}: {problem}");
    }
    database.drop().await;
}

#[tokio::test]
async fn an_operators_login_ends_by_logging_out_and_by_being_deactivated() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let first = operator(&door, &database.pool).await;
    let (status, me) = call(&door, "GET", "/api/v1/auth/me", &first, Value::Null).await;
    assert_eq!((status, &me["operator"]["email"]), (200, &json!("olga@platform.example")), "{me}");
    assert_eq!(call(&door, "POST", "/api/v1/auth/logout", &first, Value::Null).await.0, 204);
    assert_eq!(call(&door, "GET", "/api/v1/auth/me", &first, Value::Null).await.0, 401);
    let body = json!({ "email": "olga@platform.example", "password": PASSWORD });
    let (_, session) = call(&door, "POST", "/api/v1/auth/login", "", body.clone()).await;
    let second = session["access_token"].as_str().unwrap();
    assert_eq!(call(&door, "GET", "/api/v1/ops/jobs", second, Value::Null).await.0, 200);
    assert!(crm::operator::deactivate(&database.pool, "OLGA@platform.example").await.unwrap());
    assert_eq!(call(&door, "GET", "/api/v1/ops/jobs", second, Value::Null).await.0, 401);
    assert_eq!(call(&door, "POST", "/api/v1/auth/login", "", body).await.0, 401);
    let wrong = json!({ "email": "olga@platform.example", "password": "wrong" });
    assert_eq!(call(&door, "POST", "/api/v1/auth/login", "", wrong).await.0, 401);
    database.drop().await;
}

#[tokio::test]
async fn the_role_of_the_api_can_read_no_operator_by_itself() {
    let database = database::database().await;
    let (door, api) = door(&database).await;
    let _token = operator(&door, &database.pool).await;
    let read = sqlx::query("select from operators").fetch_all(&api).await;
    assert!(read.is_err_and(|error| error.to_string().contains("permission denied")));
    database.drop().await;
}
