//! From Kafka to the records.

use std::process::Stdio;

use serde_json::json;

use super::{SOON, all_is_told, begin, count_is, process, serve};
use crate::salesos::{Api, Broker, python, said, until};

async fn contacts(api: &Api, numbers: std::ops::Range<u32>) {
    for number in numbers {
        api.post("/api/v1/contacts", json!({ "email": format!("p{number}@lead.example") }))
            .await
            .with(201);
    }
}

const CREATED: &str = "select count(*) from activities where title = 'Contact created'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_that_come_go_and_die_apply_each_event_once() {
    let Some((broker, folder, database)) = begin().await else { return };
    let db = &database.pool;
    let (served, api) = serve(&broker, &folder).await;
    let publisher = process(&broker, &folder, "publisher", "publisher").await;
    let first = process(&broker, &folder, "consumer", "first").await;
    contacts(&api, 0..100).await;
    let second = process(&broker, &folder, "consumer", "second").await;
    contacts(&api, 100..200).await;
    first.kill().await;
    contacts(&api, 200..300).await;
    let third = process(&broker, &folder, "consumer", "third").await;
    assert!(second.stop().await.success());
    contacts(&api, 300..400).await;
    count_is(db, CREATED, 400, "each to be in the timeline").await;
    // One who reads all of it again applies nothing twice.
    let replay = ["consumer", "replay", "--from", "beginning"];
    let refused = said(broker.command(&folder, &replay)).await.refused(1);
    assert!(refused.contains("consumers are reading; stop"), "{refused}");
    assert!(third.stop().await.success());
    let said_of_it = said(broker.command(&folder, &replay)).await;
    assert!(
        said_of_it.out.ends_with("partitions are read again from there on\n"),
        "{said_of_it:?}"
    );
    let fourth = process(&broker, &folder, "consumer", "fourth").await;
    contacts(&api, 400..401).await;
    count_is(db, CREATED, 401, "the last to be in the timeline").await;
    // Nor does a publisher that tells all of it again.
    let again = folder.run(&["outbox", "replay", "--from", "2020-01-01T00:00:00Z"]).await.done();
    assert!(again.ends_with(" lanes are published again from there on\n"), "{again}");
    all_is_told(db).await;
    contacts(&api, 401..402).await;
    count_is(db, CREATED, 402, "the last to be in the timeline").await;
    let read = broker.read(&["contact.created"]).await;
    assert!(read.len() >= 803, "all but the last came twice, and {} came", read.len());
    let twice = "select count(*) from (select source from activities group by source having count(*) > 1) t";
    count_is(db, twice, 0, "nothing to be there twice").await;
    let parts = "select count(*) from engagement where score = 0";
    count_is(db, parts, 402, "each to have one score").await;
    for process in [publisher, fourth, served] {
        assert_eq!(process.errors(), Vec::<String>::new());
        assert!(process.stop().await.success());
    }
    database.drop().await;
}

/// Sends a message past the product.
async fn send(broker: &Broker, topic: &str, key: &str, message: &str) {
    let code = "import sys\nfrom confluent_kafka import Producer\n\
        p = Producer({'bootstrap.servers': sys.argv[1]})\n\
        p.produce(sys.argv[2], key=sys.argv[3], value=sys.argv[4])\nsys.exit(p.flush(20))\n";
    let mut command = python();
    command.args(["-c", code, &broker.address, topic, key, message]);
    let sent = command.stdin(Stdio::null()).output().await.unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_becomes_a_dead_letter_that_says_why_and_the_rest_goes_on() {
    let Some((broker, folder, database)) = begin().await else { return };
    let db = &database.pool;
    let (served, api) = serve(&broker, &folder).await;
    let publisher = process(&broker, &folder, "publisher", "publisher").await;
    contacts(&api, 0..1).await;
    all_is_told(db).await;
    send(&broker, "contact.created", "con_1", "no event").await;
    // An event that can be read and not applied: its customer is nobody's.
    let stray = json!({
        "specversion": "1.0", "id": "evt_01h455vb4pex5vsknk084sn02q", "source": "urn:salesos", "type": "contact.created",
        "subject": "con_01h455vb4pex5vsknk084sn02q", "time": "2026-11-26T08:00:00Z", "sequence": "1",
        "customerid": "cus_01h455vb4pex5vsknk084sn02q", "data": { "contact_id": "con_01h455vb4pex5vsknk084sn02q" },
    });
    send(&broker, "contact.created", "con_01h455vb4pex5vsknk084sn02q", &stray.to_string()).await;
    contacts(&api, 1..2).await;
    let consumer = process(&broker, &folder, "consumer", "consumer").await;
    count_is(db, CREATED, 2, "the others to be applied").await;
    let dead = until("two dead letters", SOON, || async {
        let letters = dead_letters(&broker, "contact.created.dlq").await;
        (letters.len() == 2).then_some(letters)
    })
    .await;
    assert!(
        dead[0]["dead-letter-reason"].as_str().unwrap().starts_with("it is no event"),
        "{dead:?}"
    );
    assert_eq!(dead[0]["dead-letter-tries"], "1");
    assert_eq!(dead[1]["dead-letter-tries"], "5", "{dead:?}");
    for letter in &dead {
        assert_eq!(letter["dead-letter-topic"], "contact.created");
        assert_eq!(letter["dead-letter-consumer"], "salesos-activities");
        assert!(letter["dead-letter-at"].as_str().unwrap().ends_with('Z'), "{letter}");
    }
    assert!(consumer.stop().await.success());
    assert!(publisher.stop().await.success());
    assert!(served.stop().await.success());
    database.drop().await;
}

/// The headers of all messages of a topic.
async fn dead_letters(broker: &Broker, topic: &str) -> Vec<serde_json::Value> {
    let code = "import sys, json\nfrom confluent_kafka import Consumer, TopicPartition\n\
        c = Consumer({'bootstrap.servers': sys.argv[1], 'group.id': 'x', 'enable.auto.commit': False})\n\
        at = TopicPartition(sys.argv[2], 0, 0)\nc.assign([at])\n\
        low, high = c.get_watermark_offsets(at, timeout=10)\n\
        for _ in range(high):\n    m = c.poll(10)\n    print(json.dumps({k: v.decode() for k, v in m.headers()}))\n";
    let said = python().args(["-c", code, &broker.address, topic]).output().await.unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let text = String::from_utf8(said.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
