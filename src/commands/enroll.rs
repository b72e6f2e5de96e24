//! `salesos enroll`: imports a CSV's contacts and enrolls them in a sequence.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use anyhow::Result;
use crm::contact;
use crm::enrollment::{self, NewEnrollments, RefusalReason, Refused, Sender};
use crm::sequence::Sequence;
use engine::definition::Definition;
use engine::id;
use serde::Serialize;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::import;
use crate::database::{Database, Role};
use crate::out;
use crate::settings::{EmailProvider, Settings};
use crate::{Ending, customer, process};

/// How many contacts are enrolled in one transaction.
const CHUNK: usize = 500;

/// Its arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The contacts, with a header line; one column holds email addresses.
    file: PathBuf,
    /// The sequence's name.
    #[arg(long)]
    sequence: String,
    /// For which customer (`cus_…`); the only one where there is one.
    #[arg(long)]
    customer: Option<String>,
    /// Through which mailbox (`epa_…`); the default one where none is named.
    #[arg(long)]
    mailbox: Option<String>,
    /// Only say who would be imported and enrolled; nothing is kept.
    #[arg(long)]
    dry_run: bool,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// How many contacts that lack a field are shown to a person.
const SHOWN: usize = 20;

/// What was done.
#[derive(Serialize)]
struct Report {
    imported: import::Report,
    #[serde(flatten)]
    done: Enrolled,
    dry_run: bool,
}

/// Who was enrolled and who was not.
#[derive(Serialize, Default)]
pub(crate) struct Enrolled {
    pub(crate) enrolled: usize,
    refused: BTreeMap<RefusalReason, usize>,
    /// Each refused contact.
    refusals: Vec<Refusal>,
}

/// A refused contact.
#[derive(Serialize)]
struct Refusal {
    contact_id: String,
    email: Option<String>,
    reason: RefusalReason,
    detail: String,
}

pub(crate) async fn run(args: Args, settings: Settings) -> Result<Ending> {
    let db = Database::find(&settings)?.pool(Role::Worker, 4).await?;
    let customer = customer::choose(&db, args.customer.as_deref()).await?;
    let Some(sequence) = customer::sequence(&db, &customer, &args.sequence).await? else {
        return Ok(Ending::NothingMatched);
    };
    let sender = match (&args.mailbox, settings.email_provider) {
        (Some(mailbox), _) => Sender::Mailbox(id::read("epa", mailbox)?),
        (None, EmailProvider::Mock) => Sender::DefaultOrMock,
        (None, EmailProvider::Connected) => Sender::Default,
    };
    let definitions = process::definitions(db.clone(), &settings.data_dir);
    let definition = definitions.load(&db, sequence.definition_id).await?;
    let enrolling = Enrolling {
        customer_id: customer.id,
        sequence: &sequence,
        definition: &definition,
        sender,
    };
    let (imported, done) = if args.dry_run {
        // Everything is done for real, so that every refusal shows, and rolled back as a whole.
        let mut tx = db.begin().await?;
        let done = import_and_enroll(&mut tx, &enrolling, &args.file).await?;
        tx.rollback().await?;
        done
    } else {
        import_and_enroll(&mut *db.acquire().await?, &enrolling, &args.file).await?
    };
    let report = Report { imported, done, dry_run: args.dry_run };
    if args.json {
        out::line(serde_json::to_string_pretty(&report)?);
    } else {
        tell(&report, &sequence);
    }
    Ok(Ending::Done)
}

async fn import_and_enroll(
    db: &mut PgConnection,
    enrolling: &Enrolling<'_>,
    file: &Path,
) -> Result<(import::Report, Enrolled)> {
    let imported = import::import(db, enrolling.customer_id, &import::usual(file), file).await?;
    let done = enrolling.run(db, &imported.contact_ids).await?;
    Ok((import::report(&imported), done))
}

/// Contacts on their way into a sequence.
pub(crate) struct Enrolling<'a> {
    pub(crate) customer_id: Uuid,
    pub(crate) sequence: &'a Sequence,
    pub(crate) definition: &'a Definition,
    pub(crate) sender: Sender,
}

impl Enrolling<'_> {
    /// Enrolls them, a transaction per 500.
    pub(crate) async fn run(&self, db: &mut PgConnection, contacts: &[Uuid]) -> Result<Enrolled> {
        let mut done = Enrolled::default();
        for chunk in contacts.chunks(CHUNK) {
            let mut tx = db.begin().await?;
            let new = NewEnrollments {
                sequence: self.sequence,
                definition: self.definition,
                contact_ids: chunk,
                sender: self.sender.clone(),
                actor: "cli".into(),
                start_at: None,
            };
            let report = enrollment::enroll(&mut tx, self.customer_id, new).await?;
            done.enrolled += report.enrollment_ids.len();
            let refusals = self.named(&mut tx, report.refused).await?;
            tx.commit().await?;
            for refusal in &refusals {
                *done.refused.entry(refusal.reason).or_default() += 1;
            }
            done.refusals.extend(refusals);
        }
        Ok(done)
    }

    /// Refused contacts with their addresses.
    async fn named(&self, db: &mut PgConnection, refused: Vec<Refused>) -> Result<Vec<Refusal>> {
        let ids: Vec<Uuid> = refused.iter().map(|refused| refused.contact_id).collect();
        let found = contact::find_all(db, self.customer_id, &ids).await?;
        let emails: HashMap<Uuid, String> =
            found.into_iter().map(|contact| (contact.id, contact.email)).collect();
        let named = |Refused { contact_id, reason, detail }| Refusal {
            contact_id: id::show("con", contact_id),
            email: emails.get(&contact_id).cloned(),
            reason,
            detail,
        };
        Ok(refused.into_iter().map(named).collect())
    }
}

fn tell(report: &Report, sequence: &Sequence) {
    import::tell(&report.imported);
    let would = if report.dry_run { "would be " } else { "" };
    let Enrolled { enrolled, refused, refusals } = &report.done;
    out::line(format_args!(
        "{enrolled} {would}enrolled in {} version {}",
        sequence.name, sequence.version
    ));
    for (reason, count) in refused {
        let word = serde_json::to_value(reason).unwrap_or_default();
        out::line(format_args!("  {count} {}", word.as_str().unwrap_or_default()));
        // The other reasons say all by themselves.
        if *reason == RefusalReason::MissingVariable {
            tell_gaps(refusals);
        }
    }
}

/// Names the contacts that lack a field, with the step and the field.
fn tell_gaps(refusals: &[Refusal]) {
    let lacking = || refusals.iter().filter(|one| one.reason == RefusalReason::MissingVariable);
    for Refusal { contact_id, email, detail, .. } in lacking().take(SHOWN) {
        out::line(format_args!("    {}: {detail}", email.as_ref().unwrap_or(contact_id)));
    }
    let more = lacking().count().saturating_sub(SHOWN);
    if more > 0 {
        out::line(format_args!("    … {more} more; --json lists all"));
    }
}
