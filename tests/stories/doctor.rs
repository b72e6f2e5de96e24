//! `salesos doctor`, and what `runs explain` and the API say, while something is missing.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::salesos::{Api, Dev, Folder, said, until};

/// The findings of `doctor` under settings, that are not right, by what they are about.
async fn faults(folder: &Folder, settings: &[(&str, &str)]) -> (i32, Vec<(String, String)>) {
    let mut command = folder.command(&["doctor", "--json"]);
    command.envs(settings.iter().copied());
    let found = said(command).await;
    let findings: Value = serde_json::from_str(&found.out).unwrap_or_else(|_| panic!("{found:?}"));
    let wrong = findings.as_array().unwrap().iter().filter(|finding| finding["right"] == false);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let wrong = wrong.map(|finding| (text(&finding["what"]), text(&finding["detail"]))).collect();
    (found.code, wrong)
}

async fn finds(folder: &Folder, settings: &[(&str, &str)], what: &str, says: &str) {
    let (code, found) = faults(folder, settings).await;
    assert_eq!(code, 1, "{found:?}");
    let named: Vec<&str> = found.iter().map(|(what, _)| what.as_str()).collect();
    assert_eq!(named, [what], "{found:?}");
    assert!(found[0].1.contains(says), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_names_each_fault_with_what_to_do() {
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &[]).await;
    let mut api = dev.api().await;
    assert_eq!(faults(&folder, &[]).await, (0, Vec::new()));
    let ann = json!({ "email": "ann@acme.example", "password": "correct horse", "name": "Ann", "company": "Acme" });
    let session = api.post("/api/v1/auth/signup", ann).await.with(201);
    api.sign_in(&session);
    let nonsense = [("SALESOS_HTTP_ALLOW", "this is nonsense")];
    finds(&folder, &nonsense, "SALESOS_HTTP_ALLOW", "`nonsense`").await;
    let hosts = [("SALESOS_HTTP_ALLOW", "api.example.com, *.hooks.example, [2001:db8::1]:8443")];
    assert_eq!(faults(&folder, &hosts).await, (0, Vec::new()));
    let production = [("SALESOS_ENV", "production")];
    let (code, found) = faults(&folder, &production).await;
    let named: Vec<&str> = found.iter().map(|(what, _)| what.as_str()).collect();
    assert_eq!((code, named), (1, vec!["system mail", "mailboxes"]), "{found:?}");
    assert!(found[0].1.contains("SYSTEM_MAIL_URL"), "{found:?}");
    assert!(found[1].1.contains("no connected mailbox"), "{found:?}");
    let hook = json!({ "url": "https://hooks.example.com/x", "events": ["*"] });
    api.post("/api/v1/webhooks", hook).await.with(201);
    assert_eq!(faults(&folder, &[]).await, (0, Vec::new()));
    let other = [("ENCRYPTION_KEY", "another key than the one that sealed it")];
    finds(&folder, &other, "encryption key", "ENCRYPTION_KEY").await;
    let (key, kept) = (folder.data().join("encryption.key"), folder.root().join("kept"));
    fs::rename(&key, &kept).unwrap();
    finds(&folder, &[], "encryption key", "encryption.key").await;
    assert!(!key.exists(), "doctor only looks");
    fs::rename(&kept, &key).unwrap();
    let mail = folder.data().join("mail");
    if mail.exists() {
        fs::rename(&mail, folder.root().join("mail")).unwrap();
    }
    fs::write(&mail, "").unwrap();
    finds(&folder, &[], "mail folder", "can't be used").await;
    fs::remove_file(&mail).unwrap();
    assert_eq!(faults(&folder, &[]).await, (0, Vec::new()));
    dev.interrupt().await;
}

/// Signs somebody up, with a contact who rests in a sequence; gives the enrollment.
async fn enrolled(api: &mut Api) -> String {
    let body = json!({ "email": "sam@lead.example", "password": "correct horse", "name": "Sam", "company": "Sam" });
    let session = api.post("/api/v1/auth/signup", body).await.with(201);
    api.sign_in(&session);
    let sequence = "name = \"rest\"\ntitle = \"Rest\"\nsubject = \"contact\"\n\
        [[steps]]\nid = \"rest\"\ntype = \"wait\"\nfor = \"3 hours\"\n";
    let made = api.ask("POST", "/api/v1/sequences", "application/toml", sequence).await.with(201);
    let path = format!("/api/v1/sequences/{}", made["id"].as_str().unwrap());
    api.post(&format!("{path}/activate"), json!({})).await.with(200);
    let contact =
        api.post("/api/v1/contacts", json!({ "email": "bo@lead.example" })).await.with(201);
    let enroll = json!({ "contact_ids": [contact["id"]] });
    let made = api.post(&format!("{path}/enrollments"), enroll).await.with(201);
    made["enrollments"][0]["id"].as_str().unwrap().to_owned()
}

/// An explanation says once that a worker lacks, and how.
fn lacks(told: &Value, says: &str) {
    let rules = told["rules"].as_array().unwrap();
    let worker: Vec<&Value> = rules.iter().filter(|rule| rule["rule"] == "worker").collect();
    assert_eq!(worker.len(), 1, "{told}");
    assert_eq!(worker[0]["verdict"], "closed", "{told}");
    assert!(worker[0]["detail"].as_str().unwrap().contains(says), "{told}");
    assert!(!told["would_change"].as_array().unwrap().is_empty(), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_worker_doctor_fails_and_runs_say_so() {
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &[]).await;
    let mut api = dev.api().await;
    let id = enrolled(&mut api).await;
    let id = id.as_str();
    let explain = format!("/api/v1/enrollments/{id}/explain");
    until("the run to sleep", Duration::from_secs(30), || async {
        (api.get(&explain).await.with(200)["state"] == "sleeping").then_some(())
    })
    .await;
    let told = api.get(&explain).await.with(200);
    assert_eq!(
        (&told["rules"][0]["rule"], &told["rules"][0]["verdict"]),
        (&json!("delay"), &json!("closed")),
        "{told}"
    );
    assert_eq!(told["rules"].as_array().unwrap().len(), 1, "{told}");
    assert!(told["next_eligible_at"].is_string(), "{told}");
    // The worker of `dev` dies with its row left behind, as after kill -9: nobody renews it.
    sqlx::query("update engine.runs set next_at = null, place = 'job'")
        .execute(&dev.db)
        .await
        .unwrap();
    sqlx::query(
        "with gone as (delete from engine.timers returning *)
         insert into engine.jobs (run_id, customer_id, queue, step, pass)
         select run_id, customer_id, 'nobody.knows', step, 0 from gone",
    )
    .execute(&dev.db)
    .await
    .unwrap();
    sqlx::query("update engine.workers set queues = '{email.send}'")
        .execute(&dev.db)
        .await
        .unwrap();
    let told = api.get(&explain).await.with(200);
    assert_eq!(told["state"], "ready", "{told}");
    lacks(&told, "no worker that is running takes steps of type `wait`");
    assert_eq!(faults(&folder, &[]).await, (0, Vec::new()));
    let by_cli = folder.run(&["runs", "explain", id]).await.json();
    lacks(&by_cli, "takes steps of type `wait`");

    // A worker that renews its row no longer and whose connections are gone.
    sqlx::query("update engine.workers set queues = null").execute(&dev.db).await.unwrap();
    assert_eq!(api.get(&explain).await.with(200)["rules"][0]["verdict"], "open");
    let url = folder.run(&["db", "--print-url"]).await.done();
    let process = dev.process();
    dev.kill().await;
    crate::salesos::gone(process).await;
    let alone = Folder::bare().with_database(url.trim().to_owned());
    let told = until("the worker to be seen as dead", Duration::from_secs(30), || async {
        let (code, found) = faults(&alone, &[]).await;
        (code == 1).then_some(found)
    })
    .await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].0, "worker");
    assert!(told[0].1.contains("salesos worker") && told[0].1.contains("salesos dev"), "{told:?}");
    let by_cli = alone.run(&["runs", "explain", id]).await.json();
    lacks(&by_cli, "no worker is running; start one by `salesos worker`");
}
