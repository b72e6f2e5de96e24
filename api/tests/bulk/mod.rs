//! Bulk actions on runs: they do what their preview shows, to whom the caller reaches, and refuse what names nothing.

mod filters;
mod ids;
mod operations;
mod own_runs;
mod records;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use engine::definition_store::Definitions;
use engine::id;
use engine::step::Registry;
use engine::worker::{self, Settings, Worker};
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::database::TestDatabase;
use crate::{call, database, door, sign_up};

/// A customer with an owner, a manager of one team and reps of two, each with enrollments, beside runs that are none.
struct Desk {
    database: TestDatabase,
    door: Router,
    db: PgPool,
    customer: Uuid,
    sequence: Uuid,
    mailbox: Uuid,
    definition: i64,
    own: i64,
    tokens: BTreeMap<&'static str, String>,
    users: BTreeMap<&'static str, Uuid>,
}

impl Desk {
    async fn new() -> Self {
        let database = database::database().await;
        let (door, _) = door(&database).await;
        let db = database.pool.clone();
        let owner = sign_up(&door, "owner@acme.example").await;
        let customer = id::read("cus", owner["customer"]["id"].as_str().unwrap()).unwrap();
        let definition = define(&db, customer, "intro", "contact", ["hello", "email.send"]).await;
        let own =
            define(&db, customer, "deliver", "delivery", ["deliver", "webhook.deliver"]).await;
        let (sequence, mailbox) = (Uuid::now_v7(), Uuid::now_v7());
        sqlx::query(
            "with box as (insert into email_provider_accounts (customer_id, id, provider, email, name)
               values ($1, $2, 'mock', 'sales@acme.example', 'Sales'))
             insert into sequences (customer_id, id, name, title, definition_id, version, status)
             values ($1, $3, 'intro', 'Intro', $4, 1, 'active')",
        )
        .bind(customer)
        .bind(mailbox)
        .bind(sequence)
        .bind(definition)
        .execute(&db)
        .await
        .unwrap();
        let (tokens, users) = (BTreeMap::new(), BTreeMap::new());
        let mut desk = Self {
            database,
            door,
            db,
            customer,
            sequence,
            mailbox,
            definition,
            own,
            tokens,
            users,
        };
        let (north, south) = (desk.team("North").await, desk.team("South").await);
        for (name, role, team) in [
            ("admin", "admin", None),
            ("mia", "manager", Some(north)),
            ("rita", "rep", Some(north)),
            ("rob", "rep", Some(south)),
            ("vera", "viewer", None),
        ] {
            desk.user(name, role, team).await;
        }
        desk.tokens.insert("owner", owner["access_token"].as_str().unwrap().to_owned());
        desk
    }

    /// Makes an API key with these scopes, which asks as `key`.
    async fn key(&mut self, scopes: &[&str]) {
        let new = json!({ "name": "CI", "scopes": scopes });
        let (status, made) = self.post("owner", "/api-keys", new).await;
        assert_eq!(status, 201, "{made}");
        self.tokens.insert("key", made["key"].as_str().unwrap().to_owned());
    }

    /// Makes an operator of the platform, who asks as `olga`.
    async fn operator(&mut self) {
        let (email, password) = ("olga@platform.example", "all of the platform");
        let hash = api::hash_password(password);
        crm::operator::create(&self.db, email, "Olga", &hash).await.unwrap();
        let body = json!({ "email": email, "password": password });
        let (_, session) = call(&self.door, "POST", "/api/v1/auth/login", "", body).await;
        self.tokens.insert("olga", session["access_token"].as_str().unwrap().to_owned());
    }

    async fn team(&self, name: &str) -> Uuid {
        let made = "insert into teams (customer_id, id, name) values ($1, gen_random_uuid(), $2) returning id";
        sqlx::query_scalar(made).bind(self.customer).bind(name).fetch_one(&self.db).await.unwrap()
    }

    async fn user(&mut self, name: &'static str, role: &str, team: Option<Uuid>) {
        let email = format!("{name}@acme.example");
        let user = sqlx::query_scalar(
            "insert into users (customer_id, id, email, name, role, team_id, password_hash)
             select customer_id, gen_random_uuid(), $1, $1, $2, $3, password_hash from users
             where email = 'owner@acme.example' returning id",
        )
        .bind(&email)
        .bind(role)
        .bind(team)
        .fetch_one(&self.db)
        .await
        .unwrap();
        let body = json!({ "email": email, "password": "correct horse" });
        let (_, session) = call(&self.door, "POST", "/api/v1/auth/login", "", body).await;
        self.tokens.insert(name, session["access_token"].as_str().unwrap().to_owned());
        self.users.insert(name, user);
    }

    /// An enrollment of a contact of this owner, which waits for its time; or is held for a reason.
    async fn enrollment(&self, owner: &str, held: Option<&str>) -> Uuid {
        let contact: Uuid = sqlx::query_scalar(
            "insert into contacts (customer_id, id, email, owner_id)
             values ($1, gen_random_uuid(), gen_random_uuid() || '@lead.example', $2) returning id",
        )
        .bind(self.customer)
        .bind(self.users.get(owner))
        .fetch_one(&self.db)
        .await
        .unwrap();
        let run = self.run((self.definition, contact), ["hello", "email.send"], held).await;
        sqlx::query(
            "insert into enrollments (customer_id, id, sequence_id, contact_id, mailbox_id, version)
             values ($1, $2, $3, $4, $5, 1)",
        )
        .bind(self.customer)
        .bind(run)
        .bind(self.sequence)
        .bind(contact)
        .bind(self.mailbox)
        .execute(&self.db)
        .await
        .unwrap();
        run
    }

    /// A run of ours that is no enrollment: it delivers to a webhook.
    async fn delivery(&self, held: Option<&str>) -> Uuid {
        self.run((self.own, Uuid::now_v7()), ["deliver", "webhook.deliver"], held).await
    }

    async fn run(
        &self,
        (definition, subject): (i64, Uuid),
        [step, queue]: [&str; 2],
        held: Option<&str>,
    ) -> Uuid {
        let run = Uuid::now_v7();
        sqlx::query(
            "with timed as (
               insert into engine.timers (run_id, due_at, customer_id, queue, step)
               select $1, engine.now() + interval '1 day', $2, $6, $5 where $7::text is null
             ), told as (
               insert into engine.history (run_id, seq, at, kind, step, actor)
               select $1, seq, engine.now(), kind, $5, 'test' from (values (0, 'run.started'), (1, 'run.held')) k(seq, kind)
               where seq = 0 or $7::text is not null
             )
             insert into engine.runs (id, customer_id, definition_id, subject_id, zone, step, queue, state, place, reason,
               next_at, seq)
             values ($1, $2, $3, $4, 'UTC', $5, $6, case when $7 is null then 'live' else 'held' end,
               case when $7 is null then 'timer' else 'none' end, $7,
               case when $7 is null then engine.now() + interval '1 day' end, case when $7 is null then 0 else 1 end)",
        )
        .bind(run)
        .bind(self.customer)
        .bind(definition)
        .bind(subject)
        .bind(step)
        .bind(queue)
        .bind(held)
        .execute(&self.db)
        .await
        .unwrap();
        run
    }

    async fn ask(&self, who: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
        call(&self.door, method, &format!("/api/v1{path}"), &self.tokens[who], body).await
    }

    async fn post(&self, who: &str, path: &str, body: Value) -> (u16, Value) {
        self.ask(who, "POST", path, body).await
    }

    async fn states(&self, runs: &[Uuid]) -> Vec<String> {
        let states = "select state from engine.runs r join unnest($1::uuid[]) with ordinality w(id, n) on w.id = r.id order by n";
        sqlx::query_scalar(states).bind(runs).fetch_all(&self.db).await.unwrap()
    }

    async fn count(&self, statement: &'static str) -> i64 {
        sqlx::query_scalar(statement).fetch_one(&self.db).await.unwrap()
    }

    /// Lets a worker do what was ordered, in its role.
    async fn work(&self) {
        let options = self.database.options.clone().options([("role", "salesos_worker")]);
        let db = PgPoolOptions::new().max_connections(8).connect_with(options.clone()).await;
        let worker = Worker {
            queue: worker::pool(options).await.unwrap(),
            db: db.unwrap(),
            definitions: Definitions::new(Registry::new()),
            writers: crm::writers::all(),
            settings: Settings { poll: Duration::from_millis(20), ..Settings::default() },
        };
        let stop = CancellationToken::new();
        let told = stop.clone();
        let working = tokio::spawn(async move { worker.run(told).await });
        let began = std::time::Instant::now();
        while self.count("select count(*) from engine.operations where ended_at is null").await > 0
        {
            assert!(began.elapsed() < Duration::from_secs(30), "operations do not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop.cancel();
        working.await.unwrap();
    }
}

async fn define(
    db: &PgPool,
    customer: Uuid,
    name: &str,
    subject: &str,
    [step, kind]: [&str; 2],
) -> i64 {
    let document =
        json!({ "name": name, "subject": subject, "steps": [{ "id": step, "type": kind }] });
    sqlx::query_scalar(
        "insert into engine.definitions (customer_id, name, version, hash, document, source, first_step, first_queue,
           exits, hears)
         values ($1, $2, 1, '', $3, '', $4, $5, '{}', '{}') returning id",
    )
    .bind(customer)
    .bind(name)
    .bind(document)
    .bind(step)
    .bind(kind)
    .fetch_one(db)
    .await
    .unwrap()
}

fn enr(run: Uuid) -> String {
    id::show("enr", run)
}

const ACTIONS: [&str; 6] = ["pause", "resume", "skip", "jump", "cancel", "undo"];

/// A body for an action, which may name a step.
fn body(action: &str, mut body: Value) -> Value {
    if action == "jump" {
        body["step"] = json!("hello");
    }
    body
}
