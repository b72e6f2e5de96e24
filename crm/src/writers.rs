//! What the domain writes when the engine records a step: one writer per kind of fact, called with a whole
//! batch inside the record's transaction. No statements of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use engine::fact::{FactWriter, FactWriters, RUN_CHANGED, RUN_FORGOTTEN, RunFact};
use engine::run::State;
use engine::topic::schema_name;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::activity::{self, About, Kind, NewActivity};
use crate::consumer;
use crate::contact::{self, Change, Changing};
use crate::engagement::{self, NewFact};
use crate::enrollment::{self, Told, What};
use crate::event::enrollment::{self as event, Publishing};
use crate::message::{self, Accepted, End, Failed, Intended, Intent, Sent};
use crate::own_run;
use crate::password_link::{self, MailedLink};
use crate::task::{self, NewTask, Priority};
use crate::webhook::{self, Answered};

/// A mail was accepted; data: [`Sent`].
pub const MESSAGE_SENT: &str = "message.sent";
/// Something is to stand in the timeline; data: [`LoggedActivity`].
pub const ACTIVITY_LOGGED: &str = "activity.logged";
/// A person has something to do; data: [`CreatedTask`].
pub const TASK_CREATED: &str = "task.created";
/// An event of the workflow's own; data: [`PublishedEvent`].
pub const EVENT_PUBLISHED: &str = "event.published";

/// A contact is to be changed; data: [`Change`].
pub const CONTACT_UPDATED: &str = "contact.updated";
/// A contact's score is to be moved; data: [`AdjustedScore`].
pub const SCORE_ADJUSTED: &str = "score.adjusted";

/// A link was mailed by which a user sets their password; data: [`MailedLink`].
pub const PASSWORD_LINK_SENT: &str = "password.link_sent";

/// A delivery to a webhook, the run's subject, has ended; data: [`Answered`].
pub const WEBHOOK_ANSWERED: &str = "webhook.answered";

/// The data of [`SCORE_ADJUSTED`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdjustedScore {
    /// How many points; fewer than none takes away.
    pub points: i32,
    /// Why, in words that people read.
    pub reason: String,
}

/// The data of [`ACTIVITY_LOGGED`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoggedActivity {
    /// What kind.
    pub kind: Kind,
    /// One line.
    pub title: String,
    /// More.
    pub body: Option<String>,
}

/// The data of [`TASK_CREATED`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CreatedTask {
    /// `call`, `linkedin`, or what the workflow calls it.
    pub kind: String,
    /// What to do.
    pub title: String,
    /// Until when.
    pub due_at: Option<DateTime<Utc>>,
    /// Names the cause.
    pub key: String,
}

/// The data of [`EVENT_PUBLISHED`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PublishedEvent {
    /// Such as `lead.warm`.
    pub topic: String,
    /// The schema that its data follow, such as `lead-warm:2`; the first one of its topic where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// What it tells.
    pub data: Value,
}

/// All writers of this crate, who admits sends, and whom an operation reaches.
pub fn all() -> FactWriters {
    FactWriters::new()
        .writer(Arc::new(Writer { kind: MESSAGE_SENT, write: |tx, facts| sent(tx, facts).boxed() }))
        .writer(Arc::new(Writer {
            kind: ACTIVITY_LOGGED,
            write: |tx, facts| logged(tx, facts).boxed(),
        }))
        .writer(Arc::new(Writer {
            kind: TASK_CREATED,
            write: |tx, facts| tasks(tx, facts).boxed(),
        }))
        .writer(Arc::new(Writer {
            kind: CONTACT_UPDATED,
            write: |tx, facts| updated(tx, facts).boxed(),
        }))
        .writer(Arc::new(Writer {
            kind: SCORE_ADJUSTED,
            write: |tx, facts| adjusted(tx, facts).boxed(),
        }))
        .writer(Arc::new(Writer {
            kind: EVENT_PUBLISHED,
            write: |tx, facts| published(tx, facts).boxed(),
        }))
        .writer(Arc::new(Writer {
            kind: PASSWORD_LINK_SENT,
            write: |tx, facts| linked(tx, facts).boxed(),
        }))
        .writer(Arc::new(Writer {
            kind: WEBHOOK_ANSWERED,
            write: |tx, facts| delivered(tx, facts).boxed(),
        }))
        .writer(Arc::new(Writer {
            kind: RUN_FORGOTTEN,
            write: |tx, facts| enrollment::forget(tx, facts).boxed(),
        }))
        .writer(Arc::new(Writer {
            kind: RUN_CHANGED,
            write: |tx, facts| changed(tx, facts).boxed(),
        }))
        .intents(Arc::new(|tx, intents| admit(tx, intents).boxed()))
        .operations(Arc::new(|tx, customer_id, ordered_by, run_ids| {
            enrollment::reached_by(tx, customer_id, ordered_by, run_ids).boxed()
        }))
}

/// How the facts of a kind are written.
type Write =
    for<'a> fn(&'a mut PgConnection, &'a [RunFact]) -> BoxFuture<'a, Result<(), sqlx::Error>>;

struct Writer {
    kind: &'static str,
    write: Write,
}

impl FactWriter for Writer {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn write<'a>(
        &'a self,
        tx: &'a mut PgConnection,
        facts: &'a [RunFact],
    ) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        (self.write)(tx, facts)
    }
}

fn read<T: DeserializeOwned>(fact: &RunFact) -> Result<T, sqlx::Error> {
    serde_json::from_value(fact.data.clone()).map_err(|error| {
        sqlx::Error::Protocol(format!("the data of a fact can't be read: {error}"))
    })
}

async fn admit(
    tx: &mut PgConnection,
    intents: &[RunFact],
) -> Result<Vec<Option<String>>, sqlx::Error> {
    let mut intended = Vec::with_capacity(intents.len());
    for fact in intents {
        intended.push(Intended {
            customer_id: fact.customer_id,
            contact_id: fact.subject_id,
            run_id: fact.root_run_id,
            step: fact.step.clone(),
            intent: read::<Intent>(fact)?,
        });
    }
    message::admit(tx, &intended).await
}

async fn sent(tx: &mut PgConnection, facts: &[RunFact]) -> Result<(), sqlx::Error> {
    let mut accepted = Vec::with_capacity(facts.len());
    for fact in facts {
        let sent = read::<Sent>(fact)?;
        accepted.push(Accepted { customer_id: fact.customer_id, at: fact.at, sent });
    }
    message::mark_sent(tx, &accepted).await
}

async fn logged(tx: &mut PgConnection, facts: &[RunFact]) -> Result<(), sqlx::Error> {
    let mut activities = Vec::with_capacity(facts.len());
    for fact in facts {
        let logged = read::<LoggedActivity>(fact)?;
        activities.push(NewActivity {
            customer_id: fact.customer_id,
            kind: logged.kind,
            title: logged.title,
            body: logged.body,
            about: About::contact(fact.subject_id),
            actor: format!("workflow:{}", fact.step),
            occurred_at: fact.at,
            data: json!({}),
            source: Some(format!("run:{}/{}", fact.run_id, fact.seq)),
        });
    }
    activity::log(tx, &activities).await.map(drop)
}

async fn updated(tx: &mut PgConnection, facts: &[RunFact]) -> Result<(), sqlx::Error> {
    let mut changing = Vec::with_capacity(facts.len());
    for fact in facts {
        changing.push(Changing {
            customer_id: fact.customer_id,
            contact_id: fact.subject_id,
            change: read::<Change>(fact)?,
        });
    }
    contact::change(tx, &changing, "workflow").await.map(drop)
}

async fn adjusted(tx: &mut PgConnection, facts: &[RunFact]) -> Result<(), sqlx::Error> {
    let mut given = Vec::with_capacity(facts.len());
    for fact in facts {
        let AdjustedScore { points, reason } = read::<AdjustedScore>(fact)?;
        let id = consumer::id_of(&format!("score/{}", fact.key()));
        let whose = (fact.customer_id, fact.subject_id);
        given.push(NewFact::given(whose, id, (points, reason), fact.at));
    }
    engagement::note(tx, &given).await
}

async fn linked(tx: &mut PgConnection, facts: &[RunFact]) -> Result<(), sqlx::Error> {
    for fact in facts {
        password_link::keep(&mut *tx, fact.customer_id, &read::<MailedLink>(fact)?).await?;
    }
    Ok(())
}

async fn delivered(tx: &mut PgConnection, facts: &[RunFact]) -> Result<(), sqlx::Error> {
    let mut ends = Vec::with_capacity(facts.len());
    for fact in facts {
        ends.push((fact.customer_id, fact.subject_id, read::<Answered>(fact)?));
    }
    webhook::answered(tx, &ends).await
}

async fn tasks(tx: &mut PgConnection, facts: &[RunFact]) -> Result<(), sqlx::Error> {
    let mut tasks = Vec::with_capacity(facts.len());
    for fact in facts {
        let created = read::<CreatedTask>(fact)?;
        tasks.push(NewTask {
            customer_id: fact.customer_id,
            about: About::contact(fact.subject_id),
            enrollment_id: Some(fact.root_run_id),
            kind: created.kind,
            title: created.title,
            body: None,
            due_at: created.due_at,
            assignee_id: None,
            priority: Priority::Normal,
            actor: format!("workflow:{}", fact.step),
            source: created.key,
        });
    }
    task::create(tx, &tasks).await.map(drop)
}

async fn published(tx: &mut PgConnection, facts: &[RunFact]) -> Result<(), sqlx::Error> {
    let mut told = Vec::with_capacity(facts.len());
    for fact in facts {
        let PublishedEvent { topic, schema, data } = read::<PublishedEvent>(fact)?;
        let schema = schema.unwrap_or_else(|| schema_name(&topic, 1));
        let what = What::Published(Publishing { topic, schema, data });
        told.push((fact.customer_id, Told { id: fact.root_run_id, what }));
    }
    tell(tx, told).await
}

/// Tells of enrollments, customer by customer.
async fn tell(tx: &mut PgConnection, told: Vec<(Uuid, Told)>) -> Result<(), sqlx::Error> {
    let mut by_customer: BTreeMap<Uuid, Vec<Told>> = BTreeMap::new();
    for (customer_id, told) in told {
        by_customer.entry(customer_id).or_default().push(told);
    }
    for (customer_id, told) in by_customer {
        enrollment::tell(tx, customer_id, told).await?;
    }
    Ok(())
}

/// Tells what became of runs that are enrollments.
async fn changed(tx: &mut PgConnection, facts: &[RunFact]) -> Result<(), sqlx::Error> {
    let mut told = Vec::new();
    let mut failed = Vec::new();
    end_records(&mut *tx, facts).await?;
    for fact in facts {
        let topic = match fact.data.get("change").and_then(Value::as_str) {
            Some("step_completed") => &event::STEP_COMPLETED,
            Some("completed") => &event::COMPLETED,
            Some("paused") => &event::PAUSED,
            Some("resumed") => &event::RESUMED,
            Some("cancelled") => &event::EXITED,
            Some("exited") => {
                failed.push(failure(fact, End::Cancelled));
                &event::EXITED
            }
            Some("held") => &event::HELD,
            Some("step_failed") => {
                failed.push(failure(fact, End::Failed));
                continue;
            }
            Some(_) | None => continue,
        };
        let reason = fact.data.get("reason").and_then(Value::as_str).map(str::to_owned);
        let change = event::Change { step: Some(fact.step.clone()), reason, actor: None };
        let what = What::Changed(topic, change);
        told.push((fact.customer_id, Told { id: fact.run_id, what }));
    }
    tell(tx, told).await?;
    message::mark_failed(tx, &failed).await
}

/// Ends the records of runs that a person ended. Those that ended by themselves have said what became of their record.
async fn end_records(tx: &mut PgConnection, facts: &[RunFact]) -> Result<(), sqlx::Error> {
    let mut ended: BTreeMap<Uuid, Vec<(Uuid, State)>> = BTreeMap::new();
    for fact in facts.iter().filter(|fact| fact.data.get("actor").is_some()) {
        let state = match fact.data.get("change").and_then(Value::as_str) {
            Some("completed") => State::Completed,
            Some("exited") => State::Exited,
            Some("cancelled") => State::Cancelled,
            Some(_) | None => continue,
        };
        ended.entry(fact.customer_id).or_default().push((fact.run_id, state));
    }
    for (customer_id, runs) in ended {
        own_run::end_records(&mut *tx, customer_id, &runs).await?;
    }
    Ok(())
}

/// The send of a step that failed, or at which its run ended; where there is none, nothing is written.
fn failure(fact: &RunFact, end: End) -> Failed {
    Failed {
        customer_id: fact.customer_id,
        send_key: fact.key(),
        reason: fact.data["reason"].as_str().unwrap_or_default().to_owned(),
        end: if fact.data["unknown"] == true { End::Unknown } else { end },
    }
}
