//! A customer with two teams, for tests of who reaches what.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::call;
use crate::desk::Desk;

/// Ann owns the customer; Nora (rep), Ned (rep) and Mia (manager) are of North, Sam (rep) is of South.
pub(crate) struct Teams {
    pub(crate) desk: Desk,
    tokens: BTreeMap<&'static str, String>,
    ids: BTreeMap<&'static str, String>,
}

impl Teams {
    pub(crate) async fn open() -> Self {
        let desk = Desk::open().await;
        let north = desk.make("/teams", json!({ "name": "Team North" })).await;
        let south = desk.make("/teams", json!({ "name": "Team South" })).await;
        let mut teams = Self { desk, tokens: BTreeMap::new(), ids: BTreeMap::new() };
        for (name, role, team) in [
            ("nora", "rep", &north),
            ("ned", "rep", &north),
            ("mia", "manager", &north),
            ("sam", "rep", &south),
        ] {
            let team = engine::id::read("team", team).unwrap();
            let email = format!("{name}@acme.example");
            let id: uuid::Uuid = sqlx::query_scalar(
                "insert into users (customer_id, id, email, name, role, team_id, password_hash)
                 select customer_id, gen_random_uuid(), $1, $2, $3, $4, password_hash from users
                 where email = 'ann@acme.example' returning id",
            )
            .bind(&email)
            .bind(name)
            .bind(role)
            .bind(team)
            .fetch_one(&teams.desk.database.pool)
            .await
            .unwrap();
            let body = json!({ "email": email, "password": "correct horse" });
            let session = teams.desk.good("POST", "/auth/login", body).await;
            teams.tokens.insert(name, session["access_token"].as_str().unwrap().to_owned());
            teams.ids.insert(name, engine::id::show("usr", id));
        }
        teams
    }

    pub(crate) fn id(&self, name: &str) -> &str {
        &self.ids[name]
    }

    pub(crate) fn token(&self, name: &str) -> &str {
        &self.tokens[name]
    }

    /// Asks as one of them.
    pub(crate) async fn ask(
        &self,
        name: &str,
        method: &str,
        path: &str,
        body: Value,
    ) -> (u16, Value) {
        call(&self.desk.door, method, &format!("/api/v1{path}"), self.token(name), body).await
    }

    pub(crate) async fn good(&self, name: &str, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(name, method, path, body).await;
        assert!(status < 300, "{name}: {method} {path}: {status} {answer}");
        answer
    }

    /// Makes something as one of them; gives its id.
    pub(crate) async fn make(&self, name: &str, path: &str, body: Value) -> String {
        self.good(name, "POST", path, body).await["id"].as_str().unwrap().to_owned()
    }

    /// A field of the rows of a page as one of them sees it.
    pub(crate) async fn listed(&self, name: &str, path: &str, field: &str) -> Vec<Value> {
        let page = self.good(name, "GET", path, Value::Null).await;
        page["data"].as_array().unwrap().iter().map(|row| row[field].clone()).collect()
    }

    /// A pipeline; gives its id and that of its stage.
    pub(crate) async fn pipeline(&self) -> (String, String) {
        let stages = json!([{ "name": "New", "probability": 10 }]);
        let made = self
            .desk
            .good("POST", "/pipelines", json!({ "name": "Sales", "stages": stages }))
            .await;
        let id = |value: &Value| value.as_str().unwrap().to_owned();
        (id(&made["id"]), id(&made["stages"][0]["id"]))
    }
}
