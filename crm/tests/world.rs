//! What the tests share: a customer with an active sequence of one step, and contacts.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use crm::contact::{self, Contact, NewContact};
use crm::enrollment::{self, EnrollReport, NewEnrollments, Sender, enroll};
use crm::sequence::{self, Existing, Sequence};
use engine::clock;
use engine::context::Context;
use engine::definition::{Definition, Format, read};
use engine::definition_store::Definitions;
use engine::run::Action;
use engine::step::{Effect, Outcome, Registry, Step, StepError, StepType, Subject};
use futures_util::future::BoxFuture;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::database::{TestDatabase, database};

struct Rest;

impl Step for Rest {
    fn run<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        Box::pin(async { Ok(Outcome::default()) })
    }
}

/// Knows one step type and the signals of mail.
pub(crate) fn registry() -> Registry {
    let rest = StepType {
        name: "rest",
        effect: Effect::Pure,
        timeout: Duration::from_secs(1),
        windowed: false,
        limits: &[],
        outputs: &[],
        example: "",
        schema: || schemars::json_schema!({ "type": "object", "properties": {} }),
        parse: Arc::new(|_| Ok(Arc::new(Rest))),
    };
    let load = Arc::new(|_, _| -> BoxFuture<'static, _> { Box::pin(async { Ok(None) }) });
    let contact = Subject { name: "contact", fields: contact::FIELDS, load };
    let registry = Registry::new().step(rest).subject(contact).signal(crm::task::COMPLETED);
    crm::inbound::SIGNALS.iter().fold(registry, |registry, signal| registry.signal(signal))
}

/// A customer of a database of its own.
pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) customer_id: Uuid,
    pub(crate) sequence: Sequence,
    pub(crate) definition: Definition,
    /// The database's instant when the customer was made: facts of a fixed date would depend on today.
    pub(crate) began_at: DateTime<Utc>,
}

/// A customer in Berlin with an active sequence; `keys` are put on top of its document.
pub(crate) async fn world(keys: &str) -> World {
    let database = database().await;
    let customer_id = clock::new_id();
    let source = format!(
        "name = \"intro\"\ntitle = \"Intro\"\nsubject = \"contact\"\n{keys}\n\
         [exit]\non = [\"email.replied\"]\n[[steps]]\nid = \"first\"\ntype = \"rest\"\n"
    );
    let definition = match read("intro.toml", &source, Format::Toml, &registry()) {
        Ok(definition) => definition,
        Err(refusals) => panic!("{refusals}"),
    };
    let mut tx = database.pool.begin().await.unwrap();
    crm::customer::create(&mut *tx, customer_id, "Acme Ltd.", "Europe/Berlin").await.unwrap();
    let kept = sequence::keep(&mut tx, customer_id, &definition, &source, Existing::Refuse).await;
    let id = kept.unwrap().id;
    let sequence = sequence::activate(&mut *tx, customer_id, id).await.unwrap().unwrap();
    let began_at = clock::now(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    World { database, customer_id, sequence, definition, began_at }
}

impl World {
    pub(crate) fn pool(&self) -> &PgPool {
        &self.database.pool
    }

    /// A contact with this address.
    pub(crate) async fn contact(&self, email: &str) -> Contact {
        let mut tx = self.pool().begin().await.unwrap();
        let new = NewContact { email: email.into(), ..nobody() };
        let made = contact::create(&mut tx, self.customer_id, new).await.unwrap();
        tx.commit().await.unwrap();
        made
    }

    /// Enrolls through the customer's mailbox, a mock one where there is none.
    pub(crate) async fn enroll(&self, contact_ids: &[Uuid]) -> EnrollReport {
        let mut tx = self.pool().begin().await.unwrap();
        let report = self.enroll_in(&mut tx, contact_ids, Sender::DefaultOrMock).await;
        tx.commit().await.unwrap();
        report
    }

    pub(crate) async fn enroll_in(
        &self,
        tx: &mut PgConnection,
        contact_ids: &[Uuid],
        sender: Sender,
    ) -> EnrollReport {
        let new = NewEnrollments {
            sequence: &self.sequence,
            definition: &self.definition,
            contact_ids,
            sender,
            actor: "test".into(),
            start_at: None,
        };
        enroll(tx, self.customer_id, new).await.unwrap()
    }

    /// Runs a statement that names the customer as `$1`.
    pub(crate) async fn execute(&self, statement: &'static str) {
        sqlx::query(statement).bind(self.customer_id).execute(self.pool()).await.unwrap();
    }

    /// Topic and sequence of every event of an entity, in the outbox's order.
    pub(crate) async fn events(&self, key: &str) -> Vec<(String, i64)> {
        sqlx::query_as("select topic, sequence from engine.outbox where key = $1 order by seq")
            .bind(key)
            .fetch_all(self.pool())
            .await
            .unwrap()
    }

    /// The number that a statement gives which names the customer as `$1`.
    pub(crate) async fn count(&self, statement: &'static str) -> i64 {
        sqlx::query_scalar(statement).bind(self.customer_id).fetch_one(self.pool()).await.unwrap()
    }

    /// Does what a person wants of an enrollment.
    pub(crate) async fn act(&self, run: Uuid, action: Action) {
        let definitions = Definitions::new(registry());
        let mut tx = self.pool().begin().await.unwrap();
        enrollment::act(&mut tx, &definitions, self.customer_id, &[run], &action, "test")
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }
}

/// A contact of whom nothing is known.
pub(crate) fn nobody() -> NewContact {
    NewContact::default()
}
