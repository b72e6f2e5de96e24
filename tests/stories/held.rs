//! What cannot go on is held with its reason, harms no other run, and goes on once the cause is gone.

use std::time::Duration;

use crate::salesos::{Dev, Folder, until};

const SOON: Duration = Duration::from_secs(30);
const AN_HOUR_A_SECOND: [&str; 2] = ["--time-scale", "3600"];

/// A sequence that rests, and then does something.
fn sequence(name: &str, then: &str) -> String {
    format!(
        "name = \"{name}\"\ntitle = \"{name}\"\nsubject = \"contact\"\n\
         [[steps]]\nid = \"rest\"\ntype = \"wait\"\nfor = \"3 hours\"\n\
         [[steps]]\nid = \"then\"\n{then}\n"
    )
}

const NOTE: &str = "type = \"activity.log\"\ntitle = \"Noted for {{ contact.email }}\"";

/// A mail that has a second of the real clock, once.
const MAIL: &str = "type = \"email.send\"\ntemplate = \"hello\"\nwindowed = false\ntimeout = \"1s\"\n\
    [steps.retry]\nattempts = 1\n[templates.hello]\nsubject = \"Hello\"\ntext = \"Hello\"";

async fn apply(folder: &Folder, name: &str, then: &str) {
    let file = folder.write(&format!("{name}.toml"), &sequence(name, then));
    folder.run(&["workflows", "apply", file.to_str().unwrap()]).await.done();
}

/// Enrolls so many contacts of its own in a sequence.
async fn enroll(folder: &Folder, name: &str, count: i64) {
    let rows: String = (0..count).map(|n| format!("{name}{n}@lead.example\n")).collect();
    let file = folder.write("contacts.csv", &format!("Email\n{rows}"));
    let args = ["enroll", file.to_str().unwrap(), "--sequence", name, "--json"];
    assert_eq!(folder.run(&args).await.json()["enrolled"], count);
}

/// Waits until so many runs of a sequence stand in a state.
async fn until_all(dev: &Dev, name: &str, state: &str, count: i64) {
    let statement = "select count(*) from engine.run_states s
      join engine.definitions d on d.id = s.definition_id where d.name = $1 and s.state = $2";
    until(&format!("{count} runs of {name} to be {state}"), SOON, || async {
        let found = sqlx::query_scalar(statement).bind(name).bind(state).fetch_one(&dev.db).await;
        (found.ok() == Some(count)).then_some(())
    })
    .await;
}

/// The one held run of a sequence, in the list of jobs, with the reason that it gives.
async fn held(folder: &Folder, dev: &Dev, name: &str) -> (String, String) {
    until_all(dev, name, "held", 1).await;
    let listed = folder.run(&["jobs", "list", "--state", "held", "--json"]).await.json();
    let listed = listed.as_array().unwrap().iter().find(|job| job["sequence"] == name);
    let listed = listed.expect("a held run is a held job");
    let text = |field: &str| listed[field].as_str().unwrap().to_owned();
    (text("id"), text("reason"))
}

async fn history(folder: &Folder, id: &str) -> Vec<String> {
    let rows = folder.run(&["runs", "history", id, "--json"]).await.json();
    rows.as_array().unwrap().iter().map(|row| row["kind"].as_str().unwrap().to_owned()).collect()
}

async fn sql(dev: &Dev, statement: &'static str) {
    assert_eq!(
        sqlx::query(statement).execute(&dev.db).await.unwrap().rows_affected(),
        1,
        "{statement}"
    );
}

#[tokio::test]
async fn what_can_not_be_read_is_held_beside_runs_that_go_on_and_retried_once_it_is_mended() {
    let folder = Folder::new().await;
    let dev = Dev::start(&folder, &[]).await;
    folder.run(&["seed"]).await.done();
    for (name, count) in [("steady", 20), ("lost", 1)] {
        apply(&folder, name, NOTE).await;
        enroll(&folder, name, count).await;
        until_all(&dev, name, "sleeping", count).await;
    }
    for statement in [
        "create table kept as select r.id, r.data from engine.runs r
         join engine.definitions d on d.id = r.definition_id where d.name = 'steady' limit 1",
        "create table documents as select id, document from engine.definitions where name = 'lost'",
    ] {
        sqlx::query(statement).execute(&dev.db).await.unwrap();
    }
    sql(&dev, "update engine.runs set data = '{\"what\": 1}' where id = (select id from kept)")
        .await;
    sql(&dev, "update engine.definitions set document = '{}' where name = 'lost'").await;
    dev.interrupt().await;

    // The next process has read nothing of it before.
    let dev = Dev::start(&folder, &AN_HOUR_A_SECOND).await;
    let (run, reason) = held(&folder, &dev, "steady").await;
    assert!(reason.contains("what the run remembers can't be read"), "{reason}");
    let (lost, reason) = held(&folder, &dev, "lost").await;
    assert!(reason.contains("can't read workflow `lost` version 1"), "{reason}");
    until_all(&dev, "steady", "completed", 19).await;

    sql(&dev, "update engine.runs r set data = k.data from kept k where k.id = r.id").await;
    let document =
        "update engine.definitions d set document = k.document from documents k where k.id = d.id";
    sql(&dev, document).await;
    folder.run(&["jobs", "retry", &run, &lost]).await.done();
    until_all(&dev, "steady", "completed", 20).await;
    until_all(&dev, "lost", "completed", 1).await;
    let kinds = history(&folder, &run).await;
    assert_eq!(kinds[0], "run.started");
    assert_eq!(
        kinds[kinds.len() - 5..],
        ["run.held", "run.retried", "step.done", "step.done", "run.completed"]
    );
    dev.interrupt().await;
}

#[tokio::test]
async fn a_step_that_does_not_return_is_held_beside_runs_that_go_on_and_retried_by_its_reason() {
    let folder = Folder::new().await;
    let dev = Dev::start(&folder, &AN_HOUR_A_SECOND).await;
    folder.run(&["seed"]).await.done();
    apply(&folder, "mail", MAIL).await;
    apply(&folder, "steady", NOTE).await;
    enroll(&folder, "mail", 1).await;
    enroll(&folder, "steady", 5).await;
    // Whoever looks for a mailbox now waits, and so does the step that sends.
    let mut locked = dev.db.begin().await.unwrap();
    let lock = "lock table email_provider_accounts in access exclusive mode";
    sqlx::query(lock).execute(&mut *locked).await.unwrap();

    let (run, reason) = held(&folder, &dev, "mail").await;
    assert!(reason.contains("did not finish within 1s"), "{reason}");
    until_all(&dev, "steady", "completed", 5).await;
    locked.rollback().await.unwrap();

    let retry = |error| ["jobs", "retry", "--state", "held", "--error", error, "--yes"];
    assert_eq!(folder.run(&retry("nothing like it*")).await.code, 3);
    let bare = folder.run(&["jobs", "retry"]).await;
    assert!(bare.code != 0 && bare.err.contains("--state held"), "{bare:?}");
    until_all(&dev, "mail", "held", 1).await;
    folder.run(&retry("*did not finish*")).await.done();
    until_all(&dev, "mail", "completed", 1).await;
    let sent = history(&folder, &run).await.iter().filter(|kind| *kind == "step.intended").count();
    assert_eq!(sent, 1);
    dev.interrupt().await;
}

#[tokio::test]
async fn a_mailbox_that_is_broken_holds_what_it_was_to_send_until_it_is_mended() {
    let folder = Folder::new().await;
    let dev = Dev::start(&folder, &AN_HOUR_A_SECOND).await;
    folder.run(&["seed"]).await.done();
    apply(&folder, "mail", MAIL).await;
    enroll(&folder, "mail", 1).await;
    sql(&dev, "update email_provider_accounts set status = 'broken'").await;
    let (run, reason) = held(&folder, &dev, "mail").await;
    assert!(reason.contains("the mailbox is broken"), "{reason}");
    let explained = folder.run(&["runs", "explain", &run]).await.json();
    assert!(explained.to_string().contains("the mailbox is broken"), "{explained}");
    sql(&dev, "update email_provider_accounts set status = 'connected'").await;
    folder.run(&["jobs", "retry", &run]).await.done();
    until_all(&dev, "mail", "completed", 1).await;
    // A run that is not held is not retried, and says so.
    let again = folder.run(&["jobs", "retry", &run]).await;
    assert_eq!(again.code, 3, "{again:?}");
    assert!(again.out.contains("it is completed"), "{again:?}");
    dev.interrupt().await;
}
