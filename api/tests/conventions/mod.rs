//! What holds of every route: who may call it, that no customer reaches another's, that a POST under a key is done
//! once, and what the document says.

mod document;
mod requests;
mod strangers;

use std::collections::BTreeMap;

use axum::Router;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{call, database, door, sign_up};

/// The methods of a path and what each needs; none where it is open to all.
type Routes = Vec<(String, String, Option<String>)>;

/// All routes of the document.
fn routes() -> Routes {
    let document = api::document();
    let paths = document["paths"].as_object().unwrap();
    let each = |(path, operations): (&String, &Value)| {
        let operations = operations.as_object().unwrap().clone();
        let path = path.clone();
        operations.into_iter().map(move |(method, operation)| {
            let word = operation["security"][0]["bearer"][0].as_str().map(str::to_owned);
            (method.to_uppercase(), path.clone(), word)
        })
    };
    paths.iter().flat_map(each).collect()
}

/// The id that the document shows as an example for a path; it names nothing.
fn example(path: &str) -> String {
    let document = api::document();
    let operations = document["paths"][path].as_object().unwrap();
    let mut parameters = operations.values().flat_map(|one| one["parameters"].as_array().unwrap());
    let id = parameters.find(|parameter| parameter["name"] == "id");
    id.unwrap_or_else(|| panic!("{path} has no id"))["example"].as_str().unwrap().to_owned()
}

/// A path with ids that name nothing, of the right kind.
fn to_nothing(path: &str) -> String {
    if path.contains("{id}") { path.replace("{id}", &example(path)) } else { path.to_owned() }
}

/// Tokens of users of one customer, one a role.
async fn tokens(door: &Router, db: &PgPool) -> BTreeMap<&'static str, String> {
    let owner = sign_up(door, "owner@acme.example").await;
    let mut tokens = BTreeMap::new();
    for role in ["owner", "admin", "manager", "rep", "viewer"] {
        let email = format!("{role}@acme.example");
        if role != "owner" {
            sqlx::query(
                "insert into users (customer_id, id, email, name, role, password_hash)
                 select customer_id, gen_random_uuid(), $1, $2, $2, password_hash from users
                 where email = 'owner@acme.example'",
            )
            .bind(&email)
            .bind(role)
            .execute(db)
            .await
            .unwrap();
        }
        let body = json!({ "email": email, "password": "correct horse" });
        let (status, session) = call(door, "POST", "/api/v1/auth/login", "", body).await;
        assert_eq!(status, 200, "{session}");
        tokens.insert(role, session["access_token"].as_str().unwrap().to_owned());
    }
    assert!(owner["access_token"].is_string());
    tokens
}

#[tokio::test]
async fn every_route_lets_in_whoever_has_its_permission_and_nobody_else() {
    let database = database::database().await;
    let (door, _) = door(&database).await;
    let tokens = tokens(&door, &database.pool).await;
    // From which role on, as people are told in the document.
    let document = api::document();
    let told = document["info"]["description"].as_str().unwrap();
    let ranks = ["viewer", "rep", "manager", "admin", "owner"];
    let rank = |role: &str| ranks.iter().position(|one| *one == role).unwrap();
    let least = |word: &str| {
        let line = told.lines().find(|line| line.starts_with(&format!("| `{word}` |")));
        rank(line.unwrap_or_else(|| panic!("{word} is not told")).split('|').nth(2).unwrap().trim())
    };
    let open = ["signup", "login", "refresh", "logout", "forgot", "reset"];
    let by_cookie = "/api/v1/auth/session";
    for (method, path, word) in routes() {
        let name = path.rsplit('/').next().unwrap();
        let Some(word) = word else {
            let known = open.contains(&name) || (method == "POST" && path == by_cookie);
            assert!(known, "{method} {path} asks for nothing");
            continue;
        };
        assert!(!open.contains(&name), "{method} {path} asks for {word}");
        let asked = to_nothing(&path);
        let (status, problem) = call(&door, &method, &asked, "", Value::Null).await;
        assert_eq!((status, &problem["status"]), (401, &json!(401)), "{method} {path}");
        for (role, token) in &tokens {
            let (status, answer) = call(&door, &method, &asked, token, json!({})).await;
            let allowed = rank(role) >= least(&word);
            assert_eq!(status != 403, allowed, "{role}: {method} {path}: {status} {answer}");
            assert!(status != 401 && status < 500, "{role}: {method} {path}: {status} {answer}");
        }
    }
    database.drop().await;
}

#[test]
fn every_permission_is_asked_for_by_some_route() {
    let document = api::document();
    let told = document["info"]["description"].as_str().unwrap();
    let rows = told.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let asked: Vec<String> = routes().into_iter().filter_map(|(_, _, word)| word).collect();
    let idle: Vec<&str> = rows.filter(|word| !asked.iter().any(|one| one == word)).collect();
    assert!(idle.is_empty(), "{idle:?}");
}
