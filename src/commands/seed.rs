//! `salesos seed`: demo data, made once; what is there stays as it is.

use anyhow::{Context, Result};
use crm::customer::Customer;
use crm::enrollment::Sender;
use crm::sequence::Sequence;
use crm::user::{self, NewUser, Role as UserRole};
use crm::{customer, import, mailbox};
use engine::clock;
use engine::definition::{self, Format};
use engine::definition_store::Definitions;
use sqlx::PgPool;
use uuid::Uuid;

use super::enroll::Enrolling;
use super::workflows;
use crate::database::{Database, Role};
use crate::out;
use crate::settings::Settings;
use crate::{Ending, process};

/// The demo's login.
pub(crate) const EMAIL: &str = "demo@salesos.example";
/// Its password; a demo's is no secret.
pub(crate) const PASSWORD: &str = "walk-through-the-demo";
const CONTACTS: &[u8] = include_bytes!("../../examples/contacts.csv");
const SEQUENCE: &str = include_str!("../../workflows/outbound-intro.toml");

/// Its arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Enroll the contacts too.
    #[arg(long)]
    enroll: bool,
}

/// What was made, or was there.
pub(crate) struct Seeded {
    pub(crate) customer: Customer,
    pub(crate) sequence: Sequence,
    pub(crate) contacts: Vec<Uuid>,
}

pub(crate) async fn run(args: Args, settings: Settings) -> Result<Ending> {
    let db = Database::find(&settings)?.pool(Role::Worker, 2).await?;
    let definitions = process::definitions(db.clone(), &settings.data_dir);
    let seeded = seed(&db, &definitions).await?;
    out::line(format_args!(
        "customer {}, login {EMAIL} with password {PASSWORD}, {} contacts, sequence {}",
        engine::id::show("cus", seeded.customer.id),
        seeded.contacts.len(),
        seeded.sequence.name
    ));
    if args.enroll {
        out::line(format_args!("{} enrolled", enroll(&db, &definitions, &seeded).await?));
    }
    Ok(Ending::Done)
}

/// Makes the demo's customer, login, mailbox, contacts and sequence where they are missing.
pub(crate) async fn seed(db: &PgPool, definitions: &Definitions) -> Result<Seeded> {
    let customer = match user::find_login(db, EMAIL).await? {
        Some(login) => {
            customer::find(db, login.customer_id).await?.context("the demo's customer is gone")?
        }
        None => sign_up(db).await?,
    };
    let definition = definition::read(
        "workflows/outbound-intro.toml",
        SEQUENCE,
        Format::Toml,
        definitions.registry(),
    )
    .map_err(|refusals| anyhow::anyhow!("{refusals}"))?;
    let sequence = workflows::keep(db, customer.id, &definition, SEQUENCE).await?;
    let mut connection = db.acquire().await?;
    let options = super::import::usual(std::path::Path::new("contacts.csv"));
    let contacts =
        import::whole(&mut connection, customer.id, &options, CONTACTS).await?.contact_ids;
    Ok(Seeded { customer, sequence, contacts })
}

async fn sign_up(db: &PgPool) -> Result<Customer> {
    let hash = tokio::task::spawn_blocking(|| api::hash_password(PASSWORD)).await?;
    let mut tx = db.begin().await?;
    let customer =
        customer::create(&mut *tx, clock::new_id(), "Demo Sales", "Europe/Vienna").await?;
    let owner = NewUser {
        id: clock::new_id(),
        email: EMAIL,
        name: "Dana Demo",
        role: UserRole::Owner,
        team_id: None,
        password_hash: &hash,
    };
    user::create(&mut *tx, customer.id, owner).await?;
    let address = "dana@demo-sales.example";
    mailbox::ensure_mock(&mut tx, customer.id, clock::new_id(), address, "Dana Demo").await?;
    tx.commit().await?;
    Ok(customer)
}

/// Enrolls the demo's contacts; who was enrolled before is not again.
pub(crate) async fn enroll(
    db: &PgPool,
    definitions: &Definitions,
    seeded: &Seeded,
) -> Result<usize> {
    let definition = definitions.load(db, seeded.sequence.definition_id).await?;
    let enrolling = Enrolling {
        customer_id: seeded.customer.id,
        sequence: &seeded.sequence,
        definition: &definition,
        sender: Sender::DefaultOrMock,
    };
    Ok(enrolling.run(&mut *db.acquire().await?, &seeded.contacts).await?.enrolled)
}
