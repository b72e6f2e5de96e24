//! `salesos schedules`: what comes again by the calendar.

mod add;
mod preview;
mod show;

use anyhow::{Result, anyhow};
use crm::customer::Customer;
use engine::id;
use engine::schedule::{self, Schedule};
use sqlx::PgPool;

use crate::database::{Database, Role};
use crate::listing::Listing;
use crate::out;
use crate::settings::Settings;
use crate::{Ending, customer, spelling};

/// As whom the command line changes schedules.
const ACTOR: &str = "cli";

/// Its subcommands.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Adds a schedule, which fires from its next occurrence on.
    Add(add::Args),
    /// Lists a customer's schedules, newest first.
    List {
        #[command(flatten)]
        customer: Of,
        #[command(flatten)]
        listing: Listing,
    },
    /// Shows a schedule as JSON.
    Show(Named),
    /// Stops a schedule: nothing fires until it is resumed.
    Pause(Named),
    /// Lets a paused schedule go on from its next occurrence; what the pause covered is left out.
    Resume(Named),
    /// Fires a schedule now, beside its occurrences, once the run before has ended.
    Fire(Named),
    /// Removes a schedule and the record of its fires; runs that it started go on.
    Remove(Named),
    /// Shows when a schedule, or an expression, comes next.
    Preview(preview::Args),
    /// Lists what became of a schedule's occurrences, newest first.
    Fires {
        #[command(flatten)]
        named: Named,
        #[command(flatten)]
        listing: Listing,
    },
}

/// Of which customer.
#[derive(clap::Args)]
pub(crate) struct Of {
    /// For which customer (`cus_…`); the only one where there is one.
    #[arg(long)]
    customer: Option<String>,
}

/// Which schedule.
#[derive(clap::Args)]
pub(crate) struct Named {
    /// The schedule's name, or its id (`sch_…`).
    schedule: String,
    #[command(flatten)]
    customer: Of,
}

pub(crate) async fn run(command: Command, settings: Settings) -> Result<Ending> {
    // A preview of an expression needs no database.
    if let Command::Preview(args) = &command
        && let Some(ending) = preview::without_database(args)?
    {
        return Ok(ending);
    }
    let db = Database::find(&settings)?.pool(Role::Worker, 2).await?;
    match command {
        Command::Add(args) => add::run(&db, args).await,
        Command::List { customer, listing } => show::list(&db, &customer, &listing).await,
        Command::Show(named) => show::show(&db, &named).await,
        Command::Pause(named) => act(&db, &named, Action::Pause).await,
        Command::Resume(named) => act(&db, &named, Action::Resume).await,
        Command::Fire(named) => act(&db, &named, Action::Fire).await,
        Command::Remove(named) => act(&db, &named, Action::Remove).await,
        Command::Preview(args) => preview::run(&db, &args).await,
        Command::Fires { named, listing } => show::fires(&db, &named, &listing).await,
    }
}

/// Finds a customer's schedule by name or id; where there is none, says which there are.
async fn find(db: &PgPool, named: &Named) -> Result<Option<Schedule>> {
    let customer = customer::choose(db, named.customer.customer.as_deref()).await?;
    let text = named.schedule.as_str();
    let found = match id::read("sch", text) {
        Ok(id) => schedule::find(db, Some(customer.id), id).await?,
        Err(_) => schedule::find_named(db, customer.id, text).await?,
    };
    if found.is_none() {
        out::problem(format_args!("error: {}", unknown(db, &customer, text).await?));
    }
    Ok(found)
}

async fn unknown(db: &PgPool, customer: &Customer, text: &str) -> Result<String> {
    let known = schedule::list(db, Some(customer.id), None, 200).await?;
    let names: Vec<&str> = known.iter().map(|schedule| schedule.name.as_str()).collect();
    let hint = if names.is_empty() {
        "add one by `salesos schedules add`".into()
    } else {
        spelling::hint(text, &names)
    };
    Ok(format!("there is no schedule `{text}`; {hint}"))
}

/// What is done to a schedule.
#[derive(Clone, Copy)]
enum Action {
    Pause,
    Resume,
    Fire,
    Remove,
}

async fn act(db: &PgPool, named: &Named, action: Action) -> Result<Ending> {
    let Some(found) = find(db, named).await? else { return Ok(Ending::NothingMatched) };
    let mut tx = db.begin().await?;
    let Some(locked) = schedule::lock(&mut tx, Some(found.customer_id), found.id).await? else {
        out::problem(format_args!("error: the schedule `{}` was removed meanwhile", found.name));
        return Ok(Ending::NothingMatched);
    };
    let said = match (action, locked.state.as_str()) {
        (Action::Pause, "paused") => return Ok(unchanged(&locked, "it is paused")),
        (Action::Pause, _) => {
            schedule::pause(&mut tx, &locked, ACTOR).await?;
            "paused".to_owned()
        }
        (Action::Resume, "paused") => {
            let timing = locked.timing().map_err(|error| anyhow!(error))?;
            show::next(&schedule::resume(&mut tx, &locked, &timing, ACTOR).await?)
        }
        (Action::Resume, _) => return Ok(unchanged(&locked, "it is not paused")),
        (Action::Fire, "paused") => {
            return Ok(unchanged(&locked, "it is paused; resume it first"));
        }
        (Action::Fire, _) => {
            if !schedule::fire(&mut tx, &locked).await? {
                return Ok(unchanged(&locked, "too many of its fires wait for the run before"));
            }
            "fires now, or once the run before has ended".to_owned()
        }
        (Action::Remove, _) => {
            schedule::remove(&mut tx, locked.customer_id, locked.id).await?;
            "removed".to_owned()
        }
    };
    tx.commit().await?;
    out::line(format_args!("{}: {said}", locked.name));
    Ok(Ending::Done)
}

fn unchanged(schedule: &Schedule, why: &str) -> Ending {
    out::line(format_args!("{}: unchanged, {why}", schedule.name));
    Ending::NothingMatched
}
