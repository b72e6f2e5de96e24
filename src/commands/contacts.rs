//! `salesos contacts`: what an operator does to one contact.

use anyhow::Result;
use crm::{address, contact, unsubscription};
use engine::id;
use serde_json::json;
use sqlx::PgPool;

use crate::database::{Database, Role};
use crate::settings::Settings;
use crate::{Ending, customer, out};

/// Its subcommands.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Unsubscribe a contact: end all of its runs, suppress its address, and send it no more mail
    Unsubscribe(Unsubscribe),
}

/// Whom to unsubscribe.
#[derive(clap::Args)]
pub(crate) struct Unsubscribe {
    /// The contact's address
    #[arg(value_parser = email)]
    address: String,
    /// The customer (`cus_…`); not needed if there is only one
    #[arg(long)]
    customer: Option<String>,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

fn email(text: &str) -> Result<String, String> {
    address::read(text)
        .ok_or_else(|| "not a valid email address; write it as name@domain.tld".into())
}

pub(crate) async fn run(command: Command, settings: Settings) -> Result<Ending> {
    let db = Database::find(&settings)?.pool(Role::Worker, 1).await?;
    match command {
        Command::Unsubscribe(args) => unsubscribe(&args, &db).await,
    }
}

async fn unsubscribe(args: &Unsubscribe, db: &PgPool) -> Result<Ending> {
    let customer = customer::choose(db, args.customer.as_deref()).await?;
    let mut tx = db.begin().await?;
    let found = contact::find_by_email(&mut *tx, customer.id, &args.address).await?;
    let done = match found {
        Some(found) => unsubscription::unsubscribe(&mut tx, customer.id, found, "cli").await?,
        None => None,
    };
    let Some(done) = done else {
        out::problem(format_args!(
            "error: {} has no contact `{}`; to suppress the address all the same, send it to POST /suppressions",
            customer.name, args.address
        ));
        return Ok(Ending::NothingMatched);
    };
    tx.commit().await?;
    let contact_id = id::show("con", done.contact.id);
    if args.json {
        let said = json!({
            "id": contact_id,
            "customer": id::show("cus", customer.id),
            "email": done.contact.email,
            "status": done.contact.status,
            "changed": done.is_new,
            "runs_ended": done.runs,
        });
        out::line(said);
    } else if done.is_new {
        out::line(format_args!("{contact_id}: unsubscribed; {} of its runs ended", done.runs));
    } else {
        out::line(format_args!(
            "{contact_id}: was unsubscribed already; {} of its runs ended",
            done.runs
        ));
    }
    Ok(Ending::Done)
}
