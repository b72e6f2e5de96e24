//! Who is enrolled, who is refused, and in which zone.

use crm::contact::{self, NewContact};
use crm::enrollment::{self, RefusalReason, Sender};
use crm::writers::EVENT_PUBLISHED;
use engine::fact::{RUN_FORGOTTEN, RunFact};
use engine::run::Action;
use engine::{clock, id};
use serde_json::{Value, json};

use crate::promises::events_keep_their_promises;
use crate::world::{nobody, world};

#[tokio::test]
async fn everybody_who_may_not_be_written_to_is_refused_with_the_reason() {
    let world = world("").await;
    let mut ids = Vec::new();
    for email in ["a@x.example", "b@x.example", "c@x.example", "D@x.example", "e@x.example"] {
        ids.push(world.contact(email).await.id);
    }
    world.execute("update contacts set status = 'unsubscribed' where customer_id = $1 and email like 'a%'").await;
    world
        .execute(
            "update contacts set status = 'bounced' where customer_id = $1 and email like 'b%'",
        )
        .await;
    world
        .execute("update contacts set status = 'erased' where customer_id = $1 and email like 'c%'")
        .await;
    world
        .execute(
            "insert into suppressions (customer_id, id, email, reason)
                   values ($1, gen_random_uuid(), 'd@X.example', 'manual')",
        )
        .await;
    ids.push(clock::new_id());
    ids.push(ids[4]);
    let report = world.enroll(&ids).await;
    assert_eq!(report.enrollment_ids.len(), 1);
    let reasons: Vec<RefusalReason> = report.refused.iter().map(|r| r.reason).collect();
    assert_eq!(
        reasons,
        [
            RefusalReason::Unsubscribed,
            RefusalReason::Bounced,
            RefusalReason::Erased,
            RefusalReason::Suppressed,
            RefusalReason::NotFound,
            RefusalReason::NotFound,
        ]
    );
    world.database.drop().await;
}

#[tokio::test]
async fn a_mock_mailbox_is_made_once_and_a_paused_one_sends_nobody() {
    let world = world("").await;
    let (a, b) = (world.contact("a@x.example").await.id, world.contact("b@x.example").await.id);
    let mut tx = world.pool().begin().await.unwrap();
    let without = world.enroll_in(&mut tx, &[a], Sender::Default).await;
    assert_eq!(without.refused[0].reason, RefusalReason::NoMailbox);
    drop(tx);
    world.enroll(&[a]).await;
    world.enroll(&[b]).await;
    let made = "select count(*) from email_provider_accounts where customer_id = $1
                and email = 'sales@acme-ltd.example' and is_default";
    assert_eq!(world.count(made).await, 1);
    world
        .execute("update email_provider_accounts set status = 'paused' where customer_id = $1")
        .await;
    let c = world.contact("c@x.example").await.id;
    assert_eq!(world.enroll(&[c]).await.refused[0].reason, RefusalReason::NoMailbox);
    world.database.drop().await;
}

#[tokio::test]
async fn two_enrollments_at_once_let_a_contact_in_once() {
    let world = world("").await;
    let contact = world.contact("a@x.example").await.id;
    let ids = [contact];
    let (one, other) = tokio::join!(world.enroll(&ids), world.enroll(&ids));
    assert_eq!(one.enrollment_ids.len() + other.enrollment_ids.len(), 1);
    assert_eq!(one.refused.len() + other.refused.len(), 1);
    world.database.drop().await;
}

#[tokio::test]
async fn a_contact_comes_back_only_when_the_sequence_says_so() {
    for (again, comes) in
        [("", 0), ("[enroll]\nagain = \"always\"", 1), ("[enroll]\nagain = \"after 90 days\"", 0)]
    {
        let world = world(again).await;
        let contact = world.contact("a@x.example").await.id;
        let run = world.enroll(&[contact]).await.enrollment_ids[0];
        assert_eq!(world.enroll(&[contact]).await.enrollment_ids.len(), 0, "still in it: {again}");
        world.act(run, Action::Cancel).await;
        assert_eq!(world.enroll(&[contact]).await.enrollment_ids.len(), comes, "{again}");
        if again.contains("90") {
            sqlx::query(
                "update engine.runs set ended_at = ended_at - interval '91 days' where id = $1",
            )
            .bind(run)
            .execute(world.pool())
            .await
            .unwrap();
            assert_eq!(world.enroll(&[contact]).await.enrollment_ids.len(), 1);
        }
        world.database.drop().await;
    }
}

#[tokio::test]
async fn the_events_of_an_enrollment_are_numbered_without_gaps() {
    let world = world("").await;
    let contact = world.contact("a@x.example").await.id;
    let run = world.enroll(&[contact]).await.enrollment_ids[0];
    for action in [Action::Pause, Action::Pause, Action::Resume, Action::Cancel] {
        world.act(run, action).await;
    }
    let told = world.events(&id::show("enr", run)).await;
    let told: Vec<(&str, i64)> = told.iter().map(|(topic, n)| (topic.as_str(), *n)).collect();
    let wanted = [
        ("enrollment.created", 1),
        ("enrollment.paused", 2),
        ("enrollment.resumed", 3),
        ("enrollment.exited", 4),
    ];
    assert_eq!(told, wanted);
    events_keep_their_promises(world.pool()).await;
    world.database.drop().await;
}

#[tokio::test]
async fn what_a_workflow_publishes_names_its_own_schema_or_the_first_of_its_topic() {
    let world = world("").await;
    let contact = world.contact("a@x.example").await.id;
    let run = world.enroll(&[contact]).await.enrollment_ids[0];
    let fact = |data: Value| RunFact {
        run_id: run,
        root_run_id: run,
        customer_id: world.customer_id,
        subject_id: contact,
        step: "first".into(),
        iteration: 0,
        seq: 1,
        at: world.began_at,
        data,
    };
    // The first as the version before wrote it, without a key for the schema.
    let facts = [
        json!({ "topic": "lead.warm", "data": {} }),
        json!({ "topic": "lead.warm", "schema": "lead-warm:2", "data": { "who": "Ada" } }),
    ];
    let mut tx = world.pool().begin().await.unwrap();
    let facts = facts.map(|data| (EVENT_PUBLISHED, fact(data))).to_vec();
    crm::writers::all().write(&mut tx, facts).await.unwrap();
    tx.commit().await.unwrap();
    let told: Vec<(String, Value)> = sqlx::query_as(
        "select schema, data -> 'data' from engine.outbox where topic = 'lead.warm' order by sequence",
    )
    .fetch_all(world.pool())
    .await
    .unwrap();
    let wanted = [
        ("lead.warm:1".to_owned(), json!({})),
        ("lead-warm:2".to_owned(), json!({ "who": "Ada" })),
    ];
    assert_eq!(told, wanted);
    events_keep_their_promises(world.pool()).await;
    world.database.drop().await;
}

#[tokio::test]
async fn a_run_keeps_the_zone_that_comes_first() {
    let world = world("[timing]\nzone = [\"subject\", \"sender\", \"customer\"]").await;
    let given = NewContact { time_zone: Some("Asia/Tokyo".into()), ..nobody() };
    let placed = NewContact { country: Some("France".into()), ..nobody() };
    for (email, new, zone, sender) in [
        ("a@x.example", given, "Asia/Tokyo", None),
        ("b@x.example", placed, "Europe/Paris", None),
        ("c@x.example", nobody(), "Europe/Berlin", None),
        ("d@x.example", nobody(), "Asia/Kolkata", Some("Asia/Kolkata")),
    ] {
        let mut tx = world.pool().begin().await.unwrap();
        let new = NewContact { email: email.into(), ..new };
        let contact = contact::create(&mut tx, world.customer_id, new).await.unwrap().id;
        sqlx::query("update email_provider_accounts set time_zone = $1")
            .bind(sender)
            .execute(&mut *tx)
            .await
            .unwrap();
        let report = world.enroll_in(&mut tx, &[contact], Sender::DefaultOrMock).await;
        let chosen: String = sqlx::query_scalar("select zone from engine.runs where id = $1")
            .bind(report.enrollment_ids[0])
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        assert_eq!(chosen, zone, "{email}");
        tx.commit().await.unwrap();
    }
    world.database.drop().await;
}

#[tokio::test]
async fn an_enrollment_outlives_its_run_and_still_keeps_the_contact_out() {
    let world = world("").await;
    let contact = world.contact("a@x.example").await.id;
    let run = world.enroll(&[contact]).await.enrollment_ids[0];
    world.act(run, Action::Cancel).await;
    let before = enrollment::find(world.pool(), world.customer_id, run).await.unwrap().unwrap();
    let fact = RunFact {
        run_id: run,
        root_run_id: run,
        customer_id: world.customer_id,
        subject_id: contact,
        step: before.step.clone(),
        iteration: 0,
        seq: 1,
        at: before.updated_at,
        data: serde_json::json!({ "state": "cancelled", "reason": "cancelled" }),
    };
    let mut tx = world.pool().begin().await.unwrap();
    let forgotten = vec![(RUN_FORGOTTEN, fact)];
    crm::writers::all().write(&mut tx, forgotten).await.unwrap();
    sqlx::query("delete from engine.runs").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let after = enrollment::find(world.pool(), world.customer_id, run).await.unwrap().unwrap();
    assert_eq!(after, before);
    assert_eq!(world.enroll(&[contact]).await.refused[0].reason, RefusalReason::AlreadyEnrolled);
    world.database.drop().await;
}
