//! Schedules through the API: what is made, changed, refused, and seen by whom.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{call, database, door, sign_up};

const PATH: &str = "/api/v1/ops/schedules";

/// A door with the token of somebody who signed up.
async fn begin(database: &database::TestDatabase) -> (Router, String) {
    let (door, _) = door(database).await;
    let session = sign_up(&door, "ann@example.com").await;
    (door, session["access_token"].as_str().unwrap().to_owned())
}

fn weekly(name: &str) -> Value {
    json!({ "name": name, "cron": "0 9 * * mon", "zone": "Europe/Vienna" })
}

/// A call with `If-Match`; gives the status, the answer's `ETag`, and its body.
async fn matching(
    door: &Router,
    (method, path): (&str, &str),
    token: &str,
    tag: &str,
    body: Value,
) -> (u16, String, Value) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .header("if-match", tag)
        .body(if body.is_null() { Body::empty() } else { Body::from(body.to_string()) });
    let response = door.clone().oneshot(request.unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let tag = response.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
    let bytes = to_bytes(response.into_body(), 1_000_000).await.unwrap();
    (status, tag.unwrap_or_default(), serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

#[tokio::test]
async fn a_schedule_is_made_read_changed_paused_and_removed() {
    let database = database::database().await;
    let (door, ann) = begin(&database).await;
    let (status, made) = call(&door, "POST", PATH, &ann, weekly("review")).await;
    assert_eq!(status, 201, "{made}");
    assert!(made["id"].as_str().unwrap().starts_with("sch_"), "{made}");
    for (field, value) in [
        ("zone", json!("Europe/Vienna")),
        ("jitter", Value::Null),
        ("start", Value::Null),
        ("overlap", json!("skip")),
        ("catch_up", json!("last")),
        ("state", json!("live")),
        ("revision", json!(1)),
    ] {
        assert_eq!(made[field], value, "{field}");
    }
    let path = format!("{PATH}/{}", made["id"].as_str().unwrap());
    assert_eq!(call(&door, "GET", &path, &ann, Value::Null).await, (200, made.clone()));

    let (_, contact) =
        call(&door, "POST", "/api/v1/contacts", &ann, json!({ "email": "eve@lead.example" })).await;
    let start = json!({ "workflow": "nothing", "contact_id": contact["id"] });
    let (status, problem) = call(&door, "PATCH", &path, &ann, json!({ "start": start })).await;
    assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!("start.workflow")));

    let wish = json!({ "cron": "@daily", "jitter": "10 minutes", "overlap": "queue" });
    let (status, changed) = call(&door, "PATCH", &path, &ann, wish).await;
    assert_eq!(status, 200, "{changed}");
    let fields = ["name", "cron", "jitter", "overlap", "revision"].map(|field| &changed[field]);
    let expected =
        [json!("review"), json!("@daily"), json!("10 minutes"), json!("queue"), json!(2)];
    assert_eq!(fields, expected.each_ref());
    let (_, changed) = call(&door, "PATCH", &path, &ann, json!({ "jitter": null })).await;
    assert_eq!((&changed["jitter"], &changed["cron"]), (&Value::Null, &json!("@daily")));

    let (status, paused) = call(&door, "POST", &format!("{path}/pause"), &ann, Value::Null).await;
    assert_eq!(
        (status, &paused["state"], &paused["next_at"]),
        (200, &json!("paused"), &Value::Null)
    );
    let (status, problem) = call(&door, "POST", &format!("{path}/fire"), &ann, Value::Null).await;
    assert_eq!((status, &problem["type"]), (409, &json!("/problems/wrong-state")));
    let (_, resumed) = call(&door, "POST", &format!("{path}/resume"), &ann, Value::Null).await;
    assert_eq!((&resumed["state"], resumed["next_at"].is_string()), (&json!("live"), true));
    let (_, fired) = call(&door, "POST", &format!("{path}/fire"), &ann, Value::Null).await;
    assert_eq!(fired["waiting"], 1);
    let (_, fires) = call(&door, "GET", &format!("{path}/fires"), &ann, Value::Null).await;
    assert_eq!(fires["data"][0]["outcome"], "queued", "{fires}");
    assert_eq!(call(&door, "POST", &format!("{path}/dance"), &ann, Value::Null).await.0, 404);
    assert_eq!(call(&door, "DELETE", &path, &ann, Value::Null).await.0, 204);
    assert_eq!(call(&door, "GET", &path, &ann, Value::Null).await.0, 404);
    assert_eq!(call(&door, "GET", &format!("{path}/fires"), &ann, Value::Null).await.0, 404);
    database.drop().await;
}

#[tokio::test]
async fn what_somebody_else_changed_meanwhile_is_not_overwritten() {
    let database = database::database().await;
    let (door, ann) = begin(&database).await;
    let (_, made) = call(&door, "POST", PATH, &ann, weekly("review")).await;
    let path = format!("{PATH}/{}", made["id"].as_str().unwrap());
    let wish = json!({ "cron": "@daily" });
    let (status, tag, _) = matching(&door, ("PATCH", &path), &ann, "\"1\"", wish).await;
    assert_eq!((status, tag.as_str()), (200, "\"2\""));
    let wish = json!({ "cron": "@hourly" });
    let (status, _, problem) = matching(&door, ("PATCH", &path), &ann, "\"1\"", wish).await;
    assert_eq!((status, &problem["type"]), (412, &json!("/problems/changed-meanwhile")));
    let gone = matching(&door, ("DELETE", &path), &ann, "\"1\"", Value::Null).await;
    assert_eq!(gone.0, 412);
    assert_eq!(call(&door, "GET", &path, &ann, Value::Null).await.1["cron"], "@daily");
    let gone = matching(&door, ("DELETE", &path), &ann, "\"2\"", Value::Null).await;
    assert_eq!(gone.0, 204);
    database.drop().await;
}

#[tokio::test]
async fn everything_that_is_wrong_with_a_schedule_is_told_by_its_field() {
    let database = database::database().await;
    let (door, ann) = begin(&database).await;
    let wrong = json!({
        "name": "review", "cron": "0 25 * * mon", "zone": "Europe/Viena", "jitter": "soon",
        "start": { "workflow": "intro", "contact_id": "con_01h455vb4pex5vsknk084sn02q" },
    });
    let (status, problem) = call(&door, "POST", PATH, &ann, wrong).await;
    assert_eq!(status, 422, "{problem}");
    let errors = problem["errors"].as_array().unwrap();
    let fields: Vec<&str> = errors.iter().map(|fault| fault["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["cron", "zone", "jitter", "start.contact_id"]);
    assert_eq!(
        (&errors[0]["column"], &errors[0]["message"]),
        (&json!(3), &json!("`25` is no hour"))
    );
    assert_eq!(errors[0]["help"], "write 0 to 23, where 0 is midnight");
    assert_eq!(errors[1]["help"], "did you mean `Europe/Vienna`?");
    for (field, value) in [
        ("name", json!("Monday Review")),
        ("jitter", json!("2 days")),
        ("overlap", json!("both")),
        ("catch_up", json!("some")),
        ("catch_up_limit", json!(0)),
        ("catch_up_limit", json!(101)),
        ("data", json!({ "long": "x".repeat(20_000) })),
        ("data", json!([1])),
        ("colour", json!("red")),
        ("cron", json!("0 0 9 1 1 ? 2020")),
    ] {
        let mut wrong = weekly("review");
        wrong[field] = value;
        let (status, problem) = call(&door, "POST", PATH, &ann, wrong).await;
        assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!(field)), "{problem}");
    }
    assert_eq!(call(&door, "POST", PATH, &ann, weekly("review")).await.0, 201);
    let (status, problem) = call(&door, "POST", PATH, &ann, weekly("review")).await;
    assert_eq!((status, &problem["type"]), (409, &json!("/problems/name-taken")));
    database.drop().await;
}

#[tokio::test]
async fn schedules_are_paged_and_seen_by_their_customer_alone() {
    let database = database::database().await;
    let (door, ann) = begin(&database).await;
    let bob = sign_up(&door, "bob@example.com").await;
    let bob = bob["access_token"].as_str().unwrap();
    for name in ["one", "two", "three"] {
        assert_eq!(call(&door, "POST", PATH, &ann, weekly(name)).await.0, 201);
    }
    let (_, page) = call(&door, "GET", &format!("{PATH}?limit=2"), &ann, Value::Null).await;
    let names = |page: &Value| -> Vec<String> {
        let rows = page["data"].as_array().unwrap().iter();
        rows.map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&page), ["three", "two"]);
    let next = format!("{PATH}?limit=2&cursor={}", page["next_cursor"].as_str().unwrap());
    let (_, last) = call(&door, "GET", &next, &ann, Value::Null).await;
    assert_eq!((names(&last), &last["next_cursor"]), (vec!["one".to_owned()], &Value::Null));

    let path = format!("{PATH}/{}", page["data"][0]["id"].as_str().unwrap());
    assert!(names(&call(&door, "GET", PATH, bob, Value::Null).await.1).is_empty());
    for (method, path, body) in [
        ("GET", path.clone(), Value::Null),
        ("PATCH", path.clone(), json!({ "cron": "@daily" })),
        ("DELETE", path.clone(), Value::Null),
        ("POST", format!("{path}/pause"), Value::Null),
        ("POST", format!("{path}/fire"), Value::Null),
        ("GET", format!("{path}/fires"), Value::Null),
    ] {
        assert_eq!(call(&door, method, &path, bob, body.clone()).await.0, 404, "{method} {path}");
        assert_eq!(call(&door, method, &path, "", body).await.0, 401, "{method} {path}");
    }
    // The other customer's name is free, and its contact is none of Ann's.
    assert_eq!(call(&door, "POST", PATH, bob, weekly("one")).await.0, 201);
    database.drop().await;
}

#[tokio::test]
async fn a_viewer_reads_schedules_and_changes_none() {
    let database = database::database().await;
    let (door, ann) = begin(&database).await;
    let (_, made) = call(&door, "POST", PATH, &ann, weekly("review")).await;
    let path = format!("{PATH}/{}", made["id"].as_str().unwrap());
    sqlx::query("update users set role = 'viewer'").execute(&database.pool).await.unwrap();
    let login = json!({ "email": "ann@example.com", "password": "correct horse" });
    let (_, session) = call(&door, "POST", "/api/v1/auth/login", "", login).await;
    let viewer = session["access_token"].as_str().unwrap();
    assert_eq!(call(&door, "GET", &path, viewer, Value::Null).await.0, 200);
    assert_eq!(call(&door, "POST", PATH, viewer, weekly("other")).await.0, 403);
    assert_eq!(call(&door, "DELETE", &path, viewer, Value::Null).await.0, 403);
    assert_eq!(call(&door, "POST", &format!("{path}/pause"), viewer, Value::Null).await.0, 403);
    database.drop().await;
}

#[tokio::test]
async fn a_preview_tells_what_a_change_of_the_clock_moves() {
    let database = database::database().await;
    let (door, ann) = begin(&database).await;
    let path = format!("{PATH}/preview");
    let wanted = json!({
        "cron": "30 2 * * *", "zone": "Europe/Berlin", "from": "2026-03-28T00:00:00Z", "count": 2,
    });
    let (status, preview) = call(&door, "POST", &path, &ann, wanted).await;
    assert_eq!(status, 200, "{preview}");
    let expected = json!([
        { "at": "2026-03-28T01:30:00Z", "local": "2026-03-28 02:30 +01:00 Europe/Berlin" },
        { "at": "2026-03-29T01:00:00Z", "local": "2026-03-29 03:00 +02:00 Europe/Berlin",
          "moved_from": "2026-03-29 02:30:00" },
    ]);
    assert_eq!(preview["occurrences"], expected);
    let (status, preview) = call(&door, "POST", &path, &ann, json!({ "cron": "@daily" })).await;
    assert_eq!((status, preview["occurrences"].as_array().unwrap().len()), (200, 10));
    for (field, wanted) in [
        ("cron", json!({ "cron": "daily" })),
        ("zone", json!({ "cron": "@daily", "zone": "Mars" })),
        ("count", json!({ "cron": "@daily", "count": 101 })),
    ] {
        let (status, problem) = call(&door, "POST", &path, &ann, wanted).await;
        assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!(field)), "{problem}");
    }
    database.drop().await;
}
