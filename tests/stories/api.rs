//! One walk through the API of a running `dev`: from signing up to a timeline that tells what happened.

use std::time::Duration;

use serde_json::{Value, json};

use crate::promises::events_keep_their_promises;
use crate::salesos::{Api, Dev, Folder, until};

const SOON: Duration = Duration::from_secs(30);

const SEQUENCE: &str = r#"name = "hello"
title = "Hello, and a note"
subject = "contact"

[[steps]]
id = "mail"
type = "email.send"
template = "hello"
windowed = false

[[steps]]
id = "rest"
type = "wait"
for = "2 hours"

[[steps]]
id = "note"
type = "activity.log"
title = "Wrote to {{ contact.first_name }}"

[[steps]]
id = "tell"
type = "event.publish"
topic = "lead.greeted"
schema = "lead-greeted:2"
data = { who = "{{ contact.first_name }}" }

[templates.hello]
subject = "Hello {{ contact.first_name }}"
text = "A word from us."
"#;

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// Signs up, logs in by the same password, and goes on as whom that names.
async fn sign_up(api: &mut Api) {
    let (email, password) = ("ann@acme.example", "correct horse battery");
    let body = json!({ "email": email, "password": password, "name": "Ann", "company": "Acme" });
    api.post("/api/v1/auth/signup", body).await.with(201);
    let login = json!({ "email": email, "password": password });
    let session = api.post("/api/v1/auth/login", login).await.with(200);
    api.sign_in(&session);
    let me = api.get("/api/v1/auth/me").await.with(200);
    assert_eq!(me["user"]["email"], email, "{me}");
}

/// Makes and activates the sequence, as TOML.
async fn sequence(api: &Api) -> String {
    let broken =
        api.ask("POST", "/api/v1/sequences", "application/toml", "name = ").await.with(422);
    assert_eq!(broken["errors"][0]["line"], 1, "{broken}");
    let made = api.ask("POST", "/api/v1/sequences", "application/toml", SEQUENCE).await.with(201);
    assert_eq!((text(&made["name"]), text(&made["status"])), ("hello", "draft"));
    let path = format!("/api/v1/sequences/{}", text(&made["id"]));
    let active = api.post(&format!("{path}/activate"), json!({})).await.with(200);
    assert_eq!(active["status"], "active");
    path
}

async fn enroll(api: &Api, sequence: &str, contact: &str) -> String {
    let path = format!("{sequence}/enrollments");
    let made = api.post(&path, json!({ "contact_ids": [contact] })).await.with(201);
    assert_eq!(made["enrolled"], 1, "{made}");
    let again = api.post(&path, json!({ "contact_ids": [contact] })).await.with(201);
    assert_eq!(again["refused"][0]["reason"], "already_enrolled", "{again}");
    format!("/api/v1/enrollments/{}", text(&made["enrollments"][0]["id"]))
}

async fn until_state(api: &Api, enrollment: &str, state: &str) {
    until(&format!("the enrollment to be {state}"), SOON, || async {
        let found = api.get(enrollment).await.with(200);
        (found["state"] == state).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_walks_from_sign_up_to_a_timeline_that_tells_all() {
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &["--time-scale", "3600"]).await;
    let mut api = dev.api().await;
    api.get("/healthz").await.with(200);
    api.get("/readyz").await.with(200);
    api.get("/api/v1/contacts").await.with(401);
    sign_up(&mut api).await;

    let contact = json!({ "email": "bo@lead.example", "first_name": "Bo", "last_name": "Lead" });
    let contact = api.post("/api/v1/contacts", contact).await.with(201);
    let contact = text(&contact["id"]).to_owned();
    let sequence = sequence(&api).await;
    let enrollment = enroll(&api, &sequence, &contact).await;

    until_state(&api, &enrollment, "sleeping").await;
    api.post(&format!("{enrollment}/pause"), json!({})).await.with(200);
    until_state(&api, &enrollment, "paused").await;
    api.post(&format!("{enrollment}/resume"), json!({})).await.with(200);
    until_state(&api, &enrollment, "completed").await;

    let history = api.get(&format!("{enrollment}/history")).await.with(200);
    let kinds: Vec<&str> =
        history["data"].as_array().unwrap().iter().map(|row| text(&row["kind"])).collect();
    assert_eq!(kinds.first().zip(kinds.last()), Some((&"run.started", &"run.completed")));
    for kind in ["step.intended", "run.paused", "run.resumed"] {
        assert!(kinds.contains(&kind), "{kinds:?} lacks {kind}");
    }
    told(&api, &contact).await;
    let topics = events_keep_their_promises(&dev.db).await;
    assert!(topics.contains("lead.greeted"), "{topics:?}");
    let named = "select count(*) from engine.outbox where schema = 'lead-greeted:2' and data #>> '{data,who}' = 'Bo'";
    assert_eq!(dev.count(named).await, 1);
    let jobs = api.get("/api/v1/ops/jobs").await.with(200);
    assert!(jobs["data"].is_array(), "{jobs}");
    assert_eq!(dev.errors(), Vec::<String>::new());
    dev.interrupt().await;
}

/// Waits until the contact's timeline tells everything that has happened.
async fn told(api: &Api, contact: &str) {
    let path = format!("/api/v1/activities?contact_id={contact}");
    let wanted = [
        "Contact created",
        "Enrolled in a sequence",
        "Email sent",
        "Wrote to Bo",
        "Completed a sequence",
    ];
    until("the timeline to tell all", SOON, || async {
        let page = api.get(&path).await.with(200);
        let rows = page["data"].as_array().unwrap().clone();
        let stands = |title| rows.iter().any(|row| row["title"] == title);
        wanted.into_iter().all(stands).then_some(())
    })
    .await;
}
