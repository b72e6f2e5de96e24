//! A messy file of contacts on its way into a sequence, by the command line.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::salesos::{Dev, Folder, Said, repository, said, until};

const SEQUENCE: &str = "outbound-intro";

/// The shared contacts and what a right import makes of them; `None` where this checkout has none.
fn shared() -> Option<(PathBuf, Value)> {
    let folder = repository().join("../shared/data/contacts");
    let Ok(expected) = std::fs::read(folder.join("expected.json")) else {
        eprintln!("skipped: there is no {}", folder.display());
        return None;
    };
    Some((folder.join("contacts.csv"), serde_json::from_slice(&expected).unwrap()))
}

async fn enroll(folder: &Folder, file: &str, more: &[&str]) -> Value {
    let args = [&["enroll", file, "--sequence", SEQUENCE, "--json"], more].concat();
    folder.run(&args).await.json()
}

/// How many refused rows a report lists for a reason.
fn listed(imported: &Value, reason: &str) -> usize {
    let rows = imported["refused"].as_array().unwrap();
    rows.iter().filter(|row| row["reason"] == reason).count()
}

#[tokio::test]
async fn a_messy_file_is_enrolled_once_and_every_refused_row_has_its_reason() {
    let Some((file, expected)) = shared() else { return };
    let file = file.to_str().unwrap();
    let folder = Folder::new().await;
    let dev = Dev::start(&folder, &[]).await;
    folder.run(&["seed"]).await.done();

    let tried = enroll(&folder, file, &["--dry-run"]).await;
    assert_eq!((&tried["enrolled"], &tried["dry_run"]), (&expected["valid"], &json!(true)));
    assert_eq!(dev.count("select count(*) from engine.runs").await, 0);

    let report = enroll(&folder, file, &[]).await;
    let imported = &report["imported"];
    assert_eq!((&report["enrolled"], &report["refused"]), (&expected["valid"], &json!({})));
    assert_eq!(imported["rows"], expected["rows"]);
    for reason in ["duplicate", "invalid_email", "missing_email"] {
        assert_eq!(imported[reason], expected[reason], "{reason}");
        assert_eq!(json!(listed(imported, reason)), expected[reason], "{reason}");
    }
    let runs = "select count(*) from engine.runs r join enrollments e on e.id = r.id
      join sequences s on s.id = e.sequence_id where s.name = 'outbound-intro'";
    assert_eq!(json!(dev.count(runs).await), expected["valid"]);
    assert_eq!(dev.count("select count(*) from enrollments").await, 957);

    let again = enroll(&folder, file, &[]).await;
    assert_eq!(again["imported"]["created"], 0);
    assert_eq!(again["imported"]["skipped"], expected["valid"]);
    assert_eq!(again["enrolled"], 0);
    assert_eq!(again["refused"], json!({ "already_enrolled": expected["valid"] }));
    assert_eq!(json!(dev.count(runs).await), expected["valid"]);
    dev.interrupt().await;
}

#[tokio::test]
async fn an_import_tells_a_person_what_was_refused_on_which_line() {
    let Some((file, expected)) = shared() else { return };
    let folder = Folder::new().await;
    let dev = Dev::start(&folder, &[]).await;
    folder.run(&["seed"]).await.done();
    let text = folder.run(&["import", file.to_str().unwrap()]).await.done();
    let first = format!(
        "{} rows: {} new contacts, 0 known; refused: {} duplicate, {} invalid_email, {} missing_email, 0 invalid\n",
        expected["rows"],
        expected["valid"],
        expected["duplicate"],
        expected["invalid_email"],
        expected["missing_email"],
    );
    assert!(text.starts_with(&first), "{text}");
    assert!(text.contains("\n  line 23: invalid_email john doe@x.example\n"), "{text}");
    assert!(text.ends_with(" more; --json lists all\n"), "{text}");
    dev.interrupt().await;
}

/// Signs up a company by HTTP and gives its customer, who has no mailbox.
async fn sign_up(dev: &mut Dev, company: &str) -> String {
    let email = format!("ann@{company}.example");
    let body =
        json!({ "email": email, "password": "correct horse", "name": "Ann", "company": company });
    let session = dev.api().await.post("/api/v1/auth/signup", body).await.with(201);
    session["customer"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_customer_without_a_mailbox_writes_through_a_mock_one_in_development_alone() {
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &[]).await;
    let customer = sign_up(&mut dev, "acme").await;
    let workflow = repository().join("workflows/outbound-intro.toml");
    folder.run(&["workflows", "apply", workflow.to_str().unwrap()]).await.done();
    let file = folder.write("two.csv", "Email\nbo@lead.example\ncy@lead.example\n");
    let file = file.to_str().unwrap();

    let mut command = folder.command(&["enroll", file, "--sequence", SEQUENCE, "--json"]);
    command.env("SALESOS_ENV", "production");
    let report = said(command).await.json();
    assert_eq!(report["refused"], json!({ "no_mailbox": 2 }));
    let mailboxes = "select count(*) from email_provider_accounts";
    assert_eq!(dev.count(mailboxes).await, 0);

    let mut command = folder.command(&["enroll", file, "--sequence", SEQUENCE, "--json"]);
    command.env("EMAIL_PROVIDER", "mock");
    assert_eq!(said(command).await.json()["enrolled"], 2);
    let mock =
        "select count(*) from email_provider_accounts where provider = 'mock' and is_default";
    assert_eq!(dev.count(mock).await, 1);

    // With a second customer, a command has to say whose contacts these are.
    let other = sign_up(&mut dev, "globex").await;
    let refused = folder.run(&["enroll", file, "--sequence", SEQUENCE]).await.refused(1);
    assert!(refused.contains("--customer") && refused.contains(&customer), "{refused}");
    let args = ["enroll", file, "--sequence", SEQUENCE, "--customer", &other];
    let refused = folder.run(&args).await.refused(3);
    assert!(refused.contains("salesos workflows apply"), "{refused}");
    let named: Said =
        folder.run(&["enroll", file, "--sequence", SEQUENCE, "--customer", &customer]).await;
    assert!(named.done().contains("2 already_enrolled"));
    dev.interrupt().await;
}

/// A branch that writes to those whose company is known alone, and a mail to all that names a first name and, in a
/// fallback and a condition, what nobody needs.
const NEEDS_FIELDS: &str = r#"name = "needs-fields"
subject = "contact"

[[steps]]
id = "known"
type = "branch"
when = "contact.company != ''"
then = "company"
else = "hello"

[[steps]]
id = "company"
type = "task.create"
title = "Look at {{ contact.company }}, {{ contact.title }}"

[[steps]]
id = "hello"
type = "email.send"
template = "hello"

[templates.hello]
subject = "Hello"
text = """
Hi {{ contact.first_name }} of {{ contact.company | default("your company") }},
{% if contact.title %}as {{ contact.title }} you know this.{% endif %}"""
"#;

#[tokio::test]
async fn who_lacks_a_field_of_a_text_is_named_before_anybody_is_enrolled_and_is_not_started() {
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &[]).await;
    sign_up(&mut dev, "acme").await;
    let workflow = folder.write("needs-fields.toml", NEEDS_FIELDS);
    folder.run(&["workflows", "apply", workflow.to_str().unwrap()]).await.done();
    let csv = "Email,First name,Company,Title\n\
               all@lead.example,Ada,Acme,VP\n\
               nameless@lead.example,,,\n\
               untitled@lead.example,Bo,Globex,\n\
               bare@lead.example,Cy,,\n";
    let file = folder.write("four.csv", csv);
    let file = file.to_str().unwrap();
    let args = ["enroll", file, "--sequence", "needs-fields", "--dry-run"];

    let text = folder.run(&args).await.done();
    let told = "2 would be enrolled in needs-fields version 1\n  2 missing_variable\n    \
                nameless@lead.example: the text of template `hello` in step `hello` needs `contact.first_name`; \
                fill it in, or write `| default(…)` after it\n    \
                untitled@lead.example: `title` in step `company` needs `contact.title`; \
                fill it in, or write `| default(…)` after it\n";
    assert!(text.ends_with(told), "{text}");
    let tried = folder.run(&[&args[..], &["--json"]].concat()).await.json();
    assert_eq!(tried["refused"], json!({ "missing_variable": 2 }));
    assert_eq!(tried["refusals"][0]["email"], "nameless@lead.example");
    assert_eq!(dev.count("select count(*) from contacts").await, 0);

    let report = folder.run(&["enroll", file, "--sequence", "needs-fields", "--json"]).await.json();
    assert_eq!((&report["enrolled"], &report["refused"]), (&json!(2), &tried["refused"]));
    assert_eq!(
        dev.count("select count(*) from engine.runs r join enrollments e using (id)").await,
        2
    );
    dev.interrupt().await;
}

#[tokio::test]
async fn the_api_tries_an_enrollment_out_and_names_what_each_contact_lacks() {
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &[]).await;
    let mut api = dev.api().await;
    let body = json!({ "email": "ann@acme.example", "password": "correct horse", "name": "Ann", "company": "Acme" });
    let session = api.post("/api/v1/auth/signup", body).await.with(201);
    api.sign_in(&session);
    let made =
        api.ask("POST", "/api/v1/sequences", "application/toml", NEEDS_FIELDS).await.with(201);
    let path = format!("/api/v1/sequences/{}", made["id"].as_str().unwrap());
    api.post(&format!("{path}/activate"), json!({})).await.with(200);
    let mut ids = Vec::new();
    for new in [
        json!({ "email": "ada@lead.example", "first_name": "Ada" }),
        json!({ "email": "nameless@lead.example" }),
    ] {
        let contact = api.post("/api/v1/contacts", new).await.with(201);
        ids.push(contact["id"].clone());
    }
    let refused = json!([{
        "contact_id": ids[1],
        "reason": "missing_variable",
        "detail": "the text of template `hello` in step `hello` needs `contact.first_name`; \
                   fill it in, or write `| default(…)` after it",
    }]);
    let path = format!("{path}/enrollments");
    let dry = api.post(&path, json!({ "contact_ids": ids, "dry_run": true })).await.with(200);
    assert_eq!(dry, json!({ "enrolled": 1, "refused": refused, "enrollments": [] }));
    assert_eq!(dev.count("select count(*) from enrollments").await, 0);
    assert_eq!(
        dev.count("select count(*) from engine.outbox where topic = 'enrollment.created'").await,
        0
    );

    let done = api.post(&path, json!({ "contact_ids": ids })).await.with(201);
    assert_eq!((&done["enrolled"], &done["refused"]), (&json!(1), &refused));
    assert_eq!(dev.count("select count(*) from enrollments").await, 1);
    dev.interrupt().await;
}

#[tokio::test]
async fn a_version_that_was_stored_before_texts_were_checked_runs_and_can_be_gone_back_to() {
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &["--time-scale", "3600"]).await;
    sign_up(&mut dev, "acme").await;
    let right = "name = \"old\"\nsubject = \"contact\"\n[[steps]]\nid = \"note\"\ntype = \"activity.log\"\n\
                 title = \"Hi {{ contact.last_name | default('there') }}\"\n";
    let file = folder.write("old.toml", right);
    let file = file.to_str().unwrap();
    folder.run(&["workflows", "apply", file]).await.done();
    // As a binary that did not check texts kept it.
    sqlx::query(
        "update engine.definitions set document = jsonb_set(document, '{steps,0,title}',
           to_jsonb('Hi {{ contact.lst_name | default(''there'') }}'::text)), hash = sha256('older') where name = 'old'",
    )
    .execute(&dev.db)
    .await
    .unwrap();
    let contacts = folder.write("one.csv", "Email\nbo@lead.example\n");
    let args = ["enroll", contacts.to_str().unwrap(), "--sequence", "old", "--json"];
    assert_eq!(folder.run(&args).await.json()["enrolled"], 1);
    let noted = "select count(*) from activities where title = 'Hi there'";
    until("the old version to write", Duration::from_secs(60), || async {
        (dev.count(noted).await == 1).then_some(())
    })
    .await;

    // A new version is planned against it, applied, and gone back from.
    let plan = folder.run(&["workflows", "plan", file]).await;
    assert!(plan.out.contains("note"), "{plan:?}");
    folder.run(&["workflows", "apply", file]).await.done();
    let listed = folder.run(&["workflows", "versions", "old"]).await.done();
    assert!(listed.contains("current"), "{listed}");
    folder.run(&["workflows", "rollback", "old"]).await.done();
    let file = folder.write("worse.toml", &right.replace("last_name", "lst_name"));
    let refused = folder.run(&["workflows", "apply", file.to_str().unwrap()]).await;
    assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{refused:?}");
    assert!(refused.err.contains("did you mean `contact.last_name`?"), "{refused:?}");
    assert_eq!(dev.errors(), Vec::<String>::new());
    dev.interrupt().await;
}
