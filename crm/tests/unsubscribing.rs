//! People who want no more mail, and addresses and domains that get none.

use std::time::Duration;

use crm::suppression::{self, NewSuppression, Reason, What};
use crm::unsubscription::{self, Unsubscription};
use crm::{enrollment, erasure, inbound};
use engine::definition_store::Definitions;
use engine::id;
use engine::run::Action;
use uuid::Uuid;

use crate::promises::events_keep_their_promises;
use crate::world::{World, registry, world};

async fn unsubscribe(world: &World, contact_id: Uuid) -> Option<Unsubscription> {
    let mut tx = world.pool().begin().await.unwrap();
    let done =
        unsubscription::unsubscribe(&mut tx, world.customer_id, contact_id, "user:test").await;
    tx.commit().await.unwrap();
    done.unwrap()
}

async fn suppress(world: &World, entries: &[NewSuppression]) -> Vec<(String, bool)> {
    let mut tx = world.pool().begin().await.unwrap();
    let added = suppression::add_all(&mut tx, world.customer_id, entries, "user:test").await;
    tx.commit().await.unwrap();
    let name = |one: suppression::Suppression| one.email.or(one.domain).unwrap_or("erased".into());
    added.unwrap().into_iter().map(|(one, is_new)| (name(one), is_new)).collect()
}

fn email(text: &str) -> NewSuppression {
    NewSuppression { what: What::Email(text.into()), reason: Reason::Manual }
}

fn domain(text: &str) -> NewSuppression {
    NewSuppression { what: What::Domain(text.into()), reason: Reason::Manual }
}

async fn refused(world: &World, contact_id: Uuid) -> Option<String> {
    let report = world.enroll(&[contact_id]).await;
    report.refused.first().map(|refused| format!("{:?}", refused.reason))
}

#[tokio::test]
async fn who_is_unsubscribed_by_hand_leaves_every_sequence_and_is_told_of_once() {
    // The sequence's `[exit]` does not name the signal.
    let world = world("enroll = { again = \"always\" }").await;
    let ada = world.contact("Ada@x.example").await.id;
    let first = world.enroll(&[ada]).await.enrollment_ids[0];
    world.act(first, Action::Pause).await;
    let bob = world.contact("bob@x.example").await.id;
    let others = world.enroll(&[bob]).await.enrollment_ids[0];

    let done = unsubscribe(&world, ada).await.unwrap();
    assert_eq!((done.runs, done.is_new, done.contact.status.as_str()), (1, true, "unsubscribed"));
    assert_eq!(refused(&world, ada).await.as_deref(), Some("Unsubscribed"));
    let again = unsubscribe(&world, ada).await.unwrap();
    assert_eq!((again.runs, again.is_new), (0, false));
    let told = world.events(&id::show("con", ada)).await;
    let wanted = [("contact.created".to_owned(), 1), ("contact.unsubscribed".to_owned(), 2)];
    assert_eq!(told, wanted);
    let left = world.events(&id::show("enr", first)).await;
    assert_eq!(left.last().unwrap().0, "enrollment.exited");
    let kept: Vec<(String, String, Option<String>)> =
        sqlx::query_as("select email, reason, actor from suppressions")
            .fetch_all(world.pool())
            .await
            .unwrap();
    let wanted = ("Ada@x.example".into(), "unsubscribed".into(), Some("user:test".into()));
    assert_eq!(kept, [wanted]);
    let open: Vec<Uuid> = sqlx::query_scalar("select id from engine.runs where ended_at is null")
        .fetch_all(world.pool())
        .await
        .unwrap();
    assert_eq!(open, [others]);
    assert!(unsubscribe(&world, first).await.is_none(), "no contact has this id");
    events_keep_their_promises(world.pool()).await;
    world.database.drop().await;
}

#[tokio::test]
async fn who_is_enrolled_at_the_moment_of_an_unsubscription_leaves_with_it() {
    let world = world("").await;
    let ada = world.contact("ada@x.example").await.id;
    let mut enrolling = world.pool().begin().await.unwrap();
    let sender = enrollment::Sender::DefaultOrMock;
    let report = world.enroll_in(&mut enrolling, &[ada], sender).await;
    assert_eq!(report.enrollment_ids.len(), 1);
    let commit = async {
        // Until the unsubscription waits for the contact that the enrollment holds.
        let waits = "select count(*) from pg_stat_activity
          where datname = current_database() and wait_event_type = 'Lock'";
        for _ in 0..3_000 {
            let count: i64 = sqlx::query_scalar(waits).fetch_one(world.pool()).await.unwrap();
            if count == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        enrolling.commit().await.unwrap();
    };
    let (done, ()) = tokio::join!(unsubscribe(&world, ada), commit);
    assert_eq!(done.unwrap().runs, 1);
    let open = "select count(*) from engine.runs where ended_at is null and customer_id = $1";
    assert_eq!(world.count(open).await, 0);
    world.database.drop().await;
}

#[tokio::test]
async fn a_suppressed_domain_is_refused_exactly_and_without_case() {
    let world = world("enroll = { again = \"always\" }").await;
    let ada = world.contact("Ada@ACME.example").await.id;
    let sub = world.contact("ada@mail.acme.example").await.id;
    let like = world.contact("ada@notacme.example").await.id;
    let entry = domain("acme.example");
    let added = suppress(&world, &[entry.clone(), entry.clone()]).await;
    assert_eq!(added, [("acme.example".to_owned(), true)]);
    assert_eq!(suppress(&world, &[entry]).await, [("acme.example".to_owned(), false)]);
    assert_eq!(refused(&world, ada).await.as_deref(), Some("Suppressed"));
    assert_eq!(refused(&world, sub).await, None, "a subdomain is another domain");
    assert_eq!(refused(&world, like).await, None);
    // An address of the domain may have an entry of its own beside the domain's.
    let added = suppress(&world, &[email("ada@acme.example")]).await;
    assert_eq!(added, [("ada@acme.example".to_owned(), true)]);
    let found = suppression::of_address(world.pool(), world.customer_id, "ADA@acme.example").await;
    assert_eq!(found.unwrap().len(), 2);
    world.database.drop().await;
}

#[tokio::test]
async fn a_domain_holds_for_erased_people_and_no_erased_address_is_stored_again() {
    let world = world("").await;
    let ada = world.contact("ada@acme.example").await.id;
    let definitions = Definitions::new(registry());
    let mut tx = world.pool().begin().await.unwrap();
    erasure::erase(&mut tx, &definitions, world.customer_id, ada, "user:test").await.unwrap();
    tx.commit().await.unwrap();
    let added = suppress(&world, &[email("ADA@acme.example"), domain("acme.example")]).await;
    assert_eq!(added, [("erased".to_owned(), false), ("acme.example".to_owned(), true)]);
    assert_eq!(
        world.count("select count(email) from suppressions where customer_id = $1").await,
        0
    );
    for address in ["ada@acme.example", "new@acme.example"] {
        let new = world.contact(address).await.id;
        assert_eq!(refused(&world, new).await.as_deref(), Some("Suppressed"), "{address}");
    }
    world.database.drop().await;
}

#[tokio::test]
async fn a_bounce_that_an_operator_knows_of_keeps_the_contact_out_of_every_sequence() {
    let world = world("").await;
    let ada = world.contact("ada@x.example").await.id;
    let mut tx = world.pool().begin().await.unwrap();
    inbound::mark_bounced(&mut tx, world.customer_id, ada).await.unwrap();
    // A run may be about something that is no contact.
    inbound::mark_bounced(&mut tx, world.customer_id, world.sequence.id).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(refused(&world, ada).await.as_deref(), Some("Bounced"));
    let found = suppression::of_address(world.pool(), world.customer_id, "ADA@x.example").await;
    let found = found.unwrap().pop().unwrap();
    assert_eq!((found.reason, found.actor.as_deref()), (Reason::Bounced, Some("cli")));
    world.database.drop().await;
}
