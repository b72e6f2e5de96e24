//! Pauses through the API of a running `dev`: when the mail leaves that follows a wait.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::salesos::{Api, Dev, Folder, until};

const SOON: Duration = Duration::from_secs(30);

const RENEWAL: &str = r#"name = "renewal-mail"
title = "A mail ninety days before the renewal"
subject = "contact"

[timing]
zone = ["subject"]

[timing.window]
days = ["mon", "tue", "wed", "thu", "fri"]
from = "09:00"
to = "17:00"

[[steps]]
id = "ninety"
type = "wait"
until = "contact.custom.renewal_on - 90 days 10:00"

[[steps]]
id = "mail"
type = "email.send"
template = "mail"

[templates.mail]
subject = "Ninety days left"
text = "Shall we talk?"
"#;

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// Signs up, and stops the clock on Monday, 8 March 2027, at 09:00 in Vienna.
async fn begin(dev: &mut Dev) -> Api {
    let mut api = dev.api().await;
    let body = json!({
        "email": "ann@acme.example", "password": "correct horse battery", "name": "Ann", "company": "Acme",
    });
    let session = api.post("/api/v1/auth/signup", body).await.with(201);
    api.sign_in(&session);
    let stop = "update engine.virtual_clock set scale = 0, virtual_at = '2027-03-08T08:00:00Z', real_at = now()";
    sqlx::query(stop).execute(&dev.db).await.unwrap();
    let field =
        json!({ "entity": "contact", "key": "renewal_on", "label": "Renewal", "type": "date" });
    api.post("/api/v1/custom-fields", field).await.with(201);
    api
}

async fn at(dev: &Dev, instant: &str) {
    let jump =
        "update engine.virtual_clock set virtual_at = $1::text::timestamptz, real_at = now()";
    sqlx::query(jump).bind(instant).execute(&dev.db).await.unwrap();
    sqlx::query("select pg_notify('engine', '')").execute(&dev.db).await.unwrap();
}

/// Enrolls somebody in Vienna; gives the contact's and the enrollment's address.
async fn enroll(api: &Api, sequence: &str, name: &str, custom: Value) -> (String, String) {
    let contact = json!({
        "email": format!("{name}@lead.example"), "first_name": name, "time_zone": "Europe/Vienna", "custom": custom,
    });
    let contact = api.post("/api/v1/contacts", contact).await.with(201);
    let path = format!("{sequence}/enrollments");
    let made = api.post(&path, json!({ "contact_ids": [contact["id"]] })).await.with(201);
    let enrollment = format!("/api/v1/enrollments/{}", text(&made["enrollments"][0]["id"]));
    (format!("/api/v1/contacts/{}", text(&contact["id"])), enrollment)
}

async fn until_state(api: &Api, enrollment: &str, state: &str) -> Value {
    until(&format!("the enrollment to be {state}"), SOON, || async {
        let found = api.get(enrollment).await.with(200);
        (found["state"] == state).then_some(found)
    })
    .await
}

/// When the mail to somebody was sent, by the engine's clock.
async fn sent_at(dev: &Dev, name: &str) -> Option<DateTime<Utc>> {
    let found = sqlx::query_scalar(
        "select sent_at from emails where recipient = $1 and sent_at is not null",
    );
    found.bind(format!("{name}@lead.example")).fetch_optional(&dev.db).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_leaves_on_the_day_that_is_meant_however_long_its_enrollment_was_paused() {
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &["--time-scale", "60"]).await;
    let api = begin(&mut dev).await;
    let made = api.ask("POST", "/api/v1/sequences", "application/toml", RENEWAL).await.with(201);
    let sequence = format!("/api/v1/sequences/{}", text(&made["id"]));
    api.post(&format!("{sequence}/activate"), json!({})).await.with(200);

    // Ninety days before are Tuesday, 6 April, by summer time; moved to Friday, 16 April; and a Sunday.
    let date = |date: &str| json!({ "renewal_on": date });
    let (_, steady) = enroll(&api, &sequence, "steady", date("2027-07-05")).await;
    let (moving, moved) = enroll(&api, &sequence, "moved", date("2027-07-05")).await;
    let (_, late) = enroll(&api, &sequence, "late", date("2027-06-12")).await;
    let (lacking, lacks) = enroll(&api, &sequence, "lacks", json!({})).await;
    let paused = [&steady, &moved, &late];
    for enrollment in paused {
        until_state(&api, enrollment, "sleeping").await;
        api.post(&format!("{enrollment}/pause"), json!({})).await.with(200);
    }
    let held = until_state(&api, &lacks, "held").await;
    let reason = held.to_string();
    assert!(reason.contains("`contact.custom.renewal_on` is empty, so step `ninety`"), "{reason}");
    api.patch(&moving, json!({ "custom": date("2027-07-15") })).await.with(200);

    // Saturday night: the late one's Sunday is still to come.
    at(&dev, "2027-03-13T22:00:00Z").await;
    for enrollment in paused {
        api.post(&format!("{enrollment}/resume"), json!({})).await.with(200);
    }
    for (enrollment, next_at) in [
        (&steady, "2027-04-06T08:00:00Z"),
        (&moved, "2027-04-16T08:00:00Z"),
        (&late, "2027-03-14T09:00:00Z"),
    ] {
        let found = until_state(&api, enrollment, "sleeping").await;
        let found: DateTime<Utc> = text(&found["next_at"]).parse().unwrap();
        assert_eq!(found, next_at.parse::<DateTime<Utc>>().unwrap());
    }
    // What was held waits by its date, too, once it has one.
    api.patch(&lacking, json!({ "custom": date("2027-07-06") })).await.with(200);
    let run = lacks.replace("/api/v1/enrollments/enr_", "run_");
    folder.run(&["jobs", "retry", &run]).await.done();
    until_state(&api, &lacks, "sleeping").await;

    at(&dev, "2027-03-14T09:00:00Z").await;
    let found = until_state(&api, &late, "sleeping").await;
    assert_eq!(sent_at(&dev, "late").await, None, "on a Sunday: {found}");
    for (instant, sent) in [
        ("2027-03-15T08:00:00Z", vec![(&late, "late")]),
        ("2027-04-06T08:00:00Z", vec![(&steady, "steady")]),
        ("2027-04-07T08:00:00Z", vec![(&lacks, "lacks")]),
        ("2027-04-16T08:00:00Z", vec![(&moved, "moved")]),
    ] {
        for (_, name) in &sent {
            assert_eq!(sent_at(&dev, name).await, None, "{name} before {instant}");
        }
        at(&dev, instant).await;
        for (enrollment, name) in sent {
            until_state(&api, enrollment, "completed").await;
            assert_eq!(sent_at(&dev, name).await, Some(instant.parse().unwrap()), "{name}");
        }
    }
    assert_eq!(dev.errors(), Vec::<String>::new());
    dev.interrupt().await;
}
