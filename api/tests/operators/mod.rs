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
async fn events_that_are_set_aside_are_their_customers_and_the_operators_to_see_and_try_again() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let ann = sign_up(&door, "ann@ann.example").await;
    let bob = sign_up(&door, "bob@bob.example").await;
    let olga = operator(&door, &database.pool).await;
    let customer = engine::id::read("cus", ann["customer"]["id"].as_str().unwrap()).unwrap();
    sqlx::query(
        "insert into engine.parked (seq, topic, key, tries, error, event)
         select n, 'contact.created', 'con_1', 6 - n, 'it is bad ' || n,
           jsonb_build_object('id', gen_random_uuid(), 'customer_id', $1::uuid, 'sequence', n, 'data', '{}'::jsonb, 'at', now())
         from generate_series(1, 2) n",
    )
    .bind(customer)
    .execute(&database.pool)
    .await
    .unwrap();
    let token = |session: &Value| session["access_token"].as_str().unwrap().to_owned();
    let (ann, bob) = (token(&ann), token(&bob));
    let parked = "/api/v1/ops/outbox/parked";
    for (who, sees) in [(&ann, 2), (&olga, 2), (&bob, 0)] {
        let (_, standing) = call(&door, "GET", "/api/v1/ops/outbox", who, Value::Null).await;
        assert_eq!(standing["parked"], sees, "{standing}");
        assert_eq!(standing["relays"].is_array(), *who == olga, "{standing}");
        let (status, page) = call(&door, "GET", parked, who, Value::Null).await;
        assert_eq!((status, page["data"].as_array().unwrap().len()), (200, sees), "{page}");
    }
    let (_, first) = call(&door, "GET", &format!("{parked}?limit=1"), &ann, Value::Null).await;
    assert_eq!(
        (&first["data"][0]["reason"], &first["data"][0]["tries"]),
        (&json!("it is bad 1"), &json!(5))
    );
    let next = format!("{parked}?cursor={}", first["next_cursor"].as_str().unwrap());
    let (_, second) = call(&door, "GET", &next, &ann, Value::Null).await;
    assert_eq!(second["data"][0]["reason"], "it is bad 2", "{second}");
    // One is tried again with what waits behind it, by whose it is.
    let retry = format!("/api/v1/ops/outbox/{}/retry", second["data"][0]["id"].as_str().unwrap());
    assert_eq!(call(&door, "POST", &retry, &bob, Value::Null).await.0, 404);
    let (status, retried) = call(&door, "POST", &retry, &ann, Value::Null).await;
    assert_eq!((status, &retried["retried"]), (200, &json!(2)), "{retried}");
    for (who, wanted, count) in
        [(&bob, json!({}), 0), (&olga, json!({ "topic": "contact.created" }), 2)]
    {
        let (status, retried) = call(&door, "POST", "/api/v1/ops/outbox/retry", who, wanted).await;
        assert_eq!((status, &retried["retried"]), (200, &json!(count)), "{retried}");
    }
    let since = json!({ "from": "2026-01-01T00:00:00Z" });
    let replay = "/api/v1/ops/outbox/replay";
    assert_eq!(call(&door, "POST", replay, &ann, since.clone()).await.0, 404);
    let (status, replayed) = call(&door, "POST", replay, &olga, since).await;
    assert_eq!((status, &replayed["lanes"]), (200, &json!(0)), "nobody has told any yet");
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
