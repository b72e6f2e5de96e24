//! Mail on its way out and what comes back, each applied once.

use crm::consumer;
use crm::inbound::{self, Applied, Inbound, Kind};
use crm::message::{Intent, Sent};
use crm::task::{self, Completion};
use crm::writers::{self, CreatedTask, MESSAGE_SENT, TASK_CREATED};
use engine::fact::RunFact;
use engine::outbox::Event;
use engine::{clock, id};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::promises::events_keep_their_promises;
use crate::world::{World, world};

/// An enrollment of one contact with what its steps tell.
struct Sending {
    world: World,
    contact_id: Uuid,
    run_id: Uuid,
}

async fn sending() -> Sending {
    let world = world("").await;
    let contact_id = world.contact("ada@x.example").await.id;
    let run_id = world.enroll(&[contact_id]).await.enrollment_ids[0];
    Sending { world, contact_id, run_id }
}

impl Sending {
    async fn fact(&self, data: Value) -> RunFact {
        let at = sqlx::query_scalar("select engine.now()").fetch_one(self.world.pool()).await;
        RunFact {
            run_id: self.run_id,
            root_run_id: self.run_id,
            customer_id: self.world.customer_id,
            subject_id: self.contact_id,
            step: "first".into(),
            iteration: 0,
            seq: 1,
            at: at.unwrap(),
            data,
        }
    }

    /// What names its send.
    fn key(&self) -> String {
        format!("{}/first/0", id::show("run", self.run_id))
    }

    /// Asks for leave to send; the reason where it is refused.
    async fn admit(&self) -> Option<String> {
        let find = "select id from email_provider_accounts where customer_id = $1";
        let mailbox_id = sqlx::query_scalar(find)
            .bind(self.world.customer_id)
            .fetch_one(self.world.pool())
            .await
            .unwrap();
        let intent = Intent {
            send_key: self.key(),
            mailbox_id,
            subject: "Hello".into(),
            sender: "sales@acme-ltd.example".into(),
            recipient: "ADA@x.example".into(),
            message_id: "<1@x.example>".into(),
            variant: None,
        };
        let fact = self.fact(json!(intent)).await;
        let mut tx = self.world.pool().begin().await.unwrap();
        let mut answers = writers::all().admit(&mut tx, &[fact]).await.unwrap();
        tx.commit().await.unwrap();
        answers.remove(0)
    }

    async fn write(&self, kind: &'static str, data: Value) {
        let fact = self.fact(data).await;
        let mut tx = self.world.pool().begin().await.unwrap();
        writers::all().write(&mut tx, vec![(kind, fact)]).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn sent(&self) {
        let sent = Sent {
            send_key: self.key(),
            provider_id: "p".into(),
            message_id: "<1@x.example>".into(),
            thread_id: "<1@x.example>".into(),
        };
        self.write(MESSAGE_SENT, json!(sent)).await;
    }

    /// Lets the same thing come in twice; gives what became of the second.
    async fn comes_in(&self, kind: Kind) -> Applied {
        let at = self.fact(Value::Null).await.at;
        let inbound = Inbound { id: clock::new_id(), kind, send_key: self.key(), at };
        let mut last = Applied::NoSuchMessage;
        for wanted in [Applied::Now, Applied::Before] {
            let mut tx = self.world.pool().begin().await.unwrap();
            last = inbound::apply(&mut tx, self.world.customer_id, &inbound).await.unwrap();
            assert_eq!(last, wanted);
            tx.commit().await.unwrap();
        }
        last
    }

    async fn text(&self, statement: &'static str) -> String {
        sqlx::query_scalar(statement)
            .bind(self.world.customer_id)
            .fetch_one(self.world.pool())
            .await
            .unwrap()
    }

    /// Status of the message and of the contact, how many suppressions, and the signals.
    async fn stand(&self) -> (String, String, i64, String) {
        (
            self.text("select status from emails where customer_id = $1").await,
            self.text("select status from contacts where customer_id = $1").await,
            self.world.count("select count(*) from suppressions where customer_id = $1").await,
            self.text("select coalesce(string_agg(name, ' '), '') from engine.signals where customer_id = $1")
                .await,
        )
    }
}

#[tokio::test]
async fn a_send_is_refused_to_whom_nobody_may_write() {
    let sending = sending().await;
    for (change, back, reason) in [
        (
            "update contacts set status = 'unsubscribed' where customer_id = $1",
            "update contacts set status = 'active' where customer_id = $1",
            "the contact is unsubscribed",
        ),
        (
            "insert into suppressions (customer_id, id, email, reason)
             values ($1, gen_random_uuid(), 'Ada@X.example', 'manual')",
            "delete from suppressions where customer_id = $1",
            "the address is on the suppression list",
        ),
        (
            "update email_provider_accounts set status = 'paused' where customer_id = $1",
            "update email_provider_accounts set status = 'connected' where customer_id = $1",
            "the mailbox is paused",
        ),
    ] {
        sending.world.execute(change).await;
        assert_eq!(sending.admit().await.as_deref(), Some(reason));
        sending.world.execute(back).await;
    }
    assert_eq!(sending.world.count("select count(*) from emails where customer_id = $1").await, 0);
    assert_eq!(sending.admit().await, None);
    assert_eq!(sending.admit().await, None, "an attempt that sent nothing may be made again");
    assert_eq!(sending.world.count("select count(*) from emails where customer_id = $1").await, 1);
    sending.sent().await;
    assert_eq!(sending.admit().await.as_deref(), Some("this mail was sent already"));
    sending.world.database.drop().await;
}

#[tokio::test]
async fn a_bounce_before_the_record_stays_a_bounce() {
    let sending = sending().await;
    sending.admit().await;
    sending.comes_in(Kind::BouncedHard).await;
    sending.sent().await;
    let wanted = ("bounced".into(), "bounced".into(), 1, "email.bounced.hard".into());
    assert_eq!(sending.stand().await, wanted);
    sending.world.database.drop().await;
}

#[tokio::test]
async fn whatever_comes_in_is_applied_once() {
    for (kind, contact, suppressed, signal, topic, observed) in [
        (Kind::Opened, "active", 0, "email.opened", Some("email.opened"), Some("opened")),
        (Kind::Clicked, "active", 0, "email.clicked", Some("email.clicked"), Some("clicked")),
        (Kind::Replied, "active", 0, "email.replied", Some("email.replied"), Some("replied")),
        (Kind::AutoReplied, "active", 0, "email.auto_replied", None, None),
        (Kind::BouncedSoft, "active", 0, "email.bounced.soft", Some("email.bounced"), None),
        (Kind::BouncedHard, "bounced", 1, "email.bounced.hard", Some("email.bounced"), None),
        (Kind::Unsubscribed, "unsubscribed", 1, "contact.unsubscribed", None, None),
    ] {
        let sending = sending().await;
        sending.admit().await;
        sending.sent().await;
        sending.comes_in(kind).await;
        let status = if kind == Kind::BouncedHard { "bounced" } else { "sent" };
        let wanted = (status.into(), contact.into(), suppressed, signal.into());
        assert_eq!(sending.stand().await, wanted, "{kind:?}");
        let email: Uuid = sqlx::query_scalar("select id from emails")
            .fetch_one(sending.world.pool())
            .await
            .unwrap();
        let told = sending.world.events(&id::show("msg", email)).await;
        let mut wanted = vec![("email.sent".to_owned(), 1)];
        wanted.extend(topic.map(|topic| (topic.to_owned(), 2)));
        assert_eq!(told, wanted, "{kind:?}");
        let known: Value = sqlx::query_scalar("select observed from engine.runs")
            .fetch_one(sending.world.pool())
            .await
            .unwrap();
        let wanted = observed.map_or(json!({}), |field| json!({ "first": { field: true } }));
        assert_eq!(known, wanted, "{kind:?}");
        events_keep_their_promises(sending.world.pool()).await;
        sending.world.database.drop().await;
    }
}

/// An answer to a mail, as an event of this id.
async fn answered(sending: &Sending, id: Uuid) -> Event {
    Event {
        seq: 1,
        id,
        customer_id: sending.world.customer_id,
        topic: "email.replied".into(),
        key: "msg".into(),
        sequence: 1,
        traceparent: None,
        schema: None,
        data: json!({ "contact_id": id::show("con", sending.contact_id) }),
        at: sending.fact(Value::Null).await.at,
    }
}

#[tokio::test]
async fn what_was_applied_long_ago_is_forgotten_and_leaves_no_second_trace_all_the_same() {
    let sending = sending().await;
    let pool = sending.world.pool();
    let new = clock::new_id();
    let (seconds, _) = new.get_timestamp().unwrap().to_unix();
    let long_ago = uuid::Timestamp::from_unix(uuid::NoContext, seconds - 91 * 24 * 60 * 60, 0);
    let events = [answered(&sending, Uuid::new_v7(long_ago)).await, answered(&sending, new).await];
    for left in [2, 1] {
        let mut tx = pool.begin().await.unwrap();
        assert_eq!(consumer::apply(&mut tx, &events).await.unwrap().len(), left);
        tx.commit().await.unwrap();
        assert_eq!(consumer::forget(pool).await.unwrap(), 1);
    }
    let written =
        "select count(*) from activities where customer_id = $1 and title = 'Email answered'";
    assert_eq!(sending.world.count(written).await, 2);
    let parts = "select count(*) from engagement_parts where customer_id = $1";
    assert_eq!(sending.world.count(parts).await, 2);
    sending.world.database.drop().await;
}

#[tokio::test]
async fn an_event_that_comes_twice_scores_and_is_written_once() {
    let sending = sending().await;
    let event = answered(&sending, clock::new_id()).await;
    for (batch, new) in [(vec![event.clone(), event.clone()], 1), (vec![event], 0)] {
        let mut tx = sending.world.pool().begin().await.unwrap();
        assert_eq!(consumer::apply(&mut tx, &batch).await.unwrap().len(), new);
        tx.commit().await.unwrap();
    }
    let score = "select score::bigint from engagement where customer_id = $1";
    assert_eq!(sending.world.count(score).await, 20);
    let written =
        "select count(*) from activities where customer_id = $1 and title = 'Email answered'";
    assert_eq!(sending.world.count(written).await, 1);
    sending.world.database.drop().await;
}

#[tokio::test]
async fn a_finished_task_signals_the_key_that_its_step_waits_for() {
    let sending = sending().await;
    let created = CreatedTask {
        kind: "call".into(),
        title: "Call".into(),
        due_at: None,
        key: "run/first/0".into(),
    };
    sending.write(TASK_CREATED, json!(created)).await;
    let pool = sending.world.pool();
    let task_id: Uuid = sqlx::query_scalar("select id from tasks").fetch_one(pool).await.unwrap();
    for (task, wanted) in [
        (task_id, Completion::Now),
        (task_id, Completion::Before),
        (clock::new_id(), Completion::NotFound),
    ] {
        let mut tx = pool.begin().await.unwrap();
        let customer_id = sending.world.customer_id;
        let done = task::complete(&mut tx, customer_id, task, Some("reached"), "user:1").await;
        assert_eq!(done.unwrap(), wanted);
        tx.commit().await.unwrap();
    }
    let told = sending.world.events(&id::show("tsk", task_id)).await;
    assert_eq!(told, [("task.created".to_owned(), 1), ("task.completed".to_owned(), 2)]);
    let data: Value = sqlx::query_scalar("select data from engine.signals where name = $1")
        .bind(task::COMPLETED)
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(data, json!({ "key": "run/first/0", "outcome": "reached" }));
    events_keep_their_promises(pool).await;
    sending.world.database.drop().await;
}
