//! `salesos schedules add`: a schedule of what the options say.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::builder::PossibleValuesParser;
use crm::contact;
use crm::customer::Customer;
use engine::id;
use engine::schedule::{self, CatchUp, Overlap, Plan, ScheduleError, Start};
use engine::timing::{self, Cron, Zone};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{ACTOR, Of, show};
use crate::out;
use crate::{Ending, customer, spelling};

/// Its arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The schedule's name, such as `monday-review`.
    name: String,
    /// When: `MINUTE HOUR DAY MONTH WEEKDAY`, such as '0 9 * * mon'; with seconds before, or years after them too.
    #[arg(long)]
    cron: String,
    /// In which zone, such as `Europe/Vienna`; the customer's where none is named.
    #[arg(long)]
    zone: Option<String>,
    /// The workflow to start; without one, only the event `schedule.fired` is told.
    #[arg(long, requires = "contact")]
    workflow: Option<String>,
    /// The contact that its runs are about (`con_…`).
    #[arg(long, requires = "workflow")]
    contact: Option<String>,
    /// What the event tells beside, as a JSON object.
    #[arg(long, default_value = "{}")]
    data: String,
    /// By how much at the most a fire is put off, such as `10m`; drawn for each.
    #[arg(long)]
    jitter: Option<String>,
    /// What becomes of a fire while a run of an earlier one has not ended.
    #[arg(long, default_value = "skip", value_parser = PossibleValuesParser::new(Overlap::WORDS))]
    overlap: String,
    /// What becomes of occurrences that passed while no worker ran.
    #[arg(long, default_value = "last", value_parser = PossibleValuesParser::new(CatchUp::WORDS))]
    catch_up: String,
    /// How many of those fire by `--catch-up all`: 1 to 100.
    #[arg(long, default_value_t = 10)]
    catch_up_limit: u16,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    customer: Of,
}

pub(super) async fn run(db: &PgPool, args: Args) -> Result<Ending> {
    let cron = cron(&args.cron)?;
    let customer = customer::choose(db, args.customer.customer.as_deref()).await?;
    let plan = Plan {
        name: args.name.clone(),
        cron,
        zone: zone(args.zone.as_deref().unwrap_or(&customer.time_zone))?,
        jitter: jitter(args.jitter.as_deref())?,
        start: start(db, &customer, &args).await?,
        data: data(&args.data)?,
        overlap: Overlap::named(&args.overlap).unwrap_or(Overlap::Skip),
        catch_up: CatchUp::named(&args.catch_up).unwrap_or(CatchUp::Last),
        catch_up_limit: args.catch_up_limit,
    };
    let mut tx = db.begin().await?;
    let added = schedule::create(&mut tx, customer.id, &plan, ACTOR).await.map_err(refused)?;
    tx.commit().await?;
    if args.json {
        out::line(serde_json::to_string_pretty(&show::shown(added))?);
    } else {
        out::line(format_args!("{}: {}", added.name, show::next(&added)));
    }
    Ok(Ending::Done)
}

/// Reads an expression.
pub(super) fn cron(text: &str) -> Result<Cron> {
    Cron::parse(text).map_err(|error| anyhow!("--cron '{text}': {error}"))
}

/// Reads a zone, or says which was probably meant.
pub(super) fn zone(name: &str) -> Result<Zone> {
    spelling::zone(name).map_err(|error| anyhow!(error))
}

fn jitter(text: Option<&str>) -> Result<Duration> {
    let Some(text) = text else { return Ok(Duration::ZERO) };
    timing::duration(text).map_err(|error| anyhow!("--jitter: {error}"))
}

fn data(text: &str) -> Result<Value> {
    match Value::from_str(text) {
        Ok(data @ Value::Object(_)) => Ok(data),
        Ok(_) | Err(_) => bail!(
            "--data is no JSON object; write for instance --data '{}'",
            json!({"key": "value"})
        ),
    }
}

async fn start(db: &PgPool, customer: &Customer, args: &Args) -> Result<Option<Start>> {
    let (Some(workflow), Some(contact)) = (&args.workflow, &args.contact) else { return Ok(None) };
    let subject_id = id::read("con", contact)?;
    if contact::find(db, customer.id, subject_id).await?.is_none() {
        bail!("there is no contact {contact}");
    }
    Ok(Some(Start { workflow: workflow.clone(), subject_id }))
}

fn refused(error: ScheduleError) -> anyhow::Error {
    match error {
        ScheduleError::Invalid { field, message } => {
            let option = match field {
                "name" => "the name".to_owned(),
                field => format!("--{}", field.replace('_', "-")),
            };
            anyhow!("{option}: {message}")
        }
        ScheduleError::NameTaken(_) | ScheduleError::TooMany | ScheduleError::Database(_) => {
            anyhow!(error)
        }
    }
}
