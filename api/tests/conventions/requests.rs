//! What requests carry: keys under which a POST is done once, what a change was made from, and cursors.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{SECRET, call, database, door, door_with, sign_up};

/// A POST under a key; gives the status, the headers and the body.
async fn keyed(
    door: &Router,
    token: &str,
    path: &str,
    key: &str,
    body: &Value,
) -> (u16, HeaderMap, Value) {
    let request = Request::post(path)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .header("idempotency-key", key)
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = door.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = to_bytes(response.into_body(), 1_000_000).await.unwrap();
    (status, headers, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

/// Every answer that shows a secret: what was kept of it, and whether the repeated request shows the same.
#[tokio::test]
async fn a_kept_answer_holds_no_secret_in_clear_and_is_repeated_whole() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let ann = sign_up(&door, "ann@acme.example").await;
    let ann = ann["access_token"].as_str().unwrap();
    let key = json!({ "name": "CI", "scopes": ["contacts:read"] });
    let hook = json!({ "url": "https://hooks.example/in", "events": ["contact.created"] });
    let (_, _, made) = keyed(&door, ann, "/api/v1/webhooks", "k-0", &hook).await;
    let rotated = format!("/api/v1/webhooks/{}/secret", made["id"].as_str().unwrap());
    for (path, body, field) in [
        ("/api/v1/api-keys", &key, "key"),
        ("/api/v1/webhooks", &hook, "secret"),
        (&rotated, &json!({}), "secret"),
    ] {
        let under = format!("k-{path}");
        let (status, _, first) = keyed(&door, ann, path, &under, body).await;
        assert!(status < 300, "{path}: {first}");
        let secret = first[field].as_str().unwrap_or_else(|| panic!("{path} shows none: {first}"));
        let kept: i64 = sqlx::query_scalar(
            "select count(*) from idempotency_keys k
             where key = $1 and position(convert_to($2, 'UTF8') in k.body) = 0
               and position(convert_to($2, 'UTF8') in k.secret) = 0
               and strpos(k::text, encode(convert_to($2, 'UTF8'), 'hex')) = 0",
        )
        .bind(&under)
        .bind(secret)
        .fetch_one(&database.pool)
        .await
        .unwrap();
        assert_eq!(kept, 1, "{path} keeps its secret in clear");
        let (again_status, headers, again) = keyed(&door, ann, path, &under, body).await;
        assert_eq!((again_status, &again), (status, &first), "{path}");
        assert_eq!(headers["idempotency-replayed"], "true");
    }
    database.drop().await;
}

#[tokio::test]
async fn a_post_under_a_key_is_done_once_and_answered_alike() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let ann = sign_up(&door, "ann@acme.example").await;
    let bob = sign_up(&door, "bob@other.example").await;
    let (ann, bob) = (ann["access_token"].as_str().unwrap(), bob["access_token"].as_str().unwrap());
    let (path, new) = ("/api/v1/contacts", json!({ "email": "eve@lead.example" }));
    let (status, first, made) = keyed(&door, ann, path, "k-1", &new).await;
    assert_eq!(status, 201, "{made}");
    let (status, again, same) = keyed(&door, ann, path, "k-1", &new).await;
    assert_eq!((status, &same), (201, &made));
    assert_eq!(again["location"], first["location"]);
    assert_eq!(again["idempotency-replayed"], "true");
    assert!(first.get("idempotency-replayed").is_none());
    // Another request under the key, another customer's key of the same name, and a key that is none.
    let (status, _, problem) =
        keyed(&door, ann, path, "k-1", &json!({ "email": "x@y.example" })).await;
    assert_eq!((status, &problem["type"]), (422, &json!("/problems/key-reused")));
    assert_eq!(keyed(&door, bob, path, "k-1", &new).await.0, 201);
    assert_eq!(keyed(&door, ann, path, "no key", &new).await.0, 400);
    // What was refused is kept under no key, and may be mended.
    assert_eq!(keyed(&door, ann, path, "k-2", &new).await.0, 409);
    assert_eq!(keyed(&door, ann, path, "k-2", &json!({ "email": "z@y.example" })).await.0, 201);
    let kept: i64 = sqlx::query_scalar("select count(*) from contacts")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    assert_eq!(kept, 3);
    database.drop().await;
}

#[tokio::test]
async fn a_kept_request_can_not_be_guessed_and_one_of_an_earlier_version_is_still_known() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let ann = sign_up(&door, "ann@acme.example").await;
    let ann = ann["access_token"].as_str().unwrap();
    let (path, new) = ("/api/v1/contacts", json!({ "email": "eve@lead.example" }));
    let (status, _, made) = keyed(&door, ann, path, "k-1", &new).await;
    assert_eq!(status, 201, "{made}");
    let request = format!("POST {path}\n{new}");
    let alike =
        "select count(*) from idempotency_keys where fingerprint = sha256(convert_to($1, 'UTF8'))";
    let alike: i64 =
        sqlx::query_scalar(alike).bind(&request).fetch_one(&database.pool).await.unwrap();
    assert_eq!(alike, 0, "the fingerprint follows from the request alone");
    // An earlier version kept the digest itself.
    sqlx::query("update idempotency_keys set fingerprint = sha256(convert_to($1, 'UTF8'))")
        .bind(&request)
        .execute(&database.pool)
        .await
        .unwrap();
    let (status, again, same) = keyed(&door, ann, path, "k-1", &new).await;
    assert_eq!((status, &same), (201, &made));
    assert_eq!(again["idempotency-replayed"], "true");
    let other = json!({ "email": "x@y.example" });
    assert_eq!(keyed(&door, ann, path, "k-1", &other).await.0, 422);
    database.drop().await;
}

#[tokio::test]
async fn a_kept_answer_is_repeated_whole_after_the_secrets_of_tokens_have_changed() {
    let database = database::database().await;
    let (before, _) = door(&database).await;
    let ann = sign_up(&before, "ann@acme.example").await;
    let ann = ann["access_token"].as_str().unwrap();
    let (path, new) = ("/api/v1/api-keys", json!({ "name": "CI", "scopes": ["contacts:read"] }));
    let (status, _, made) = keyed(&before, ann, path, "k-1", &new).await;
    assert_eq!(status, 201, "{made}");
    let secrets = ["another secret of the tests, long enough", SECRET];
    let (after, _) = door_with(&database, &secrets).await;
    let (status, again, same) = keyed(&after, ann, path, "k-1", &new).await;
    assert_eq!((status, &same), (201, &made));
    assert_eq!(again["idempotency-replayed"], "true");
    database.drop().await;
}

#[tokio::test]
async fn of_two_requests_at_once_under_a_key_one_is_done() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let ann = sign_up(&door, "ann@acme.example").await;
    let ann = ann["access_token"].as_str().unwrap();
    let new = json!({ "email": "eve@lead.example" });
    let one = || keyed(&door, ann, "/api/v1/contacts", "k-1", &new);
    let (a, b, c) = tokio::join!(one(), one(), one());
    let mut statuses = [a.0, b.0, c.0];
    statuses.sort_unstable();
    assert_eq!(statuses[0], 201, "{statuses:?}");
    assert!(statuses.iter().all(|status| [201, 409].contains(status)), "{statuses:?}");
    let kept: i64 = sqlx::query_scalar("select count(*) from contacts")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    assert_eq!(kept, 1);
    database.drop().await;
}

#[tokio::test]
async fn a_change_says_what_it_was_made_from() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let ann = sign_up(&door, "ann@acme.example").await;
    let token = ann["access_token"].as_str().unwrap();
    let path = format!("/api/v1/users/{}", ann["user"]["id"].as_str().unwrap());
    let patch = |tag: Option<&str>| {
        let mut request = Request::patch(&path)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        if let Some(tag) = tag {
            request = request.header("if-match", tag);
        }
        door.clone().oneshot(request.body(Body::from(r#"{"name":"Anna"}"#)).unwrap())
    };
    assert_eq!(patch(None).await.unwrap().status(), 428);
    assert_eq!(patch(Some("\"1\"")).await.unwrap().status(), 412);
    let read = Request::get(&path).header("authorization", format!("Bearer {token}"));
    let read = door.clone().oneshot(read.body(Body::empty()).unwrap()).await.unwrap();
    let tag = read.headers()["etag"].to_str().unwrap().to_owned();
    let changed = patch(Some(&tag)).await.unwrap();
    assert_eq!(changed.status(), 200);
    assert_ne!(changed.headers()["etag"].to_str().unwrap(), tag);
    assert_eq!(patch(Some(&tag)).await.unwrap().status(), 412);
    database.drop().await;
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_listing_and_nobody_makes_one_up() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let ann = sign_up(&door, "ann@acme.example").await;
    let ann = ann["access_token"].as_str().unwrap();
    for n in 0..3 {
        let new = json!({ "email": format!("c{n}@lead.example") });
        assert_eq!(call(&door, "POST", "/api/v1/contacts", ann, new).await.0, 201);
    }
    let page =
        |path: String| async move { call(&door.clone(), "GET", &path, ann, Value::Null).await };
    let (_, first) = page.clone()("/api/v1/contacts?limit=2".into()).await;
    let cursor = first["next_cursor"].as_str().unwrap().to_owned();
    let (_, second) = page.clone()(format!("/api/v1/contacts?limit=2&cursor={cursor}")).await;
    assert_eq!(second["data"].as_array().unwrap().len(), 1, "{second}");
    for path in [
        format!("/api/v1/sequences?cursor={cursor}"),
        format!("/api/v1/contacts?cursor={}", "0".repeat(48)),
        "/api/v1/contacts?cursor=abc".into(),
        "/api/v1/contacts?limit=0".into(),
        "/api/v1/contacts?colour=red".into(),
    ] {
        assert_eq!(page.clone()(path.clone()).await.0, 422, "{path}");
    }
    database.drop().await;
}

#[tokio::test]
async fn a_listing_takes_each_order_that_the_document_lists_and_names_them_for_another() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let ann = sign_up(&door, "ann@acme.example").await;
    let ann = ann["access_token"].as_str().unwrap();
    let document = api::document();
    let mut listings = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let mut parameters = operations["get"]["parameters"].as_array().into_iter().flatten();
        let Some(sort) = parameters.find(|parameter| parameter["name"] == "sort") else { continue };
        listings += 1;
        let orders: Vec<&str> =
            sort["schema"]["enum"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert!(orders.contains(&"created_at") && orders.contains(&"-created_at"), "{orders:?}");
        for order in &orders {
            let asked = format!("{path}?sort={order}");
            let (status, answer) = call(&door, "GET", &asked, ann, Value::Null).await;
            assert_eq!(status, 200, "{asked}: {answer}");
        }
        for other in ["colour", "--created_at", ""] {
            let asked = format!("{path}?sort={other}");
            let (status, refused) = call(&door, "GET", &asked, ann, Value::Null).await;
            let error = &refused["errors"][0];
            assert_eq!((status, &error["field"]), (422, &json!("sort")), "{asked}: {refused}");
            let message = error["message"].as_str().unwrap();
            assert!(orders.iter().all(|order| message.contains(order.trim_start_matches('-'))));
        }
    }
    assert_eq!(listings, 4);
    database.drop().await;
}
