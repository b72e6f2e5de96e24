//! A customer's way through the door, for tests that ask much of it.

use axum::Router;
use serde_json::Value;
use sqlx::PgPool;

use crate::{call, database, door, sign_up};

/// A customer's door.
pub(crate) struct Desk {
    pub(crate) door: Router,
    pub(crate) pool: PgPool,
    pub(crate) token: String,
    pub(crate) database: database::TestDatabase,
}

impl Desk {
    pub(crate) async fn open() -> Self {
        let database = database::database().await;
        let (door, pool) = door(&database).await;
        let session = sign_up(&door, "ann@acme.example").await;
        let token = session["access_token"].as_str().unwrap().to_owned();
        Self { door, pool, token, database }
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        call(&self.door, method, &format!("/api/v1{path}"), &self.token, body).await
    }

    pub(crate) async fn good(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(method, path, body).await;
        assert!(status < 300, "{method} {path}: {status} {answer}");
        answer
    }

    /// The one fault of a refusal.
    pub(crate) async fn fault(&self, method: &str, path: &str, body: Value) -> String {
        let (status, problem) = self.ask(method, path, body).await;
        assert_eq!(status, 422, "{method} {path}: {problem}");
        let fault = &problem["errors"][0];
        format!("{} {}", fault["field"].as_str().unwrap(), fault["message"].as_str().unwrap())
    }

    pub(crate) async fn make(&self, path: &str, body: Value) -> String {
        self.good("POST", path, body).await["id"].as_str().unwrap().to_owned()
    }

    /// The values of a field of a page.
    pub(crate) async fn listed(&self, path: &str, field: &str) -> Vec<Value> {
        let page = self.good("GET", path, Value::Null).await;
        page["data"].as_array().unwrap().iter().map(|row| row[field].clone()).collect()
    }
}
