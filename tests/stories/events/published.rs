//! From the outbox to Kafka.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::writers::{self, TOPICS};
use super::{all_is_told, begin, count_is, make_topics, process, serve};
use crate::salesos::{Broker, Dev, Folder, said, signal, until};

/// How many committed events a story is about.
const EVENTS: u64 = 100_000;

/// Contacts whose events the writers tell.
async fn contacts(folder: &Folder) {
    let mut csv = String::from("Email\n");
    for number in 0..400 {
        csv.push_str(&format!("p{number}@lead.example\n"));
    }
    folder.run(&["seed"]).await;
    folder.write("contacts.csv", &csv);
    folder.run(&["import", "contacts.csv"]).await.done();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_eight_writers_commit_arrives_once_and_in_order_and_what_they_take_back_does_not() {
    let Some((broker, folder, database)) = begin().await else { return };
    contacts(&folder).await;
    writers::make_entities(&database.pool).await;
    let publishers = [
        process(&broker, &folder, "publisher", "p1").await,
        process(&broker, &folder, "publisher", "p2").await,
    ];
    let began = Instant::now();
    let written = writers::write(&database.pool, EVENTS).await;
    let wrote = began.elapsed();
    all_is_told(&database.pool).await;
    let (committed, taken_back) = (written.committed.len(), written.taken_back);
    println!(
        "{committed} events in {wrote:?}, {taken_back} taken back; told after {:?}",
        began.elapsed()
    );
    assert!(committed as u64 >= EVENTS && taken_back as u64 >= EVENTS / 3, "{committed}");
    let read = broker.read(&TOPICS).await;
    let arrived = writers::check(&database.pool, &read, &written).await;
    assert_eq!(arrived.again, 0, "nobody crashed");
    for publisher in publishers {
        assert_eq!(publisher.errors(), Vec::<String>::new());
        assert!(publisher.stop().await.success());
    }
    database.drop().await;
}

/// Starts publishers, and kills each after a second, until told to stop; gives how many.
async fn kill_again_and_again(
    broker: &Broker,
    folder: &Folder,
    stop: &tokio_util::sync::CancellationToken,
) -> u32 {
    let mut kills = 0;
    while !stop.is_cancelled() {
        // One that starts while the broker is away says so and ends.
        let mut command = broker.command(folder, &["publisher"]);
        let mut publisher = command
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        publisher.kill().await.unwrap();
        kills += 1;
    }
    kills
}

/// Crashes a Postgres as a whole: who loses one of its processes by a kill starts anew from what is on the disk.
fn crash(folder: &Folder) {
    let postmaster = folder.postgres().expect("it runs");
    let children =
        std::fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children")).unwrap();
    let backend = children
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
        .find(|child| crate::salesos::command_line(*child).contains("postgres: salesos "));
    signal(backend.expect("somebody is connected"), "KILL");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_all_is_applied_once_while_publisher_broker_and_postgres_are_killed() {
    let Some(broker) = Broker::start().await else { return };
    let folder = Folder::new().await;
    // A Postgres of the folder's own, which outlives the process that made it.
    let dev = Dev::start(&folder, &[]).await;
    let db = dev.db.clone();
    contacts(&folder).await;
    count_is(&db, "select count(*) from engine.untold", 0, "the import to be told").await;
    let url = folder.run(&["db", "--print-url"]).await.done();
    dev.kill().await;
    let folder = folder.with_database(url.trim().to_owned());
    make_topics(&broker, &folder).await;
    writers::make_entities(&db).await;
    let consumer = process(&broker, &folder, "consumer", "consumer").await;
    let stop = tokio_util::sync::CancellationToken::new();
    let faults = async {
        for crashes_postgres in [false, true] {
            tokio::time::sleep(Duration::from_secs(6)).await;
            broker.kill().await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            broker.again().await;
            if crashes_postgres {
                crash(&folder);
            }
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        stop.cancel();
    };
    let writing = writers::write(&db, EVENTS);
    let (written, (), kills) =
        tokio::join!(writing, faults, kill_again_and_again(&broker, &folder, &stop));
    let publisher = process(&broker, &folder, "publisher", "publisher").await;
    all_is_told(&db).await;
    let read = broker.read(&TOPICS).await;
    let arrived = writers::check(&db, &read, &written).await;
    assert!(written.lost > 0, "Postgres did not crash");
    println!(
        "{} events, {kills} kills of a publisher, {} came again",
        written.committed.len(),
        arrived.again
    );
    assert!(arrived.again < read.len() / 4, "{} of {} came again", arrived.again, read.len());
    // The timeline has each once.
    let unapplied = "select count(*) from (
      select from engine.outbox o left join activities a on a.source = 'event:' || o.id
      where o.topic = 'contact.updated' group by o.id having count(a.id) <> 1) unapplied";
    count_is(&db, unapplied, 0, "each to be applied once").await;
    assert!(publisher.stop().await.success());
    assert!(consumer.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_wait_for_a_broker_that_is_away_and_nobody_else_does() {
    let Some((broker, folder, database)) = begin().await else { return };
    let publisher = process(&broker, &folder, "publisher", "publisher").await;
    let (served, api) = serve(&broker, &folder).await;
    assert_eq!(api.get("/readyz").await.with(200)["broker"], "answers");
    broker.kill().await;
    for number in 0..200 {
        let new = serde_json::json!({ "email": format!("p{number}@lead.example") });
        api.post("/api/v1/contacts", new).await.with(201);
    }
    assert_eq!(api.get("/readyz").await.with(200)["broker"], "does not answer");
    let waiting = api.get("/api/v1/ops/outbox").await.with(200);
    assert!(waiting["untold"].as_i64() >= Some(200) && waiting["parked"] == 0, "{waiting}");
    broker.again().await;
    all_is_told(&database.pool).await;
    let read = broker.read(&["contact.created"]).await;
    let ids: std::collections::BTreeSet<&str> =
        read.iter().map(|event| event["subject"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 200);
    // A request's events are part of its trace, each of its own.
    let traces: std::collections::BTreeSet<&str> =
        read.iter().map(|event| &event["traceparent"].as_str().unwrap()[3..35]).collect();
    assert_eq!(traces.len(), 200);
    assert!(publisher.stop().await.success());
    assert!(served.stop().await.success());
    database.drop().await;
}

/// Writes an event past the product, of a topic and of so many letters.
async fn event(db: &sqlx::PgPool, topic: &str, key: &str, sequence: i64, letters: i32) {
    sqlx::query(
        "insert into engine.outbox (id, customer_id, topic, key, sequence, data, xid)
         select gen_random_uuid(), gen_random_uuid(), $1, $2, $3, jsonb_build_object('text', repeat('x', $4)), pg_current_xact_id()",
    )
    .bind(topic)
    .bind(key)
    .bind(sequence)
    .bind(letters)
    .execute(db)
    .await
    .unwrap();
}

fn keys(read: &[Value]) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().trim_start_matches('0').to_owned();
    read.iter().map(|event| (text(&event["key"]), text(&event["sequence"]))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_kafka_refuses_is_set_aside_with_its_reason_and_the_rest_goes_on() {
    let Some((broker, folder, database)) = begin().await else { return };
    let publisher = process(&broker, &folder, "publisher", "publisher").await;
    let db = &database.pool;
    event(db, "contact.created", "large", 1, 2_000_000).await;
    event(db, "contact.created", "large", 2, 1).await;
    event(db, "contact.created", "small", 1, 1).await;
    event(db, "lead.warm", "lead", 1, 1).await;
    event(db, "lead.warm", "lead", 2, 1).await;
    count_is(db, "select count(*) from engine.parked", 4, "four to be set aside").await;
    let parked = folder.run(&["outbox", "parked", "--json"]).await.json();
    let said = |at: usize, name: &str| parked[at][name].as_str().unwrap().to_owned();
    assert!(said(0, "reason").contains("topic `contact.created` takes 1048588"), "{parked}");
    assert_eq!(said(1, "reason"), "an earlier event of its key is parked");
    assert!(said(2, "reason").contains("there is no topic `lead.warm`; make it"), "{parked}");
    all_is_told(db).await;
    assert_eq!(keys(&broker.read(&["contact.created"]).await), [("small".into(), "1".into())]);
    // It heals by itself once the topic is there: a workflow that publishes it is known.
    folder.run(&["seed"]).await;
    folder.write("warm.toml", WARM);
    folder.run(&["workflows", "apply", "warm.toml"]).await;
    let made = make_topics(&broker, &folder).await;
    assert!(made.to_string().contains("lead.warm.dlq"), "{made}");
    until("the topic to heal", super::SOON, || async {
        let left: i64 =
            sqlx::query_scalar("select count(*) from engine.parked where topic = 'lead.warm'")
                .fetch_one(db)
                .await
                .unwrap();
        (left == 0).then_some(())
    })
    .await;
    let lead = |sequence: &str| ("lead".to_owned(), sequence.to_owned());
    assert_eq!(keys(&broker.read(&["lead.warm"]).await), [lead("1"), lead("2")]);
    // What is too large stays, and says so again to who tries it again.
    let retried = folder.run(&["outbox", "retry", &said(0, "id")]).await.done();
    assert_eq!(retried, "2 events are tried again\n");
    count_is(db, "select count(*) from engine.parked where tries = 2", 1, "it to be tried").await;
    assert_eq!(folder.run(&["outbox", "retry", "--topic", "nothing.such"]).await.code, 3);
    assert!(publisher.stop().await.success());
    database.drop().await;
}

const WARM: &str = r#"name = "warm"
title = "Warm"
subject = "contact"

[[steps]]
id = "tell"
type = "event.publish"
topic = "lead.warm"
data = { email = "{{ contact.email }}" }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_setting_or_a_broker_that_is_not_there_stops_the_start_with_one_line() {
    let folder = Folder::bare();
    let mut publisher = folder.command(&["publisher"]);
    publisher.env("KAFKA_ENABLED", "false");
    let refused = said(publisher).await.refused(1);
    assert!(refused.starts_with("KAFKA_ENABLED is not true; set it"), "{refused}");
    let mut publisher = folder.command(&["publisher"]);
    publisher.env("KAFKA_ENABLED", "true").env("KAFKA_BROKERS", "127.0.0.1:1");
    let refused = said(publisher).await.refused(1);
    assert!(refused.starts_with("Kafka does not answer at 127.0.0.1:1: "), "{refused}");
    assert!(refused.contains("Connection refused"), "{refused}");
}
