//! `email.send` through a mock mailbox and a database: what leaves, what does not, what a crash finds.

use std::path::PathBuf;
use std::sync::Arc;

use crm::contact::{self, NewContact};
use crm::enrollment::{NewEnrollments, Sender, enroll};
use crm::sequence::{self, Existing};
use engine::clock;
use engine::context::{Context, Parts};
use engine::definition::Definition;
use engine::fact::RunFact;
use engine::step::{Outcome, Reconciled, StepError};
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use steps::{Mailboxes, Services};
use uuid::Uuid;

use crate::database::{TestDatabase, database};
use crate::support::{definition, now, parts, run, services_without_database};

const STEPS: &str = r#"
[[steps]]
id = "intro"
type = "email.send"
template = "intro"
variants = [{ id = "a", subject = "For {{ contact.first_name }}" }, { id = "b", subject = "Hello" }]
[[steps]]
id = "bump"
type = "email.send"
template = "bump"
thread = "intro"
[[steps]]
id = "broken"
type = "email.send"
template = "broken"
when = "steps.intro.clicked"
[[steps]]
id = "second"
type = "email.send"
template = "bump"
thread = "bump"
[[steps]]
id = "own"
type = "email.send"
template = "own"
thread = "bump"
[templates.intro]
text = "Hi {{ contact.first_name | default('there') }}"
[templates.bump]
text = "Did you see it?"
[templates.own]
subject = "A subject of my own"
text = "Did you see that?"
[templates.broken]
subject = "Hello"
text = "{{ contact.custom.nothing }}"
"#;

/// An enrollment whose steps are run by hand.
struct Sending {
    database: TestDatabase,
    db: PgPool,
    folder: PathBuf,
    parts: Parts,
}

async fn sending() -> Sending {
    let database = database().await;
    let folder = std::env::temp_dir().join(format!("mail_{}", clock::new_id().simple()));
    let mailboxes = Mailboxes { data_dir: folder.clone(), seed: 1 };
    // The steps' own connections, which a test may take away.
    let db = PgPoolOptions::new().connect_lazy_with(database.options.clone());
    let services = Services { db: db.clone(), mailboxes, ..services_without_database() };
    let definition = definition(&services, STEPS);
    let parts = enrolled(&database, &definition).await;
    Sending { database, db, folder, parts }
}

async fn enrolled(database: &TestDatabase, definition: &Arc<Definition>) -> Parts {
    let customer_id = clock::new_id();
    let mut tx = database.pool.begin().await.unwrap();
    crm::customer::create(&mut *tx, customer_id, "Acme", "UTC").await.unwrap();
    let kept =
        sequence::keep(&mut tx, customer_id, definition, "", Existing::Refuse).await.unwrap();
    let kept = sequence::activate(&mut *tx, customer_id, kept.id).await.unwrap().unwrap();
    let ada = NewContact {
        email: "ada@example.com".into(),
        first_name: "Ada".into(),
        ..NewContact::default()
    };
    let contact = contact::create(&mut tx, customer_id, ada).await.unwrap();
    let new = NewEnrollments {
        sequence: &kept,
        definition,
        contact_ids: &[contact.id],
        sender: Sender::DefaultOrMock,
        actor: "test".into(),
        start_at: None,
    };
    let run_id = enroll(&mut tx, customer_id, new).await.unwrap().enrollment_ids[0];
    tx.commit().await.unwrap();
    Parts { run_id, root_run_id: run_id, customer_id, subject_id: contact.id, ..parts(definition) }
}

impl Sending {
    fn at(&self, step: usize) -> Parts {
        Parts { step, ..self.parts.clone() }
    }

    /// The texts of all mail that left, in order.
    fn mails(&self) -> Vec<String> {
        let Ok(files) = std::fs::read_dir(self.folder.join("mail").join("sales@acme.example"))
        else {
            return Vec::new();
        };
        let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
    }

    /// The intent that a step of this run writes before it sends.
    async fn intent(&self, step: &str) -> Value {
        let find = "select mailbox_id from enrollments where id = $1";
        let mailbox_id: Uuid = sqlx::query_scalar(find)
            .bind(self.parts.run_id)
            .fetch_one(&self.database.pool)
            .await
            .unwrap();
        json!({
            "send_key": format!("{}/{step}/0", engine::id::show("run", self.parts.run_id)),
            "mailbox_id": mailbox_id, "subject": "Hello", "sender": "sales@acme.example",
            "recipient": "ada@example.com", "message_id": "<1@acme.example>", "variant": null,
        })
    }

    /// Writes down that a step's mail left, as the worker does.
    async fn record(&self, step: &str, outcome: Outcome) {
        let fact = |data: Value| RunFact {
            run_id: self.parts.run_id,
            root_run_id: self.parts.run_id,
            customer_id: self.parts.customer_id,
            subject_id: self.parts.subject_id,
            step: step.into(),
            iteration: 0,
            seq: 1,
            at: now(),
            data,
        };
        let writers = crm::writers::all();
        let mut tx = self.database.pool.begin().await.unwrap();
        writers.admit(&mut tx, &[fact(self.intent(step).await)]).await.unwrap();
        let told = outcome.facts.into_iter().map(|told| (told.kind, fact(told.data))).collect();
        writers.write(&mut tx, told).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn finish(self) {
        if self.folder.exists() {
            std::fs::remove_dir_all(&self.folder).unwrap();
        }
        self.db.close().await;
        self.database.drop().await;
    }
}

#[tokio::test]
async fn a_mail_leaves_with_its_key_and_is_answered_in_its_thread() {
    let sending = sending().await;
    let outcome = run(sending.at(0)).await.unwrap();
    let variant = outcome.output.clone().unwrap()["variant"].clone();
    assert!(variant == "a" || variant == "b", "{variant}");
    let mails = sending.mails();
    let key = format!("X-Send-Key: {}/intro/0", engine::id::show("run", sending.parts.run_id));
    assert!(mails.len() == 1 && mails[0].contains(&key), "{mails:?}");
    let message_id = outcome.facts[0].data["message_id"].as_str().unwrap().to_owned();
    sending.record("intro", outcome).await;
    run(sending.at(1)).await.unwrap();
    let mails = sending.mails();
    let bump = mails.iter().find(|mail| mail.contains("Did you see it?")).unwrap();
    assert!(bump.contains("Subject: Re: Hello"), "{bump}");
    assert!(bump.contains(&format!("In-Reply-To: {message_id}")), "{bump}");
    sending.finish().await;
}

#[tokio::test]
async fn the_same_run_gets_the_same_variant() {
    let sending = sending().await;
    let first = run(sending.at(0)).await.unwrap().output;
    assert_eq!(run(sending.at(0)).await.unwrap().output, first);
    let mut seen = Vec::new();
    for _ in 0..32 {
        let other = Parts { subject_id: clock::new_id(), ..sending.at(0) };
        seen.push(run(other).await.unwrap().output.unwrap()["variant"].clone());
    }
    assert!(seen.contains(&json!("a")) && seen.contains(&json!("b")));
    sending.finish().await;
}

#[tokio::test]
async fn a_mail_with_a_hole_fails_and_never_leaves() {
    let sending = sending().await;
    let error = run(sending.at(2)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the text of template `broken` in step `broken` needs `contact.custom.nothing`, which this contact lacks; \
         fill it in or write `| default(…)` after it"
    );
    assert_eq!(sending.mails(), Vec::<String>::new());
    sending.finish().await;
}

#[tokio::test]
async fn after_a_crash_the_mailbox_says_whether_the_mail_left() {
    let sending = sending().await;
    let intent = sending.intent("intro").await;
    let step = Arc::clone(&sending.parts.definition.steps[0].step);
    let before = step.reconcile(&Context::new(sending.at(0)), &intent).await.unwrap();
    assert_eq!(before, Reconciled::DidNotHappen);
    let sent = run(sending.at(0)).await.unwrap();
    let after = step.reconcile(&Context::new(sending.at(0)), &intent).await.unwrap();
    let Reconciled::Happened(found) = after else { panic!("the mail left: {after:?}") };
    assert_eq!(found.facts, sent.facts);
    assert_eq!(sending.mails().len(), 1);
    sending.finish().await;
}

#[tokio::test]
async fn a_run_without_a_mailbox_fails_and_a_database_that_is_away_is_tried_again() {
    let sending = sending().await;
    let stray = run(Parts { root_run_id: clock::new_id(), ..sending.at(0) }).await;
    assert!(matches!(stray, Err(StepError::Fail { .. })), "{stray:?}");
    sending.db.close().await;
    let away = run(sending.at(0)).await;
    assert!(matches!(away, Err(StepError::Retry { .. })), "{away:?}");
    sending.finish().await;
}

#[tokio::test]
async fn after_a_skipped_mail_the_thread_goes_back_to_the_mail_before_it() {
    let sending = sending().await;
    let outcome = run(sending.at(0)).await.unwrap();
    let message_id = outcome.facts[0].data["message_id"].as_str().unwrap().to_owned();
    sending.record("intro", outcome).await;
    // `second` answers `bump`, which was skipped, so it answers what `bump` was to answer.
    run(sending.at(3)).await.unwrap();
    let mails = sending.mails();
    let second = mails.iter().find(|mail| mail.contains("Did you see it?")).unwrap();
    assert!(second.contains("Subject: Re: Hello"), "{second}");
    assert!(second.contains(&format!("In-Reply-To: {message_id}")), "{second}");
    sending.finish().await;
}

#[tokio::test]
async fn a_thread_whose_first_mail_was_skipped_begins_with_the_templates_own_subject_or_says_what_to_do()
 {
    let sending = sending().await;
    let error = run(sending.at(1)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "step `intro`, whose mail this one answers, sent none, and the template `bump` has no subject of its own; \
         skip step `bump` as well, or apply a version with `subject` below `[templates.bump]` and retry"
    );
    assert_eq!(sending.mails(), Vec::<String>::new());
    run(sending.at(4)).await.unwrap();
    let mails = sending.mails();
    assert!(mails.len() == 1 && mails[0].contains("Subject: A subject of my own"), "{mails:?}");
    assert!(!mails[0].contains("In-Reply-To"), "{mails:?}");
    sending.finish().await;
}
