//! A messy file of contacts on its way into a sequence, by the command line.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::salesos::{Dev, Folder, Said, repository, said};

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
