//! The relay: order per key, gaps, poison.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use engine::clock;
use engine::outbox::{self, Event, NewEvent};
use engine::relay::{Sink, step};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;
use sqlx::PgConnection;

use crate::database::database;

/// Keeps what it got, refuses keys that are called so.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Sink for Heard {
    fn deliver<'a>(
        &'a self,
        _: &'a mut PgConnection,
        events: &'a [Event],
    ) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        async move {
            if events.iter().any(|event| event.key == "poison" && event.sequence == 1) {
                return Err(sqlx::Error::Protocol("refused".into()));
            }
            let heard = events.iter().map(|event| format!("{} {}", event.key, event.sequence));
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(heard);
            Ok(())
        }
        .boxed()
    }
}

fn event(key: &str, sequence: i64) -> NewEvent {
    NewEvent {
        customer_id: clock::new_id(),
        topic: "thing.changed".into(),
        key: key.into(),
        sequence,
        data: json!({}),
    }
}

fn heard(sink: &Heard) -> Vec<String> {
    sink.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

#[tokio::test]
async fn an_event_that_commits_late_is_told_and_one_that_was_rolled_back_is_not() {
    let database = database().await;
    let (sink, mut tries) = (Heard::default(), HashMap::new());
    let mut relay = database.pool.acquire().await.unwrap();
    let mut late = database.pool.begin().await.unwrap();
    outbox::publish(&mut late, &[event("late", 1)]).await.unwrap();
    let mut never = database.pool.begin().await.unwrap();
    outbox::publish(&mut never, &[event("never", 1)]).await.unwrap();
    outbox::publish(&mut database.pool.acquire().await.unwrap(), &[event("on time", 1)])
        .await
        .unwrap();
    never.rollback().await.unwrap();
    for _ in 0..3 {
        step(&mut relay, &sink, &mut tries).await.unwrap();
    }
    assert_eq!(heard(&sink), ["on time 1"]);
    late.commit().await.unwrap();
    for _ in 0..3 {
        step(&mut relay, &sink, &mut tries).await.unwrap();
    }
    assert_eq!(heard(&sink), ["on time 1", "late 1"]);
    // The rolled-back number is forgotten once every transaction of that time has ended, also others'.
    let forgotten = async {
        loop {
            step(&mut relay, &sink, &mut tries).await.unwrap();
            let gaps = sqlx::query_scalar::<_, i64>("select count(*) from engine.gaps");
            if gaps.fetch_one(&mut *relay).await.unwrap() == 0 {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), forgotten).await.expect("the gap is forgotten");
    assert_eq!(heard(&sink), ["on time 1", "late 1"]);
    drop(relay);
    database.drop().await;
}

#[tokio::test]
async fn a_refused_event_is_parked_with_what_follows_of_its_key_and_the_others_go_on() {
    let database = database().await;
    let (sink, mut tries) = (Heard::default(), HashMap::new());
    let mut relay = database.pool.acquire().await.unwrap();
    let events =
        [event("a", 1), event("poison", 1), event("b", 1), event("poison", 2), event("a", 2)];
    outbox::publish(&mut relay, &events).await.unwrap();
    for _ in 0..8 {
        step(&mut relay, &sink, &mut tries).await.unwrap();
    }
    assert_eq!(heard(&sink), ["a 1", "b 1", "a 2"]);
    let parked: Vec<i64> =
        sqlx::query_scalar("select (event->>'sequence')::bigint from engine.parked order by seq")
            .fetch_all(&mut *relay)
            .await
            .unwrap();
    assert_eq!(parked, [1, 2]);
    drop(relay);
    database.drop().await;
}
