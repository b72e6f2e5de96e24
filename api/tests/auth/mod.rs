//! Users, teams, API keys, passwords, and the record of what was done to them.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use sqlx::PgPool;
use tower::ServiceExt;

use crate::{call, database, door, sign_up};

/// A user of a customer, made past the API with the owner's password; gives the token of their login.
async fn user(door: &Router, db: &PgPool, owner: &str, email: &str, role: &str) -> Value {
    sqlx::query(
        "insert into users (customer_id, id, email, name, role, password_hash)
         select customer_id, gen_random_uuid(), $2, $2, $3, password_hash from users where email = $1",
    )
    .bind(owner)
    .bind(email)
    .bind(role)
    .execute(db)
    .await
    .unwrap();
    login(door, email, "correct horse").await.1
}

async fn login(door: &Router, email: &str, password: &str) -> (u16, Value) {
    let body = json!({ "email": email, "password": password });
    call(door, "POST", "/api/v1/auth/login", "", body).await
}

fn token(session: &Value) -> &str {
    session["access_token"].as_str().unwrap()
}

#[tokio::test]
async fn a_key_opens_what_its_scopes_say_until_it_is_revoked() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let ann = sign_up(&door, "ann@acme.example").await;
    let keys = "/api/v1/api-keys";
    let new = json!({ "name": "ci", "scopes": ["contacts:read"] });
    let (status, made) = call(&door, "POST", keys, token(&ann), new).await;
    assert_eq!(status, 201, "{made}");
    let key = made["key"].as_str().unwrap();
    assert!(key.starts_with("sk_") && key.ends_with(made["hint"].as_str().unwrap()));
    assert_eq!(call(&door, "GET", "/api/v1/contacts", key, Value::Null).await.0, 200);
    let new = json!({ "email": "eve@lead.example" });
    let (status, problem) = call(&door, "POST", "/api/v1/contacts", key, new).await;
    assert_eq!(
        (status, problem["detail"].as_str().unwrap()),
        (403, "the key lacks `contacts:write`")
    );
    assert_eq!(call(&door, "GET", "/api/v1/auth/me", key, Value::Null).await.0, 403);
    // The listing tells when it was used, and never the key.
    let (_, listed) = call(&door, "GET", keys, token(&ann), Value::Null).await;
    assert!(listed["data"][0]["last_used_at"].is_string() && !listed.to_string().contains(key));
    let path = format!("{keys}/{}", made["id"].as_str().unwrap());
    assert_eq!(call(&door, "DELETE", &path, token(&ann), Value::Null).await.0, 204);
    assert_eq!(call(&door, "GET", "/api/v1/contacts", key, Value::Null).await.0, 401);
    let (_, audit) = call(&door, "GET", "/api/v1/auth/audit", token(&ann), Value::Null).await;
    let actions: Vec<&str> = audit["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["key.revoked", "key.made"]);
    database.drop().await;
}

#[tokio::test]
async fn a_key_carries_no_more_than_its_maker_has_and_only_words_of_the_table() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let ann = sign_up(&door, "ann@acme.example").await;
    for (scopes, field) in [
        (json!(["contacts:fly"]), "scopes[0]"),
        (json!(["ops", "*"]), "scopes[1]"),
        (json!([]), "scopes"),
    ] {
        let new = json!({ "name": "ci", "scopes": scopes });
        let (status, problem) = call(&door, "POST", "/api/v1/api-keys", token(&ann), new).await;
        assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!(field)), "{problem}");
    }
    database.drop().await;
}

#[tokio::test]
async fn the_last_owner_stays_and_only_owners_make_owners() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let ann = sign_up(&door, "ann@acme.example").await;
    let admin = user(&door, &database.pool, "ann@acme.example", "adam@acme.example", "admin").await;
    let path =
        |session: &Value| format!("/api/v1/users/{}", session["user"]["id"].as_str().unwrap());
    let (status, problem) =
        call(&door, "PATCH", &path(&ann), token(&ann), json!({ "role": "rep" })).await;
    assert_eq!((status, &problem["type"]), (409, &json!("/problems/wrong-state")));
    let owner = json!({ "role": "owner" });
    assert_eq!(call(&door, "PATCH", &path(&admin), token(&admin), owner.clone()).await.0, 403);
    let demoted = json!({ "active": false });
    assert_eq!(call(&door, "PATCH", &path(&ann), token(&admin), demoted.clone()).await.0, 403);
    assert_eq!(call(&door, "PATCH", &path(&admin), token(&ann), owner).await.0, 200);
    // With another owner there, the first may go; then neither login nor refresh is good.
    assert_eq!(call(&door, "PATCH", &path(&ann), token(&ann), demoted).await.0, 200);
    assert_eq!(login(&door, "ann@acme.example", "correct horse").await.0, 401);
    let refresh = json!({ "refresh_token": ann["refresh_token"] });
    assert_eq!(call(&door, "POST", "/api/v1/auth/refresh", "", refresh).await.0, 401);
    database.drop().await;
}

#[tokio::test]
async fn a_rep_sees_and_changes_their_own_and_their_teams_records_alone() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let db = &database.pool;
    let ann = sign_up(&door, "ann@acme.example").await;
    let (_, team) =
        call(&door, "POST", "/api/v1/teams", token(&ann), json!({ "name": "North" })).await;
    let mut sessions = Vec::new();
    for (name, in_team) in [("rita", true), ("rob", true), ("rolf", false)] {
        let email = format!("{name}@acme.example");
        let session = user(&door, db, "ann@acme.example", &email, "rep").await;
        if in_team {
            let path = format!("/api/v1/users/{}", session["user"]["id"].as_str().unwrap());
            let wanted = json!({ "team_id": team["id"] });
            let (status, changed) = call(&door, "PATCH", &path, token(&ann), wanted).await;
            assert_eq!((status, &changed["team_id"]), (200, &team["id"]), "{changed}");
        }
        // The team stands in the token from the next login on.
        sessions.push(login(&door, &email, "correct horse").await.1);
    }
    let mut paths = Vec::new();
    for owner in ["rita@acme.example", "rolf@acme.example", ""] {
        let new = json!({ "email": format!("lead-of-{owner}x@lead.example").replace('@', ".").replacen(".lead.example", "@lead.example", 1) });
        let (status, made) = call(&door, "POST", "/api/v1/contacts", token(&ann), new).await;
        assert_eq!(status, 201, "{made}");
        let contact = made["id"].as_str().unwrap().to_owned();
        sqlx::query(
            "update contacts set owner_id = (select id from users where email = $1) where id = $2",
        )
        .bind(owner)
        .bind(engine::id::read("con", &contact).unwrap())
        .execute(db)
        .await
        .unwrap();
        paths.push(format!("/api/v1/contacts/{contact}"));
    }
    // Rita's, Rolf's and nobody's contact, as each sees them.
    for (who, expected) in [
        (&ann, [200, 200, 200]),
        (&sessions[0], [200, 404, 200]),
        (&sessions[1], [200, 404, 200]),
        (&sessions[2], [404, 200, 200]),
    ] {
        for (path, expected) in paths.iter().zip(expected) {
            let (status, answer) = call(&door, "GET", path, token(who), Value::Null).await;
            assert_eq!(status, expected, "{path} of {}: {answer}", who["user"]["email"]);
        }
        let (_, listed) = call(&door, "GET", "/api/v1/contacts", token(who), Value::Null).await;
        let seen = expected.iter().filter(|status| **status == 200).count();
        assert_eq!(listed["data"].as_array().unwrap().len(), seen, "{listed}");
    }
    database.drop().await;
}

#[tokio::test]
async fn a_changed_password_ends_the_other_logins() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let here = sign_up(&door, "ann@acme.example").await;
    let (_, there) = login(&door, "ann@acme.example", "correct horse").await;
    let path = "/api/v1/auth/password/change";
    let wrong = json!({ "password": "wrong", "new_password": "battery staple" });
    assert_eq!(call(&door, "POST", path, token(&here), wrong).await.0, 401);
    let short = json!({ "password": "correct horse", "new_password": "short" });
    assert_eq!(call(&door, "POST", path, token(&here), short).await.0, 422);
    let right = json!({ "password": "correct horse", "new_password": "battery staple" });
    assert_eq!(call(&door, "POST", path, token(&here), right).await.0, 204);
    let refresh = |session: &Value| json!({ "refresh_token": session["refresh_token"] });
    assert_eq!(call(&door, "POST", "/api/v1/auth/refresh", "", refresh(&there)).await.0, 401);
    assert_eq!(call(&door, "POST", "/api/v1/auth/refresh", "", refresh(&here)).await.0, 200);
    assert_eq!(login(&door, "ann@acme.example", "correct horse").await.0, 401);
    assert_eq!(login(&door, "ann@acme.example", "battery staple").await.0, 200);
    database.drop().await;
}

async fn refresh(door: &Router, session: &Value) -> (u16, Value) {
    let given = json!({ "refresh_token": session["refresh_token"] });
    call(door, "POST", "/api/v1/auth/refresh", "", given).await
}

#[tokio::test]
async fn two_tabs_that_refresh_at_once_stay_logged_in() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let login = sign_up(&door, "ann@acme.example").await;
    let (first, second) = tokio::join!(refresh(&door, &login), refresh(&door, &login));
    assert_eq!((first.0, second.0), (200, 200), "{} {}", first.1, second.1);
    assert_ne!(first.1["refresh_token"], second.1["refresh_token"]);
    let (status, next) = refresh(&door, &first.1).await;
    assert_eq!((status, refresh(&door, &second.1).await.0), (200, 200));
    // Its successors are in use: whoever shows it now has a copy, and the login ends in every tab.
    assert_eq!(refresh(&door, &login).await.0, 401);
    assert_eq!(refresh(&door, &next).await.0, 401);
    database.drop().await;
}

#[tokio::test]
async fn a_refresh_token_that_was_spent_over_half_a_minute_ago_ends_its_login() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let login = sign_up(&door, "ann@acme.example").await;
    let (_, next) = refresh(&door, &login).await;
    let age = |seconds: f64| {
        sqlx::query("update refresh_tokens set used_at = used_at - make_interval(secs => $1)")
            .bind(seconds)
            .execute(&database.pool)
    };
    age(25.0).await.unwrap();
    assert_eq!(refresh(&door, &login).await.0, 200);
    age(6.0).await.unwrap();
    assert_eq!(refresh(&door, &login).await.0, 401);
    assert_eq!(refresh(&door, &next).await.0, 401);
    database.drop().await;
}

#[tokio::test]
async fn a_login_that_was_ended_is_not_continued_by_a_token_spent_a_moment_ago() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let login = sign_up(&door, "ann@acme.example").await;
    let (_, next) = refresh(&door, &login).await;
    assert_eq!(call(&door, "POST", "/api/v1/auth/logout", token(&next), Value::Null).await.0, 204);
    assert_eq!(refresh(&door, &login).await.0, 401);
    database.drop().await;
}

#[tokio::test]
async fn one_spent_token_is_exchanged_a_bounded_number_of_times() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let login = sign_up(&door, "ann@acme.example").await;
    let first = refresh(&door, &login).await;
    let mut given = 1;
    while refresh(&door, &login).await.0 == 200 {
        given += 1;
        assert!(given <= 20, "a token is exchanged without end");
    }
    assert_eq!(given, 20);
    // The tabs that came first stay logged in.
    assert_eq!(refresh(&door, &first.1).await.0, 200);
    database.drop().await;
}

#[tokio::test]
async fn who_tries_too_often_waits_and_is_told_how_long() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    sign_up(&door, "ann@acme.example").await;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(login(&door, "ann@acme.example", "wrong").await.0);
    }
    assert_eq!(statuses[..3], [401, 401, 401]);
    assert!(statuses[3..].contains(&429), "{statuses:?}");
    // Nobody else waits for it.
    assert_eq!(login(&door, "bob@acme.example", "wrong").await.0, 401);
    database.drop().await;
}

#[tokio::test]
async fn an_address_that_is_unknown_gets_the_same_answer_to_a_forgotten_password() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let body = json!({ "email": "nobody@acme.example" });
    let answer = call(&door, "POST", "/api/v1/auth/password/forgot", "", body).await;
    assert_eq!(answer, (202, Value::Null));
    let body = json!({ "token": "made up", "password": "battery staple" });
    let (status, problem) = call(&door, "POST", "/api/v1/auth/password/reset", "", body).await;
    assert_eq!((status, &problem["type"]), (401, &json!("/problems/invalid-token")));
    database.drop().await;
}

#[tokio::test]
async fn a_cookie_lets_pages_of_this_server_in_and_no_other_sites_pages() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    sign_up(&door, "ann@acme.example").await;
    let body = json!({ "email": "ann@acme.example", "password": "correct horse" }).to_string();
    let request = Request::post("/api/v1/auth/session").header("content-type", "application/json");
    let response = door.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    assert_eq!(response.status(), 204);
    let set = response.headers()["set-cookie"].to_str().unwrap().to_owned();
    for part in ["__Host-salesos=", "; HttpOnly", "; SameSite=Lax", "; Secure", "; Path=/"] {
        assert!(set.contains(part), "{set}");
    }
    let cookie = set.split(';').next().unwrap().to_owned();
    let ask = |method: &str, path: &str, site: &str| {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("cookie", format!("other=1; {cookie}"))
            .header("content-type", "application/json")
            .header("sec-fetch-site", site)
            .body(Body::from(if method == "POST" {
                r#"{"email":"eve@lead.example"}"#
            } else {
                ""
            }));
        door.clone().oneshot(request.unwrap())
    };
    let contacts = "/api/v1/contacts";
    assert_eq!(ask("GET", contacts, "none").await.unwrap().status(), 200);
    assert_eq!(ask("POST", contacts, "cross-site").await.unwrap().status(), 403);
    assert_eq!(ask("POST", contacts, "same-origin").await.unwrap().status(), 201);
    assert_eq!(ask("DELETE", "/api/v1/auth/session", "same-origin").await.unwrap().status(), 204);
    assert_eq!(ask("GET", contacts, "none").await.unwrap().status(), 401);
    database.drop().await;
}
