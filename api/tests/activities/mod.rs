//! The timeline as people write it, the queue of their tasks, and how much a contact cares.

use chrono::{DateTime, TimeDelta, Utc};
use crm::consumer;
use engine::outbox::Event;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::desk::Desk;
use crate::promises::events_keep_their_promises;

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

async fn me(desk: &Desk) -> Value {
    desk.good("GET", "/auth/me", Value::Null).await
}

#[tokio::test]
async fn a_note_mentions_colleagues_and_keeps_what_it_said_before() {
    let desk = Desk::open().await;
    let ada =
        desk.make("/contacts", json!({ "email": "ada@lead.example", "company": "Lead Ltd" })).await;
    let ann = text(&me(&desk).await["user"]["id"]).to_owned();
    let body = format!("Likes the price. @{ann} please call.");
    let note = json!({ "contact_id": ada, "body": body });
    let made = desk.good("POST", "/activities/notes", note.clone()).await;
    assert_eq!((&made["kind"], &made["data"]["mentions"]), (&json!("note"), &json!([ann])));
    assert!(made["account_id"].is_string(), "at the contact's company");
    let fault = desk
        .fault("POST", "/activities/notes", json!({ "contact_id": ada, "body": "@usr_nobody" }))
        .await;
    assert_eq!(fault, "body mentions usr_nobody, who is no user");
    let fault = desk.fault("POST", "/activities/notes", json!({ "body": "about nobody" })).await;
    assert_eq!(fault, "contact_id stands here, or `account_id`, or `opportunity_id`");
    let path = format!("/activities/{}", text(&made["id"]));
    let changed = desk.good("PATCH", &path, json!({ "body": "Wants a discount." })).await;
    assert_eq!(
        (&changed["body"], &changed["data"]["mentions"]),
        (&json!("Wants a discount."), &json!([]))
    );
    let edits = desk.good("GET", &format!("{path}/edits"), Value::Null).await;
    assert_eq!((&edits["data"][0]["n"], &edits["data"][0]["body"]), (&json!(1), &json!(body)));
    assert_eq!(edits["data"][0]["editor"], format!("user:{ann}"));
    let of_company = format!("/activities?account_id={}", text(&made["account_id"]));
    assert_eq!(desk.listed(&of_company, "title").await, ["Note"]);
    assert_eq!(desk.ask("DELETE", &path, Value::Null).await.0, 204);
    assert_eq!(desk.listed(&of_company, "title").await, Vec::<Value>::new());
    desk.database.drop().await;
}

#[tokio::test]
async fn a_call_has_an_outcome_and_does_not_lie_ahead() {
    let desk = Desk::open().await;
    let ada = desk.make("/contacts", json!({ "email": "ada@lead.example" })).await;
    let call = |more: Value| {
        let mut call = json!({ "contact_id": ada, "outcome": "reached", "duration_seconds": 320 });
        call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call
    };
    let made = desk.good("POST", "/activities/calls", call(json!({ "body": "Friendly." }))).await;
    assert_eq!(
        (&made["title"], &made["data"]["duration_seconds"]),
        (&json!("Call: reached"), &json!(320))
    );
    for (bad, said) in [
        (json!({ "duration_seconds": -1 }), "duration_seconds is 0 to 86400"),
        (json!({ "outcome": " " }), "outcome is empty"),
        (
            json!({ "occurred_at": "2999-01-01T00:00:00Z" }),
            "occurred_at is ahead; a task is for what is to come",
        ),
    ] {
        assert_eq!(desk.fault("POST", "/activities/calls", call(bad)).await, said);
    }
    events_keep_their_promises(&desk.database.pool).await;
    desk.database.drop().await;
}

#[tokio::test]
async fn tasks_stand_in_the_order_in_which_they_are_due_until_they_are_done() {
    let desk = Desk::open().await;
    let ada = desk.make("/contacts", json!({ "email": "ada@lead.example" })).await;
    for (title, due_at) in [
        ("later", json!("2030-01-02T09:00:00Z")),
        ("some day", Value::Null),
        ("soon", json!("2030-01-01T09:00:00Z")),
    ] {
        let task =
            json!({ "contact_id": ada, "title": title, "due_at": due_at, "priority": "high" });
        desk.make("/activities/tasks", task).await;
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/activities/tasks?assignee_id=me&limit=1{cursor}");
        let page = desk.good("GET", &path, Value::Null).await;
        seen.extend(
            page["data"].as_array().unwrap().iter().map(|task| text(&task["title"]).to_owned()),
        );
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, ["soon", "later", "some day"]);
    let today =
        desk.good("GET", "/activities/tasks?due_before=2030-01-01T12:00:00Z", Value::Null).await;
    assert_eq!(today["data"].as_array().unwrap().len(), 1);
    let path = format!("/activities/tasks/{}", text(&today["data"][0]["id"]));
    let moved = desk.good("PATCH", &path, json!({ "due_at": null, "priority": "low" })).await;
    assert_eq!((&moved["due_at"], &moved["priority"]), (&Value::Null, &json!("low")));
    let done =
        desk.good("POST", &format!("{path}/complete"), json!({ "outcome": "reached" })).await;
    assert_eq!((&done["status"], &done["outcome"]), (&json!("done"), &json!("reached")));
    let again = desk.good("POST", &format!("{path}/complete"), json!({ "outcome": "other" })).await;
    assert_eq!(again["outcome"], "reached", "the first stays");
    assert_eq!(desk.listed("/activities/tasks?status=done", "title").await, ["soon"]);
    assert_eq!(desk.listed("/activities/tasks", "title").await, ["later", "some day"]);
    events_keep_their_promises(&desk.database.pool).await;
    desk.database.drop().await;
}

/// What a contact did: an answer of a month ago, a click and an open now, and an open by a machine.
fn events(customer: Uuid, contact: &str, now: DateTime<Utc>) -> Vec<Event> {
    let at = |topic: &str, days_ago: i64, verdict: Option<&str>| Event {
        seq: 1,
        id: engine::clock::new_id(),
        customer_id: customer,
        topic: topic.into(),
        key: contact.into(),
        sequence: 1,
        traceparent: None,
        schema: None,
        data: json!({ "contact_id": contact, "verdict": verdict.unwrap_or("human") }),
        at: now - TimeDelta::days(days_ago),
    };
    vec![
        at("email.replied", 30, None),
        at("email.clicked", 0, None),
        at("email.opened", 0, Some("proxy")),
        at("email.opened", 0, None),
    ]
}

async fn apply(desk: &Desk, events: &[Event]) {
    let mut tx = desk.database.pool.begin().await.unwrap();
    consumer::apply(&mut tx, events).await.unwrap();
    tx.commit().await.unwrap();
}

/// A contact that did all of it, told in one batch.
async fn engaged(desk: &Desk, email: &str) -> (Uuid, String, DateTime<Utc>) {
    let contact = desk.make("/contacts", json!({ "email": email })).await;
    let customer = engine::id::read("cus", text(&me(desk).await["customer"]["id"])).unwrap();
    let now = sqlx::query_scalar("select engine.now()").fetch_one(&desk.database.pool).await;
    let now: DateTime<Utc> = now.unwrap();
    apply(desk, &events(customer, &contact, now)).await;
    (customer, contact, now)
}

#[tokio::test]
async fn a_score_is_told_by_its_parts_and_the_same_however_events_come() {
    let desk = Desk::open().await;
    let (customer, ada, now) = engaged(&desk, "ada@lead.example").await;
    let bob = desk.make("/contacts", json!({ "email": "bob@lead.example" })).await;
    // One by one, backwards, and each twice.
    for event in events(customer, &bob, now).into_iter().rev() {
        apply(&desk, &[event.clone(), event.clone()]).await;
        apply(&desk, &[event]).await;
    }
    let told = desk.good("GET", &format!("/contacts/{ada}/engagement"), Value::Null).await;
    assert_eq!((&told["score"], &told["level"]), (&json!(16), &json!("warm")), "{told}");
    let parts = told["parts"].as_array().unwrap();
    let points = |event: &str| {
        let found = parts.iter().find(|part| part["event"] == event);
        found.map(|part| part["points"].as_i64().unwrap())
    };
    assert_eq!(parts.len(), 3, "what a machine opened counts nothing");
    let counted = ["email.replied", "email.clicked", "email.opened"].map(points);
    assert_eq!(counted, [Some(20), Some(5), Some(1)]);
    let other = desk.good("GET", &format!("/contacts/{bob}/engagement"), Value::Null).await;
    assert_eq!((&other["score"], &other["level"]), (&told["score"], &told["level"]));
    let read = desk.good("GET", &format!("/contacts/{ada}"), Value::Null).await;
    assert_eq!(read["engagement"], json!({ "score": 16, "level": "warm" }));
    let warm = "/contacts?filter[level][eq]=warm&filter[score][gte]=16";
    assert_eq!(desk.listed(warm, "id").await.len(), 2);
    let told: Vec<Value> = sqlx::query_scalar(
        "select data from engine.outbox where topic = 'engagement.scored' and key = $1",
    )
    .bind(&ada)
    .fetch_all(&desk.database.pool)
    .await
    .unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((&told[0]["from_level"], &told[0]["level"]), (&json!("cold"), &json!("warm")));
    events_keep_their_promises(&desk.database.pool).await;
    desk.database.drop().await;
}

#[tokio::test]
async fn other_rules_count_anew_what_has_happened() {
    let desk = Desk::open().await;
    let (_, ada, _) = engaged(&desk, "ada@lead.example").await;
    let mut rules = desk.good("GET", "/engagement/rules", Value::Null).await;
    rules["events"]["email.clicked"] = json!({ "points": 15 });
    desk.good("PUT", "/engagement/rules", rules.clone()).await;
    let mut tx = desk.database.pool.begin().await.unwrap();
    assert_eq!(crm::engagement::compute_due(&mut tx).await.unwrap(), 1);
    tx.commit().await.unwrap();
    let read = desk.good("GET", &format!("/contacts/{ada}"), Value::Null).await;
    assert_eq!(read["engagement"], json!({ "score": 26, "level": "hot" }));
    rules["warm"] = json!(50);
    let fault = desk.fault("PUT", "/engagement/rules", rules).await;
    assert!(fault.starts_with("warm is over 0 and under `hot`"), "{fault}");
    desk.database.drop().await;
}
