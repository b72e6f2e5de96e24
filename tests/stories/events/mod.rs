//! Events through a real Kafka: each out at least once and in order, each applied once, whatever crashes; and what can't
//! go out or in, set aside with its reason. Counted by a reader in another language.

mod applied;
mod published;
mod writers;

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{ConnectOptions, PgPool};

use crate::database::{self, TestDatabase};
use crate::salesos::{Api, Broker, Folder, Served, said, until};

const SOON: Duration = Duration::from_secs(60);

/// A broker with all topics, and a folder on a database of the test's own; nothing where there is no Kafka.
async fn begin() -> Option<(Broker, Folder, TestDatabase)> {
    let broker = Broker::start().await?;
    let database = database::database().await;
    let url = database.options.to_url_lossy().to_string();
    let folder = Folder::bare().with_database(url);
    make_topics(&broker, &folder).await;
    Some((broker, folder, database))
}

async fn make_topics(broker: &Broker, folder: &Folder) -> Value {
    said(broker.command(folder, &["kafka", "topics", "--apply", "--json"])).await.json()
}

/// A `publisher` or a `consumer`.
async fn process(broker: &Broker, folder: &Folder, verb: &str, name: &str) -> Served {
    Served::start(folder, name, broker.command(folder, &[verb])).await
}

/// The API, and a user of it who is logged in.
async fn serve(broker: &Broker, folder: &Folder) -> (Served, Api) {
    let mut command = broker.command(folder, &["serve", "--port", "0"]);
    command.env("RATE_LIMIT_USER", "0").env("JWT_SECRET", "of the users' tokens, longer than 32");
    command.env("ENCRYPTION_KEY", "of all that is sealed and longer than 32");
    let served = Served::start(folder, "serve", command).await;
    let mut api = served.api();
    let ann = json!({ "email": "ann@acme.example", "password": "correct horse", "name": "Ann", "company": "Acme" });
    let session = api.post("/api/v1/auth/signup", ann).await.with(201);
    api.sign_in(&session);
    (served, api)
}

/// Waits until every event has left the outbox.
async fn all_is_told(db: &PgPool) {
    count_is(db, "select count(*) from engine.untold", 0, "all events to be told").await;
}

/// Waits until a statement counts so many.
async fn count_is(db: &PgPool, statement: &'static str, wanted: i64, what: &str) {
    until(what, SOON * 3, || async {
        let count: Result<i64, _> = sqlx::query_scalar(statement).fetch_one(db).await;
        // Postgres may be crashing.
        count.is_ok_and(|count| count == wanted).then_some(())
    })
    .await;
}
