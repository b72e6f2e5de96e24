//! Events on their way out: none lost, none of a transaction that was rolled back, poison set aside.

use std::collections::HashMap;
use std::sync::Mutex;

use engine::clock;
use engine::outbox::{self, Event, NewEvent};
use engine::relay::{self, Sink};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use super::story::Story;

/// Remembers the keys that it got; refuses the key `bad`.
#[derive(Default)]
struct Ear(Mutex<Vec<(String, i64)>>);

impl Sink for Ear {
    fn deliver<'a>(
        &'a self,
        _: &'a mut PgConnection,
        events: &'a [Event],
    ) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        async move {
            if events.iter().any(|event| event.key == "bad") {
                return Err(sqlx::Error::RowNotFound);
            }
            let heard = events.iter().map(|event| (event.key.clone(), event.sequence));
            self.0.lock().unwrap().extend(heard);
            Ok(())
        }
        .boxed()
    }
}

async fn told(db: &PgPool, key: &str, sequence: i64) -> Transaction<'static, Postgres> {
    let mut tx = db.begin().await.unwrap();
    let (customer_id, key) = (clock::new_id(), key.into());
    let event = NewEvent { customer_id, topic: "t".into(), key, sequence, data: json!({}) };
    outbox::publish(&mut tx, &[event]).await.unwrap();
    tx
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_commits_arrive_rollbacks_do_not_and_poison_is_parked() {
    let story = Story::begin().await;
    let late = told(&story.db, "late", 1).await;
    told(&story.db, "gone", 1).await.rollback().await.unwrap();
    for (key, sequence) in [("a", 1), ("bad", 1), ("a", 2), ("bad", 2)] {
        told(&story.db, key, sequence).await.commit().await.unwrap();
    }
    let (ear, mut tries) = (Ear::default(), HashMap::new());
    let mut connection = story.db.acquire().await.unwrap();
    for _ in 0..6 {
        relay::step(&mut connection, &ear, &mut tries).await.unwrap();
    }
    late.commit().await.unwrap();
    for _ in 0..3 {
        relay::step(&mut connection, &ear, &mut tries).await.unwrap();
    }
    let wanted = [("a", 1), ("a", 2), ("late", 1)].map(|(key, at)| (key.to_owned(), at));
    assert_eq!(*ear.0.lock().unwrap(), wanted);
    drop(connection);
    story.until_count("select count(*) from engine.parked", 2).await;
    story.end().await;
}

/// Is out of reach for its first calls.
struct Away(Mutex<u32>);

impl Sink for Away {
    fn deliver<'a>(
        &'a self,
        _: &'a mut PgConnection,
        _: &'a [Event],
    ) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        async move {
            let mut left = self.0.lock().unwrap();
            *left = left.saturating_sub(1);
            let away = || sqlx::Error::Io(std::io::ErrorKind::ConnectionRefused.into());
            if *left > 0 { Err(away()) } else { Ok(()) }
        }
        .boxed()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_out_of_reach_parks_nothing_however_long() {
    let story = Story::begin().await;
    told(&story.db, "a", 1).await.commit().await.unwrap();
    let (away, mut tries) = (Away(Mutex::new(40)), HashMap::new());
    let mut connection = story.db.acquire().await.unwrap();
    for _ in 0..30 {
        let _away = relay::step(&mut connection, &away, &mut tries).await;
    }
    drop(connection);
    story.until_count("select count(*) from engine.parked", 0).await;
    story.until_count("select upto from engine.relay", 1).await;
    story.end().await;
}
