//! What workflows change of a contact: written once with the step's record, and told by one event.

use engine::fact::RunFact;
use engine::{clock, id};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::promises::events_keep_their_promises;
use crate::world::{World, world};

impl World {
    fn fact(&self, contact_id: Uuid, step: &str, data: Value) -> RunFact {
        RunFact {
            run_id: Uuid::from_u128(7),
            root_run_id: Uuid::from_u128(7),
            customer_id: self.customer_id,
            subject_id: contact_id,
            step: step.into(),
            iteration: 0,
            seq: 1,
            at: self.began_at,
            data,
        }
    }

    async fn write(&self, facts: Vec<(&'static str, RunFact)>) {
        let mut tx = self.pool().begin().await.unwrap();
        crm::writers::all().write(&mut tx, facts).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn found(&self, contact_id: Uuid) -> crm::contact::Contact {
        crm::contact::find(self.pool(), self.customer_id, contact_id).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn changes_of_one_batch_are_made_in_their_order_and_told_once_per_contact() {
    let world = world("").await;
    let (a, b) = (world.contact("a@x.example").await.id, world.contact("b@x.example").await.id);
    let update = |contact, data| ("contact.updated", world.fact(contact, "mark", data));
    world
        .write(vec![
            update(a, json!({ "title": "VP", "custom": { "seats": 3 }, "add_tags": ["cold"] })),
            update(b, json!({ "country": "AT" })),
            update(a, json!({ "title": "CEO", "add_tags": ["warm"], "remove_tags": ["cold"] })),
            update(clock::new_id(), json!({ "title": "nobody" })),
        ])
        .await;
    let (first, second) = (world.found(a).await, world.found(b).await);
    assert_eq!((first.title.as_deref(), first.country.as_deref()), (Some("CEO"), None));
    assert_eq!((first.tags, first.custom), (vec!["warm".to_owned()], json!({ "seats": 3 })));
    assert_eq!((second.title.as_deref(), second.country.as_deref()), (None, Some("AT")));
    for contact in [a, b] {
        let told = [("contact.created".to_owned(), 1), ("contact.updated".to_owned(), 2)];
        assert_eq!(world.events(&id::show("con", contact)).await, told);
    }
    let data: Value =
        sqlx::query_scalar("select data from engine.outbox where key = $1 and sequence = 2")
            .bind(id::show("con", a))
            .fetch_one(world.pool())
            .await
            .unwrap();
    assert_eq!(data["changed"], json!(["custom.seats", "tags", "title"]));
    assert!(!data.to_string().contains("CEO"), "the event holds no values: {data}");
    events_keep_their_promises(world.pool()).await;
    world.database.drop().await;
}

#[tokio::test]
async fn a_change_that_changes_nothing_is_not_told() {
    let world = world("").await;
    let contact = world.contact("a@x.example").await;
    let change = json!({ "title": "", "remove_tags": ["none"], "first_name": "" });
    world.write(vec![("contact.updated", world.fact(contact.id, "mark", change))]).await;
    let told = [("contact.created".to_owned(), 1)];
    assert_eq!(world.events(&id::show("con", contact.id)).await, told);
    assert_eq!(world.found(contact.id).await.updated_at, contact.updated_at);
    world.database.drop().await;
}

#[tokio::test]
async fn points_of_a_step_count_once_and_keep_their_reason() {
    let world = world("").await;
    let (a, b) = (world.contact("a@x.example").await.id, world.contact("b@x.example").await.id);
    let adjust = |contact, step: &str, points: i32| {
        let data = json!({ "points": points, "reason": format!("because of {step}") });
        ("score.adjusted", world.fact(contact, step, data))
    };
    world.write(vec![adjust(a, "one", 10), adjust(a, "two", -3), adjust(b, "three", 5)]).await;
    world.write(vec![adjust(a, "one", 10)]).await;
    assert_eq!((world.found(a).await.score, world.found(b).await.score), (7, 5));
    let reasons: Vec<(i32, Option<String>)> = sqlx::query_as(
        "select points, reason from engagement_parts where contact_id = $1 order by points",
    )
    .bind(a)
    .fetch_all(world.pool())
    .await
    .unwrap();
    let kept = [(-3, Some("because of two".to_owned())), (10, Some("because of one".to_owned()))];
    assert_eq!(reasons, kept);
    world.database.drop().await;
}

#[tokio::test]
async fn another_customers_contact_is_left_alone() {
    let world = world("").await;
    let contact = world.contact("a@x.example").await.id;
    let change = RunFact {
        customer_id: clock::new_id(),
        ..world.fact(contact, "mark", json!({ "title": "CEO" }))
    };
    world.write(vec![("contact.updated", change)]).await;
    assert_eq!(world.found(contact).await.title, None);
    world.database.drop().await;
}
