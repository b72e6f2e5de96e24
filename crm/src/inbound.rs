//! What comes in for a mail that went out: opened, clicked, answered, bounced, unsubscribed. One
//! transaction changes the message and the contact, tells of it, and signals the runs; once per cause.

use chrono::{DateTime, Utc};
use engine::outbox;
use engine::signal::{self, NewSignal, Target};
use engine::topic::Topic;
use engine::{id, run};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::address;
use crate::consumer;
use crate::contact;
use crate::event::email::{self as event, Bounce, Heard};
use crate::suppression::{self, NewSuppression, Reason, What};
use crate::unsubscription;

/// Names the consumer under which inbound causes are applied once.
const CONSUMER: &str = "inbound";

/// The actor of a bounce that an operator signals by a command.
const BY_COMMAND: &str = "cli";

/// What came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The mail was looked at.
    Opened,
    /// A link was followed.
    Clicked,
    /// A person answered.
    Replied,
    /// A machine answered.
    AutoReplied,
    /// There is no such mailbox.
    BouncedHard,
    /// The mailbox took nothing this time.
    BouncedSoft,
    /// The person wants no more mail.
    Unsubscribed,
}

/// Something that came in.
#[derive(Debug, Clone, PartialEq)]
pub struct Inbound {
    /// Names the cause; a second one of the same id changes nothing.
    pub id: Uuid,
    /// What came in.
    pub kind: Kind,
    /// The send that it answers.
    pub send_key: String,
    /// When it happened.
    pub at: DateTime<Utc>,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It was applied.
    Now,
    /// It had been applied before.
    Before,
    /// No mail of the customer has this key.
    NoSuchMessage,
}

/// The mail that something came in for.
struct Message {
    id: Uuid,
    contact_id: Uuid,
    enrollment_id: Option<Uuid>,
    step: Option<String>,
    recipient: String,
}

/// Applies something that came in.
///
/// # Errors
/// What the statements returned; the caller rolls back and tries again.
pub async fn apply(
    tx: &mut PgConnection,
    customer_id: Uuid,
    inbound: &Inbound,
) -> Result<Applied, sqlx::Error> {
    let Some(message) = find(tx, customer_id, &inbound.send_key).await? else {
        return Ok(Applied::NoSuchMessage);
    };
    if !consumer::first_time(tx, CONSUMER, inbound.id).await? {
        return Ok(Applied::Before);
    }
    // Runs, then the contact, then the message: the order in which an intent and a record lock them too.
    notify(tx, customer_id, inbound, &message).await?;
    match inbound.kind {
        Kind::Opened => observe(tx, customer_id, &inbound.send_key, &message, "opened").await?,
        Kind::Clicked => observe(tx, customer_id, &inbound.send_key, &message, "clicked").await?,
        Kind::Replied => observe(tx, customer_id, &inbound.send_key, &message, "replied").await?,
        Kind::AutoReplied | Kind::BouncedSoft => {}
        Kind::BouncedHard => {
            suppression::add(tx, customer_id, &message.recipient, Reason::Bounced).await?;
            contact::mark_bounced(tx, customer_id, message.contact_id).await?;
        }
        Kind::Unsubscribed => {
            let actor = format!("signal:{}", unsubscription::SIGNAL);
            unsubscription::end(tx, customer_id, message.contact_id, &actor, None).await?;
            suppression::add(tx, customer_id, &message.recipient, Reason::Unsubscribed).await?;
        }
    }
    let event_sequence = touch(tx, customer_id, inbound).await?;
    tell(tx, customer_id, inbound, &message, event_sequence).await?;
    Ok(Applied::Now)
}

/// Marks a contact as bounced and suppresses its address, for an operator who knows of it and signals [`BOUNCED`] by a
/// command. An id that is no contact's changes nothing.
///
/// # Errors
/// What the statements returned.
pub async fn mark_bounced(
    tx: &mut PgConnection,
    customer_id: Uuid,
    contact_id: Uuid,
) -> Result<(), sqlx::Error> {
    contact::mark_bounced(&mut *tx, customer_id, contact_id).await?;
    let Some(contact) = contact::find(&mut *tx, customer_id, contact_id).await? else {
        return Ok(());
    };
    let what = What::Email(address::stored(&contact.email));
    let entry = NewSuppression { what, reason: Reason::Bounced };
    suppression::add_all(tx, customer_id, &[entry], BY_COMMAND).await.map(drop)
}

async fn find(
    tx: &mut PgConnection,
    customer_id: Uuid,
    send_key: &str,
) -> Result<Option<Message>, sqlx::Error> {
    sqlx::query_as!(
        Message,
        "select id, contact_id, enrollment_id, step, recipient from emails
         where customer_id = $1 and send_key = $2",
        customer_id,
        send_key,
    )
    .fetch_optional(tx)
    .await
}

/// Changes the message's row, which stays locked; its event is counted where there will be one.
async fn touch(
    tx: &mut PgConnection,
    customer_id: Uuid,
    inbound: &Inbound,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        "update emails set opens = opens + $3::bool::int, clicks = clicks + $4::bool::int,
           replied_at = case when $5 then coalesce(replied_at, $6) else replied_at end,
           status = case when $7 then 'bounced' else status end,
           event_sequence = event_sequence + $8::bool::int, updated_at = engine.now()
         where customer_id = $1 and send_key = $2
         returning event_sequence",
        customer_id,
        inbound.send_key,
        inbound.kind == Kind::Opened,
        inbound.kind == Kind::Clicked,
        inbound.kind == Kind::Replied,
        inbound.at,
        inbound.kind == Kind::BouncedHard,
        topic(inbound.kind).is_some(),
    )
    .fetch_one(tx)
    .await
}

/// Lets later steps of the run read what came to be known.
async fn observe(
    tx: &mut PgConnection,
    customer_id: Uuid,
    send_key: &str,
    message: &Message,
    field: &str,
) -> Result<(), sqlx::Error> {
    let run_id = send_key.split('/').next().and_then(|run| id::read("run", run).ok());
    let (Some(run_id), Some(step)) = (run_id, &message.step) else { return Ok(()) };
    run::observe(tx, customer_id, run_id, step, field, json!(true)).await
}

fn topic(kind: Kind) -> Option<&'static Topic<Heard>> {
    match kind {
        Kind::Opened => Some(&event::OPENED),
        Kind::Clicked => Some(&event::CLICKED),
        Kind::Replied => Some(&event::REPLIED),
        Kind::BouncedHard | Kind::BouncedSoft => Some(&event::BOUNCED),
        // The contact tells of it.
        Kind::Unsubscribed => None,
        Kind::AutoReplied => None,
    }
}

async fn tell(
    tx: &mut PgConnection,
    customer_id: Uuid,
    inbound: &Inbound,
    message: &Message,
    event_sequence: i64,
) -> Result<(), sqlx::Error> {
    let Some(topic) = topic(inbound.kind) else { return Ok(()) };
    let bounce = match inbound.kind {
        Kind::BouncedHard => Some(Bounce::Hard),
        Kind::BouncedSoft => Some(Bounce::Soft),
        Kind::Opened | Kind::Clicked | Kind::Replied | Kind::AutoReplied | Kind::Unsubscribed => {
            None
        }
    };
    let key = id::show("msg", message.id);
    let told = Heard {
        message_id: key.clone(),
        contact_id: id::show("con", message.contact_id),
        enrollment_id: message.enrollment_id.map(|enrollment| id::show("enr", enrollment)),
        step: message.step.clone(),
        bounce,
    };
    outbox::publish(tx, &[topic.event(customer_id, key, event_sequence, &told)]).await
}

/// Signals the contact's runs.
async fn notify(
    tx: &mut PgConnection,
    customer_id: Uuid,
    inbound: &Inbound,
    message: &Message,
) -> Result<(), sqlx::Error> {
    let name = match inbound.kind {
        Kind::Opened => "email.opened",
        Kind::Clicked => "email.clicked",
        Kind::Replied => "email.replied",
        Kind::AutoReplied => "email.auto_replied",
        Kind::BouncedHard => BOUNCED,
        Kind::BouncedSoft => "email.bounced.soft",
        Kind::Unsubscribed => unsubscription::SIGNAL,
    };
    let signal = NewSignal {
        customer_id,
        target: Target::Subject(message.contact_id),
        name: name.into(),
        key: inbound.id.to_string(),
        data: json!({ "message_id": id::show("msg", message.id), "step": message.step }),
    };
    signal::send(tx, &[signal]).await?;
    Ok(())
}

/// The signal of an address that takes no mail.
pub const BOUNCED: &str = "email.bounced.hard";

/// The names of the signals that come from mail.
pub const SIGNALS: &[&str] = &[
    "email.opened",
    "email.clicked",
    "email.replied",
    "email.auto_replied",
    BOUNCED,
    "email.bounced.soft",
    unsubscription::SIGNAL,
];
