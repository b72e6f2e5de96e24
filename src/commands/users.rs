//! `salesos users`: makes users of customers and operators of the platform, and deactivates operators.

use std::io::{self, Read as _};

use anyhow::{Context, Result, anyhow, bail};
use crm::audit::{self, NewEntry};
use crm::user::{self, NewUser, Role as UserRole, UserError};
use crm::{address, operator};
use engine::{clock, id};
use serde_json::json;
use sqlx::PgPool;

use crate::database::{Database, Role};
use crate::out;
use crate::postgres::secret;
use crate::settings::Settings;
use crate::{Ending, customer};

/// The fewest characters of a password.
const FEWEST: usize = 8;
/// The most characters of a password.
const MOST: usize = 200;

/// What is done to users.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Makes one, and prints a password once where none is given.
    Create(Create),
    /// Deactivate an operator of the platform, and end their logins
    Deactivate(Deactivate),
}

/// Who is made.
#[derive(clap::Args)]
pub(crate) struct Create {
    /// The address that logs in.
    email: String,
    /// What people call them; the address by default.
    #[arg(long)]
    name: Option<String>,
    /// An operator of the platform, who belongs to no customer and sees the runs and jobs of all.
    #[arg(long, conflicts_with_all = ["role", "customer"])]
    operator: bool,
    /// What a user of a customer may do: owner, admin, manager, rep or viewer.
    #[arg(long, value_parser = role, required_unless_present = "operator")]
    role: Option<UserRole>,
    /// For which customer (`cus_…`); the only one where there is one.
    #[arg(long)]
    customer: Option<String>,
    /// Read the password from standard input, of 8 to 200 characters.
    #[arg(long)]
    password_stdin: bool,
}

/// Whom to deactivate.
#[derive(clap::Args)]
pub(crate) struct Deactivate {
    /// The operator's address.
    email: String,
}

fn role(word: &str) -> Result<UserRole, String> {
    let read = UserRole::read(word);
    if read.word() == word {
        Ok(read)
    } else {
        Err("write owner, admin, manager, rep or viewer".into())
    }
}

pub(crate) async fn run(command: Command, settings: Settings) -> Result<Ending> {
    let db = Database::find(&settings)?.pool(Role::Worker, 1).await?;
    match command {
        Command::Create(args) => create(args, &db).await,
        Command::Deactivate(args) => deactivate(&args.email, &db).await,
    }
}

async fn create(args: Create, db: &PgPool) -> Result<Ending> {
    let email =
        address::parse(&args.email).map_err(|invalid| anyhow!("`{}` {invalid}", args.email))?;
    let (password, given) = match args.password_stdin {
        true => (password()?, true),
        false => (secret()?, false),
    };
    let hashed = password.clone();
    let hash = tokio::task::spawn_blocking(move || api::hash_password(&hashed)).await?;
    let name = args.name.as_deref().unwrap_or(&email);
    let made = match args.role {
        Some(role) => {
            let customer = customer::choose(db, args.customer.as_deref()).await?;
            of_customer(db, customer.id, (&email, name, role, &hash)).await?
        }
        None => platforms(db, &email, name, &hash).await?,
    };
    out::line(&made);
    if !given {
        out::line(format_args!("password {password}"));
    }
    Ok(Ending::Done)
}

/// Makes a user of a customer; gives its id.
async fn of_customer(
    db: &PgPool,
    customer_id: uuid::Uuid,
    (email, name, role, password_hash): (&str, &str, UserRole, &str),
) -> Result<String> {
    let mut tx = db.begin().await?;
    let new = NewUser { id: clock::new_id(), email, name, role, team_id: None, password_hash };
    let made = match user::create(&mut *tx, customer_id, new).await {
        Ok(made) => id::show("usr", made.id),
        Err(UserError::EmailTaken) => bail!("`{email}` has an account already"),
        Err(UserError::Database(error)) => return Err(error.into()),
    };
    let entry = NewEntry {
        actor: "cli",
        action: "user.created",
        target: Some(made.clone()),
        address: None,
        data: json!({ "role": role.word() }),
    };
    audit::write(&mut *tx, customer_id, entry).await?;
    tx.commit().await?;
    Ok(made)
}

/// Makes an operator of the platform; gives its id.
async fn platforms(db: &PgPool, email: &str, name: &str, password_hash: &str) -> Result<String> {
    // A login looks for users first: an operator of the same address could never come in.
    if user::find_login(db, email).await?.is_some() {
        bail!("`{email}` is a user's of a customer; take another address for the operator");
    }
    match operator::create(db, email, name, password_hash).await {
        Ok(made) => Ok(id::show("opr", made)),
        Err(sqlx::Error::Database(error)) if error.constraint() == Some("operators_email") => {
            bail!("`{email}` is an operator's already")
        }
        Err(error) => Err(error.into()),
    }
}

fn password() -> Result<String> {
    let mut text = String::new();
    io::stdin().take(1_000).read_to_string(&mut text).context("the password can't be read")?;
    let password = text.trim_end_matches(['\r', '\n']);
    if !(FEWEST..=MOST).contains(&password.chars().count()) {
        bail!("the password has {FEWEST} to {MOST} characters");
    }
    Ok(password.to_owned())
}

async fn deactivate(email: &str, db: &PgPool) -> Result<Ending> {
    if operator::deactivate(db, &address::stored(email)).await? {
        out::line(format_args!("{email} is deactivated"));
        return Ok(Ending::Done);
    }
    out::problem(format_args!("error: no active operator has the address `{email}`"));
    Ok(Ending::NothingMatched)
}
