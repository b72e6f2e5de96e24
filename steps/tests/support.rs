//! What the tests of steps share: contexts made by hand, and a mock mailbox over a database of their own.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use crm::vault::Vault;
use engine::clock;
use engine::context::{Context, Parts};
use engine::definition::{Definition, Format, read};
use engine::step::{Outcome, StepError, Wake};
use engine::timing::Zone;
use serde_json::{Value, json};
use sqlx::postgres::PgPoolOptions;
use steps::{AllowedHosts, Http, Mailboxes, Services, Webhooks};
use uuid::Uuid;

/// Services of a test that asks no database.
pub(crate) fn services_without_database() -> Services {
    let db = PgPoolOptions::new()
        .connect_lazy("postgres://nobody@127.0.0.1:1/none")
        .expect("the address can be read");
    let mailboxes = Mailboxes { data_dir: PathBuf::new(), seed: 1 };
    let webhooks = Webhooks { http: Http::anywhere(true), vault: Vault::default() };
    Services {
        db,
        mailboxes,
        system_mail: None,
        http: Http::new(AllowedHosts::default()),
        webhooks,
    }
}

/// A definition of these steps and templates.
pub(crate) fn definition(services: &Services, body: &str) -> Arc<Definition> {
    let source = format!("name = \"test\"\ntitle = \"Test\"\nsubject = \"contact\"\n{body}");
    match read("test.toml", &source, Format::Toml, &steps::registry(services)) {
        Ok(definition) => Arc::new(definition),
        Err(refusals) => panic!("{refusals}"),
    }
}

/// Why a definition of these steps is refused.
pub(crate) fn refusal(body: &str) -> String {
    let source = format!("name = \"test\"\ntitle = \"Test\"\nsubject = \"contact\"\n{body}");
    let registry = steps::registry(&services_without_database());
    match read("test.toml", &source, Format::Toml, &registry) {
        Ok(_) => panic!("this is refused"),
        Err(refusals) => refusals.to_string(),
    }
}

/// Tuesday, 24 November 2026, 10:00 UTC.
pub(crate) fn now() -> DateTime<Utc> {
    "2026-11-24T10:00:00Z".parse().expect("an instant")
}

/// The parts of the first step's context, about a contact called Ada.
pub(crate) fn parts(definition: &Arc<Definition>) -> Parts {
    let contact = json!({
        "first_name": "Ada", "last_name": "Byron", "email": "ada@example.com", "title": "VP Sales", "score": 4,
    });
    Parts {
        run_id: clock::new_id(),
        root_run_id: clock::new_id(),
        customer_id: clock::new_id(),
        subject_id: clock::new_id(),
        definition: Arc::clone(definition),
        step: 0,
        iteration: 0,
        attempt: 1,
        now: now(),
        zone: Zone::utc(),
        outputs: std::sync::Arc::default(),
        observed: None,
        wake: None,
        load_subject: Arc::new(move |_: Uuid, _: Uuid| {
            let contact: Value = contact.clone();
            Box::pin(async move { Ok(Some(contact)) })
        }),
        seen: 0,
        intents: None,
    }
}

/// Runs the step that the parts name.
pub(crate) async fn run(parts: Parts) -> Result<Outcome, StepError> {
    let step = Arc::clone(&parts.definition.steps[parts.step].step);
    step.run(&Context::new(parts)).await
}

/// The parts as they are once the step is woken.
pub(crate) fn woken(parts: &Parts, wake: Wake) -> Parts {
    Parts { wake: Some(wake), ..parts.clone() }
}
