//! Messages: the mails that went out. Owns `emails`. The row is written in the transaction of the send's
//! intent, before any provider is asked, and settled in the transaction that records the step.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use engine::outbox::{self, NewEvent};
use engine::{clock, id};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::address;
use crate::event::email as event;

/// A send that is about to be made; the data of its intent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// Names the send: run, step, iteration.
    pub send_key: String,
    /// Through which mailbox.
    pub mailbox_id: Uuid,
    /// The subject line.
    pub subject: String,
    /// The sender's address.
    pub sender: String,
    /// The recipient's address.
    pub recipient: String,
    /// The RFC 5322 Message-ID that the mail will carry.
    pub message_id: String,
    /// The variant that was drawn.
    pub variant: Option<String>,
}

/// A send that a provider accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sent {
    /// Names the send.
    pub send_key: String,
    /// What the provider calls the message.
    pub provider_id: String,
    /// The Message-ID that it carries.
    pub message_id: String,
    /// What the provider calls the thread.
    pub thread_id: String,
}

/// What a later mail of a thread needs to know of an earlier one.
#[derive(Debug, Clone, PartialEq)]
pub struct Thread {
    /// Its subject.
    pub subject: String,
    /// Its Message-ID.
    pub message_id: String,
    /// What the provider calls its thread.
    pub thread_id: Option<String>,
    /// The Message-IDs of the thread up to and with it, oldest first.
    pub references: Vec<String>,
}

/// A send's intent with whose it is.
pub(crate) struct Intended {
    pub(crate) customer_id: Uuid,
    pub(crate) contact_id: Uuid,
    /// The first run of the line that sends: an enrollment's, where one sends.
    pub(crate) run_id: Uuid,
    pub(crate) step: String,
    pub(crate) intent: Intent,
}

/// Looks whether sends may be made and writes the rows of those that may. One answer each, in their order:
/// `None` lets it, a reason refuses it.
pub(crate) async fn admit(
    tx: &mut PgConnection,
    intended: &[Intended],
) -> Result<Vec<Option<String>>, sqlx::Error> {
    let customers: Vec<Uuid> = intended.iter().map(|send| send.customer_id).collect();
    let contacts: Vec<Uuid> = intended.iter().map(|send| send.contact_id).collect();
    let recipients: Vec<String> =
        intended.iter().map(|send| send.intent.recipient.clone()).collect();
    let scripts: Vec<Option<String>> =
        recipients.iter().map(|recipient| address::in_script(recipient)).collect();
    let mailboxes: Vec<Uuid> = intended.iter().map(|send| send.intent.mailbox_id).collect();
    let keys: Vec<String> = intended.iter().map(|send| send.intent.send_key.clone()).collect();
    // The share lock makes an unsubscription that comes at the same moment wait, or come first.
    let judged = sqlx::query!(
        r#"with asked as (
             select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::text[]) with ordinality
               as a(customer_id, contact_id, recipient, mailbox_id, send_key, in_script, place)
           )
           select a.place as "place!", c.status,
             crm.is_suppressed(a.customer_id, a.recipient)
               or (a.in_script is not null and crm.is_suppressed(a.customer_id, a.in_script)) as "suppressed!",
             exists (select from emails e where e.customer_id = a.customer_id and e.send_key = a.send_key
               and (e.sent_at is not null or e.status = 'bounced')) as "sent!",
             m.status as mailbox
           from asked a
           join contacts c on c.customer_id = a.customer_id and c.id = a.contact_id and c.deleted_at is null
           join email_provider_accounts m on m.customer_id = a.customer_id and m.id = a.mailbox_id
           order by c.id for share of c"#,
        &customers,
        &contacts,
        &recipients,
        &mailboxes,
        &keys,
        &scripts as &[Option<String>],
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut answers = vec![Some("the contact or the mailbox is gone".to_owned()); intended.len()];
    for row in judged {
        let Some(answer) =
            usize::try_from(row.place - 1).ok().and_then(|place| answers.get_mut(place))
        else {
            continue;
        };
        *answer = if row.status != "active" {
            Some(format!("the contact is {}", row.status))
        } else if row.suppressed {
            Some("the address is on the suppression list".into())
        } else if row.mailbox != "connected" {
            Some(format!("the mailbox is {}", row.mailbox))
        } else if row.sent {
            Some("this mail was sent already".into())
        } else {
            None
        };
    }
    let admitted: Vec<&Intended> = intended
        .iter()
        .zip(&answers)
        .filter_map(|(send, answer)| answer.is_none().then_some(send))
        .collect();
    write(tx, &admitted).await?;
    Ok(answers)
}

async fn write(tx: &mut PgConnection, sends: &[&Intended]) -> Result<(), sqlx::Error> {
    if sends.is_empty() {
        return Ok(());
    }
    let customers: Vec<Uuid> = sends.iter().map(|send| send.customer_id).collect();
    let ids: Vec<Uuid> = sends.iter().map(|_| clock::new_id()).collect();
    let contacts: Vec<Uuid> = sends.iter().map(|send| send.contact_id).collect();
    let mailboxes: Vec<Uuid> = sends.iter().map(|send| send.intent.mailbox_id).collect();
    let runs: Vec<Uuid> = sends.iter().map(|send| send.run_id).collect();
    let steps: Vec<String> = sends.iter().map(|send| send.step.clone()).collect();
    let keys: Vec<String> = sends.iter().map(|send| send.intent.send_key.clone()).collect();
    let subjects: Vec<String> = sends.iter().map(|send| send.intent.subject.clone()).collect();
    let senders: Vec<String> = sends.iter().map(|send| send.intent.sender.clone()).collect();
    let recipients: Vec<String> = sends.iter().map(|send| send.intent.recipient.clone()).collect();
    let message_ids: Vec<String> =
        sends.iter().map(|send| send.intent.message_id.clone()).collect();
    let variants: Vec<Option<String>> =
        sends.iter().map(|send| send.intent.variant.clone()).collect();
    sqlx::query!(
        "insert into emails (customer_id, id, contact_id, mailbox_id, enrollment_id, step, status, send_key, subject,
           sender, recipient, message_id, variant)
         select w.customer_id, w.id, w.contact_id, w.mailbox_id, e.id, w.step, 'sending', w.send_key, w.subject,
           w.sender, w.recipient, w.message_id, w.variant
         from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::text[],
           $9::text[], $10::text[], $11::text[], $12::text[])
           as w(customer_id, id, contact_id, mailbox_id, run_id, step, send_key, subject, sender, recipient, message_id,
             variant)
         left join enrollments e on e.customer_id = w.customer_id and e.id = w.run_id
         on conflict (customer_id, send_key) where send_key is not null do update set status = 'sending',
           subject = excluded.subject, message_id = excluded.message_id, error = null, updated_at = engine.now()
         where emails.sent_at is null",
        &customers,
        &ids,
        &contacts,
        &mailboxes,
        &runs,
        &steps,
        &keys,
        &subjects,
        &senders,
        &recipients,
        &message_ids,
        &variants as &[Option<String>],
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// An accepted send with whose it is.
pub(crate) struct Accepted {
    pub(crate) customer_id: Uuid,
    pub(crate) at: DateTime<Utc>,
    pub(crate) sent: Sent,
}

/// Marks sends as accepted, and tells of each.
pub(crate) async fn mark_sent(tx: &mut PgConnection, sent: &[Accepted]) -> Result<(), sqlx::Error> {
    let customers: Vec<Uuid> = sent.iter().map(|sent| sent.customer_id).collect();
    let keys: Vec<String> = sent.iter().map(|sent| sent.sent.send_key.clone()).collect();
    let provider_ids: Vec<String> = sent.iter().map(|sent| sent.sent.provider_id.clone()).collect();
    let message_ids: Vec<String> = sent.iter().map(|sent| sent.sent.message_id.clone()).collect();
    let threads: Vec<String> = sent.iter().map(|sent| sent.sent.thread_id.clone()).collect();
    let at: Vec<DateTime<Utc>> = sent.iter().map(|sent| sent.at).collect();
    // What came in before the record, such as a bounce, says more than that it was sent.
    let rows = sqlx::query!(
        "update emails e set status = case when e.status in ('queued', 'sending', 'unknown', 'failed') then 'sent'
             else e.status end,
           provider_id = s.provider_id, message_id = s.message_id, thread_id = s.thread_id, sent_at = s.at,
           event_sequence = e.event_sequence + 1, updated_at = engine.now()
         from (select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
           as s(customer_id, send_key, provider_id, message_id, thread_id, at) order by customer_id, send_key) s
         where e.customer_id = s.customer_id and e.send_key = s.send_key
         returning e.customer_id, e.id, e.contact_id, e.enrollment_id, e.step, e.mailbox_id, e.event_sequence",
        &customers,
        &keys,
        &provider_ids,
        &message_ids,
        &threads,
        &at,
    )
    .fetch_all(&mut *tx)
    .await?;
    let events: Vec<NewEvent> = rows
        .into_iter()
        .map(|row| {
            let told = event::Sent {
                message_id: id::show("msg", row.id),
                contact_id: id::show("con", row.contact_id),
                mailbox_id: id::show("epa", row.mailbox_id),
                enrollment_id: row.enrollment_id.map(|enrollment| id::show("enr", enrollment)),
                step: row.step,
            };
            let key = told.message_id.clone();
            event::SENT.event(row.customer_id, key, row.event_sequence, &told)
        })
        .collect();
    outbox::publish(tx, &events).await
}

/// A step that failed for good; where it sends mail, its mail failed with it.
pub(crate) struct Failed {
    pub(crate) customer_id: Uuid,
    pub(crate) send_key: String,
    pub(crate) reason: String,
    /// How.
    pub(crate) end: End,
}

/// How a send ended that was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The provider refused it.
    Failed,
    /// Nobody knows if the provider accepted it; a person has to look.
    Unknown,
    /// The run ended before it was sent.
    Cancelled,
}

impl End {
    /// The stored word.
    fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a step that threads its mail needs of the mail of an earlier step of its run.
///
/// # Errors
/// What the statement returned.
pub async fn thread(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    enrollment_id: Uuid,
    run_id: Uuid,
    step: &str,
) -> Result<Option<Thread>, sqlx::Error> {
    sqlx::query_as!(
        Thread,
        r#"select m.subject, m.message_id, m.thread_id, array(
             select t.message_id from emails t
             where t.customer_id = $1 and t.enrollment_id = $2 and t.sent_at is not null and t.id <= m.id
               and (t.id = m.id or t.thread_id = m.thread_id)
             order by t.id) as "references!"
           from emails m
           where m.customer_id = $1 and m.enrollment_id = $2 and m.step = $3 and m.sent_at is not null
             and split_part(m.send_key, '/', 1) = $4
           order by m.id desc limit 1"#,
        customer_id,
        enrollment_id,
        step,
        id::show("run", run_id),
    )
    .fetch_optional(db)
    .await
}

/// The mailbox that an enrollment writes through.
///
/// # Errors
/// What the statement returned.
pub async fn mailbox_of(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    enrollment_id: Uuid,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select mailbox_id from enrollments where customer_id = $1 and id = $2",
        customer_id,
        enrollment_id,
    )
    .fetch_optional(db)
    .await
}

/// How many messages of a customer stand in each status.
///
/// # Errors
/// What the statement returned.
pub async fn counts(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
) -> Result<HashMap<String, i64>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select status, count(*) as "count!" from emails where customer_id = $1 group by status"#,
        customer_id,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.status, row.count)).collect())
}

/// Marks sends as failed or unknown, and tells of those that failed.
pub(crate) async fn mark_failed(
    tx: &mut PgConnection,
    failed: &[Failed],
) -> Result<(), sqlx::Error> {
    if failed.is_empty() {
        return Ok(());
    }
    let customers: Vec<Uuid> = failed.iter().map(|failed| failed.customer_id).collect();
    let keys: Vec<String> = failed.iter().map(|failed| failed.send_key.clone()).collect();
    let reasons: Vec<String> = failed.iter().map(|failed| failed.reason.clone()).collect();
    let ends: Vec<&str> = failed.iter().map(|failed| failed.end.word()).collect();
    let rows = sqlx::query!(
        r#"update emails e set status = f.status, error = f.reason,
             event_sequence = e.event_sequence + (f.status = 'failed')::int, updated_at = engine.now()
           from (select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[])
             as f(customer_id, send_key, reason, status) order by customer_id, send_key) f
           where e.customer_id = f.customer_id and e.send_key = f.send_key
             and e.status in ('queued', 'sending', 'unknown')
           returning e.customer_id, e.id, e.contact_id, e.event_sequence, e.status = 'failed' as "told!",
             f.reason as "reason!""#,
        &customers,
        &keys,
        &reasons,
        &ends as &[&str],
    )
    .fetch_all(&mut *tx)
    .await?;
    let events: Vec<NewEvent> = rows
        .into_iter()
        .filter(|row| row.told)
        .map(|row| {
            let told = event::Failed {
                message_id: id::show("msg", row.id),
                contact_id: id::show("con", row.contact_id),
                reason: row.reason,
            };
            let key = told.message_id.clone();
            event::FAILED.event(row.customer_id, key, row.event_sequence, &told)
        })
        .collect();
    outbox::publish(tx, &events).await
}

/// How many mails of a customer were answered in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answers {
    /// Mails that were opened.
    pub opened: i64,
    /// Mails of which a link was followed.
    pub clicked: i64,
    /// Mails that a person answered.
    pub replied: i64,
}

/// Counts the answers to a customer's mails.
///
/// # Errors
/// What the statement returned.
pub async fn answers(db: impl PgExecutor<'_>, customer_id: Uuid) -> Result<Answers, sqlx::Error> {
    sqlx::query_as!(
        Answers,
        r#"select count(*) filter (where opens > 0) as "opened!", count(*) filter (where clicks > 0) as "clicked!",
             count(replied_at) as "replied!" from emails where customer_id = $1"#,
        customer_id,
    )
    .fetch_one(db)
    .await
}

/// Takes subjects, addresses and errors out of contacts' mails; gives how many.
///
/// # Errors
/// What the statement returned.
pub(crate) async fn erase(
    db: impl PgExecutor<'_>,
    customer_id: Uuid,
    contacts: &[Uuid],
) -> Result<(&'static str, i64), sqlx::Error> {
    let erased = sqlx::query_scalar!(
        r#"with email as (
             update emails set subject = 'Erased', recipient = contact_id || '@erased.invalid', error = null
             where customer_id = $1 and contact_id = any($2) returning id
           )
           select count(*) as "count!" from email"#,
        customer_id,
        contacts,
    )
    .fetch_one(db)
    .await?;
    Ok(("emails", erased))
}
