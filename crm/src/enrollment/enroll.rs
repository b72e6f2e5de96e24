//! Enrolling contacts: who may begin, who is refused and why, in one transaction.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use engine::definition::{Definition, Enroll};
use engine::foresight::{Foresight, Lack};
use engine::outbox::{self, NewEvent};
use engine::run::{self, NewRun, Priority, StartError};
use engine::timing::Zone;
use engine::{clock, id};
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::contact::{self, Contact};
use crate::customer::{self, Customer};
use crate::event::enrollment as event;
use crate::mailbox::{self, Mailbox};
use crate::sequence::Sequence;
use crate::suppression;

/// The kind of limit that counts what goes to a recipient's domain; its name is the domain in lower case.
pub const DOMAIN_LIMIT: &str = "domain";

/// Through which mailbox the contacts are written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sender {
    /// This one.
    Mailbox(Uuid),
    /// The customer's default.
    Default,
    /// The customer's default, else a mock mailbox that is made for it. For development and demos.
    DefaultOrMock,
}

/// Contacts to enroll, at most 1,000 at once.
pub struct NewEnrollments<'a> {
    /// The sequence, which must be active.
    pub sequence: &'a Sequence,
    /// Its definition.
    pub definition: &'a Definition,
    /// Whom.
    pub contact_ids: &'a [Uuid],
    /// Through which mailbox.
    pub sender: Sender,
    /// Who does it, such as `user:usr_…`.
    pub actor: String,
    /// Not before.
    pub start_at: Option<DateTime<Utc>>,
}

/// Why a contact was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefusalReason {
    /// It is in the sequence, or was, and `[enroll] again` does not allow it.
    AlreadyEnrolled,
    /// Its address gets no mail of this customer.
    Suppressed,
    /// It asked for no more mail.
    Unsubscribed,
    /// Its address takes no mail.
    Bounced,
    /// It was erased.
    Erased,
    /// A text that it would surely get needs a field that it lacks.
    MissingVariable,
    /// No mailbox is connected.
    NoMailbox,
    /// There is no such contact.
    NotFound,
}

/// A refused contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Who.
    pub contact_id: Uuid,
    /// Why.
    pub reason: RefusalReason,
    /// What a person reads.
    pub detail: String,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnrollReport {
    /// The new enrollments.
    pub enrollment_ids: Vec<Uuid>,
    /// Who was refused.
    pub refused: Vec<Refused>,
}

/// Why nobody was enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The sequence takes nobody.
    #[error("the sequence is {0}; activate it first")]
    NotActive(String),
    /// There is no such mailbox.
    #[error("there is no such mailbox")]
    NoSuchMailbox,
    /// The engine refused.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The database refused.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Enrolls contacts in the caller's transaction: their runs, their rows and `enrollment.created`.
///
/// # Errors
/// `NotActive`, `NoSuchMailbox`, or what the statements returned; the caller rolls back.
pub async fn enroll(
    tx: &mut PgConnection,
    customer_id: Uuid,
    new: NewEnrollments<'_>,
) -> Result<EnrollReport, EnrollError> {
    if new.sequence.status != "active" {
        return Err(EnrollError::NotActive(new.sequence.status.clone()));
    }
    // A long document takes its time, for which nobody else waits: this comes before the locks.
    let gaps = Gaps::of(tx, customer_id, &new).await?;
    // Two enrollments of one contact at once would each see none before.
    sqlx::query!(
        "select from pg_advisory_xact_lock(hashtextextended($1, 5))",
        new.sequence.id.to_string()
    )
    .execute(&mut *tx)
    .await?;
    let mut report = EnrollReport::default();
    let chosen = choose_mailbox(tx, customer_id, &new.sender).await?;
    let Some(mailbox) = chosen.filter(|mailbox| mailbox.status == "connected") else {
        report.refused = new
            .contact_ids
            .iter()
            .map(|contact| refusal(*contact, RefusalReason::NoMailbox))
            .collect();
        return Ok(report);
    };
    let welcome = judge(tx, customer_id, &new, &mut report).await?;
    let welcome = gaps.part(welcome, &mut report);
    let runs = runs(tx, customer_id, &new, &mailbox, &welcome).await?;
    run::start(tx, &runs).await?;
    write(tx, customer_id, new.sequence, mailbox.id, &runs).await?;
    report.enrollment_ids = runs.iter().map(|run| run.id).collect();
    Ok(report)
}

/// Through which mailbox a customer writes.
///
/// # Errors
/// `NoSuchMailbox`, or what the statements returned.
pub async fn choose_mailbox(
    tx: &mut PgConnection,
    customer_id: Uuid,
    sender: &Sender,
) -> Result<Option<Mailbox>, EnrollError> {
    match sender {
        Sender::Mailbox(id) => {
            let found = mailbox::find(&mut *tx, customer_id, *id).await?;
            found.map(Some).ok_or(EnrollError::NoSuchMailbox)
        }
        Sender::Default => Ok(mailbox::find_default(&mut *tx, customer_id).await?),
        Sender::DefaultOrMock => {
            if let Some(found) = mailbox::find_default(&mut *tx, customer_id).await? {
                return Ok(Some(found));
            }
            let name = customer::find(&mut *tx, customer_id).await?.map(|customer| customer.name);
            let name = name.unwrap_or_else(|| "Sales".into());
            let address = format!("sales@{}.example", slug(&name));
            let made =
                mailbox::ensure_mock(tx, customer_id, clock::new_id(), &address, &name).await?;
            Ok(Some(made))
        }
    }
}

/// A name as a domain's label.
fn slug(name: &str) -> String {
    let words: Vec<String> = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    if words.is_empty() { "customer".into() } else { words.join("-") }
}

/// Parts the welcome contacts from those that the report refuses.
async fn judge(
    tx: &mut PgConnection,
    customer_id: Uuid,
    new: &NewEnrollments<'_>,
    report: &mut EnrollReport,
) -> Result<Vec<Contact>, sqlx::Error> {
    // An unsubscription waits for who is enrolled here, or comes first and is seen.
    contact::hold(&mut *tx, customer_id, new.contact_ids).await?;
    let found = contact::find_all(&mut *tx, customer_id, new.contact_ids).await?;
    let emails: Vec<String> = found.iter().map(|contact| contact.email.clone()).collect();
    let suppressed: HashSet<String> =
        suppression::among(tx, customer_id, &emails).await?.into_iter().collect();
    let enrolled = enrolled(tx, customer_id, new).await?;
    let mut by_id: HashMap<Uuid, Contact> =
        found.into_iter().map(|found| (found.id, found)).collect();
    let mut welcome = Vec::new();
    for contact_id in new.contact_ids {
        let Some(contact) = by_id.remove(contact_id) else {
            report.refused.push(refusal(*contact_id, RefusalReason::NotFound));
            continue;
        };
        let reason = match contact.status.as_str() {
            "unsubscribed" => Some(RefusalReason::Unsubscribed),
            "bounced" => Some(RefusalReason::Bounced),
            "erased" => Some(RefusalReason::Erased),
            _active if suppressed.contains(&contact.email.to_lowercase()) => {
                Some(RefusalReason::Suppressed)
            }
            _active if enrolled.contains(contact_id) => Some(RefusalReason::AlreadyEnrolled),
            _active => None,
        };
        match reason {
            Some(reason) => report.refused.push(refusal(*contact_id, reason)),
            None => welcome.push(contact),
        }
    }
    Ok(welcome)
}

/// The most gaps of one contact that are named.
const GAPS: usize = 5;

/// What contacts lack for the texts that their runs would surely come to.
struct Gaps<'a> {
    foresight: Foresight<'a>,
    /// Each contact as it was looked at, and what it lacked.
    found: HashMap<Uuid, (Contact, Vec<Lack>)>,
}

impl<'a> Gaps<'a> {
    async fn of(
        tx: &mut PgConnection,
        customer_id: Uuid,
        new: &NewEnrollments<'a>,
    ) -> Result<Self, sqlx::Error> {
        let foresight = Foresight::new(new.definition, contact::VOLATILE);
        let mut found = HashMap::new();
        for contact in contact::find_all(tx, customer_id, new.contact_ids).await? {
            let lacks = lacks(&foresight, &contact);
            found.insert(contact.id, (contact, lacks));
            // Other requests of this thread have their turn in between.
            tokio::task::yield_now().await;
        }
        Ok(Self { foresight, found })
    }

    /// Parts those who lack nothing from those whom the report refuses. Who has changed meanwhile is looked at again.
    fn part(mut self, welcome: Vec<Contact>, report: &mut EnrollReport) -> Vec<Contact> {
        let (mut whole, mut refused) = (Vec::with_capacity(welcome.len()), Vec::new());
        for contact in welcome {
            let found = self.found.remove(&contact.id);
            let same = found.filter(|(seen, _)| *seen == contact);
            let lacks = same.map_or_else(|| lacks(&self.foresight, &contact), |(_, lacks)| lacks);
            if lacks.is_empty() {
                whole.push(contact);
                continue;
            }
            let (contact_id, reason) = (contact.id, RefusalReason::MissingVariable);
            refused.push(Refused { contact_id, reason, detail: told(&lacks) });
        }
        report.refused.extend(refused);
        whole
    }
}

fn lacks(foresight: &Foresight<'_>, contact: &Contact) -> Vec<Lack> {
    foresight.lacks(contact.id, &contact::subject(contact))
}

/// Each step, text and field that is missing, and what to do.
fn told(lacks: &[Lack]) -> String {
    let gap = |Lack { step, text, name }: &Lack| format!("{text} in step `{step}` needs `{name}`");
    let mut gaps: Vec<String> = lacks.iter().take(GAPS).map(gap).collect();
    if lacks.len() > GAPS {
        gaps.push(format!("{} more", lacks.len() - GAPS));
    }
    format!("{}; fill it in, or write `| default(…)` after it", gaps.join(", "))
}

/// Those who were in the sequence before, and whom `[enroll] again` does not let in again.
async fn enrolled(
    tx: &mut PgConnection,
    customer_id: Uuid,
    new: &NewEnrollments<'_>,
) -> Result<HashSet<Uuid>, sqlx::Error> {
    // -1 keeps everybody out for ever, 0 only who is in it now.
    let days = match new.definition.enroll {
        Enroll::Never => -1,
        Enroll::Always => 0,
        Enroll::AfterDays(days) => i32::try_from(days).unwrap_or(i32::MAX),
    };
    let before = sqlx::query_scalar!(
        r#"select e.contact_id as "contact_id!"
           from enrollments e left join engine.run_states s on s.run_id = e.id
           where e.customer_id = $1 and e.sequence_id = $2 and e.contact_id = any($3)
             and ($4 < 0 or coalesce(s.ended_at, e.ended_at) is null
               or coalesce(s.ended_at, e.ended_at) > engine.now() - make_interval(days => $4))"#,
        customer_id,
        new.sequence.id,
        new.contact_ids,
        days,
    )
    .fetch_all(tx)
    .await?;
    Ok(before.into_iter().collect())
}

fn refusal(contact_id: Uuid, reason: RefusalReason) -> Refused {
    let detail = match reason {
        RefusalReason::AlreadyEnrolled => {
            "is in this sequence, or was before; see `[enroll] again`"
        }
        RefusalReason::Suppressed => "the address is on the suppression list",
        RefusalReason::Unsubscribed => "asked for no more mail",
        RefusalReason::Bounced => "the address bounced",
        RefusalReason::Erased => "was erased",
        RefusalReason::MissingVariable => "a text needs a field that it lacks",
        RefusalReason::NoMailbox => "no mailbox is connected; connect one first",
        RefusalReason::NotFound => "there is no such contact, or it was named twice",
    };
    Refused { contact_id, reason, detail: detail.into() }
}

async fn runs(
    tx: &mut PgConnection,
    customer_id: Uuid,
    new: &NewEnrollments<'_>,
    mailbox: &Mailbox,
    welcome: &[Contact],
) -> Result<Vec<NewRun>, sqlx::Error> {
    let customer = customer::find(&mut *tx, customer_id).await?;
    let zones = Zones::new(customer.as_ref(), Some(mailbox));
    Ok(welcome
        .iter()
        .map(|contact| NewRun {
            id: clock::new_id(),
            customer_id,
            definition_id: new.sequence.definition_id,
            subject_id: contact.id,
            zone: zones.of(new.definition, contact).name().to_owned(),
            actor: new.actor.clone(),
            start_at: new.start_at,
            limit_keys: limit_keys(mailbox, contact),
            priority: Priority::Normal,
            parent: None,
        })
        .collect())
}

/// The zones of those who are no contact: what a contact's run falls back on.
pub(crate) struct Zones {
    customer: Option<Zone>,
    sender: Option<Zone>,
}

impl Zones {
    pub(crate) fn new(customer: Option<&Customer>, sender: Option<&Mailbox>) -> Self {
        let parse = |name: &str| Zone::parse(name).ok();
        Self {
            customer: customer.and_then(|customer| parse(&customer.time_zone)),
            sender: sender.and_then(|sender| parse(sender.time_zone.as_deref()?)),
        }
    }

    /// The first zone that is known, in the order of the definition's `[timing] zone`.
    pub(crate) fn of(&self, definition: &Definition, contact: &Contact) -> Zone {
        let first = definition.timing.zone.iter().find_map(|source| match source.as_str() {
            "subject" => contact::zone(contact),
            "sender" => self.sender.clone(),
            "customer" => self.customer.clone(),
            name => Zone::parse(name).ok(),
        });
        first.or_else(|| self.customer.clone()).unwrap_or_else(Zone::utc)
    }
}

/// By what an enrollment's sends are counted.
fn limit_keys(mailbox: &Mailbox, contact: &Contact) -> Value {
    json!({ mailbox::LIMIT: id::show("epa", mailbox.id), DOMAIN_LIMIT: domain(contact) })
}

/// The domain to which a contact's mail goes, as [`DOMAIN_LIMIT`] counts it.
pub(crate) fn domain(contact: &Contact) -> String {
    contact.email.rsplit('@').next().unwrap_or_default().to_lowercase()
}

async fn write(
    tx: &mut PgConnection,
    customer_id: Uuid,
    sequence: &Sequence,
    mailbox_id: Uuid,
    runs: &[NewRun],
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = runs.iter().map(|run| run.id).collect();
    let contacts: Vec<Uuid> = runs.iter().map(|run| run.subject_id).collect();
    sqlx::query!(
        "insert into enrollments (customer_id, id, sequence_id, contact_id, mailbox_id, version, event_sequence)
         select $1, id, $2, contact_id, $3, $4, 1 from unnest($5::uuid[], $6::uuid[]) as e(id, contact_id)",
        customer_id,
        sequence.id,
        mailbox_id,
        sequence.version,
        &ids,
        &contacts,
    )
    .execute(&mut *tx)
    .await?;
    let events: Vec<NewEvent> = runs
        .iter()
        .map(|run| {
            let told = event::Enrollment::of(run.id, run.subject_id, sequence.id);
            event::CREATED.event(customer_id, told.key(), 1, &told)
        })
        .collect();
    outbox::publish(tx, &events).await
}
