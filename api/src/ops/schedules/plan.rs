//! What a request wants of a schedule, read field by field; everything that is wrong is told at once.

use std::time::Duration;

use crm::{contact, customer};
use engine::id;
use engine::schedule::{CatchUp, Overlap, Plan, Schedule, ScheduleError, Start};
use engine::timing::{self, Cron, Zone};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::problem::{Fault, Kind, Problem};

/// A schedule to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSchedule)]
pub(super) struct Create {
    name: String,
    cron: String,
    /// The customer's where none is named.
    zone: Option<String>,
    jitter: Option<String>,
    start: Option<StartWanted>,
    #[schema(value_type = Option<Object>)]
    data: Option<Map<String, Value>>,
    #[serde(default = "skip")]
    overlap: Overlap,
    #[serde(default = "last")]
    catch_up: CatchUp,
    #[serde(default = "ten")]
    catch_up_limit: u16,
}

fn skip() -> Overlap {
    Overlap::Skip
}

fn last() -> CatchUp {
    CatchUp::Last
}

fn ten() -> u16 {
    10
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewScheduleStart)]
struct StartWanted {
    workflow: String,
    contact_id: String,
}

/// What changes; `null` takes away.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ScheduleChange)]
pub(super) struct Change {
    name: Option<String>,
    cron: Option<String>,
    zone: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    jitter: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<StartWanted>)]
    start: Option<Option<StartWanted>>,
    #[schema(value_type = Option<Object>)]
    data: Option<Map<String, Value>>,
    overlap: Option<Overlap>,
    catch_up: Option<CatchUp>,
    catch_up_limit: Option<u16>,
}

/// Tells `null` from what is not there.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Create {
    pub(super) async fn plan(
        self,
        tx: &mut PgConnection,
        customer_id: Uuid,
    ) -> Result<Plan, Problem> {
        let mut faults = Faults::default();
        let cron = faults.keep(cron(&self.cron));
        let zone = match self.zone {
            Some(name) => faults.keep(zone(&name)),
            None => Some(customers_zone(tx, customer_id).await?),
        };
        let jitter = faults.keep(jitter(self.jitter.as_deref()));
        let start = match self.start {
            Some(wanted) => faults.keep(start(tx, customer_id, wanted).await?).map(Some),
            None => Some(None),
        };
        let (Some(cron), Some(zone), Some(jitter), Some(start)) = (cron, zone, jitter, start)
        else {
            return Err(faults.problem());
        };
        Ok(Plan {
            name: self.name,
            cron,
            zone,
            jitter,
            start,
            data: self.data.map_or_else(|| json!({}), Value::Object),
            overlap: self.overlap,
            catch_up: self.catch_up,
            catch_up_limit: self.catch_up_limit,
        })
    }
}

impl Change {
    /// The plan of a schedule with what changes.
    pub(super) async fn plan(self, tx: &mut PgConnection, of: &Schedule) -> Result<Plan, Problem> {
        let mut faults = Faults::default();
        let cron = faults.keep(cron(self.cron.as_deref().unwrap_or(&of.cron)));
        let zone = faults.keep(zone(self.zone.as_deref().unwrap_or(&of.zone)));
        let jitter = match self.jitter {
            Some(wanted) => faults.keep(jitter(wanted.as_deref())),
            None => Some(Duration::from_secs(of.jitter_seconds.unsigned_abs().into())),
        };
        let start = match self.start {
            Some(Some(wanted)) => faults.keep(start(tx, of.customer_id, wanted).await?).map(Some),
            Some(None) => Some(None),
            None => {
                let kept = of.workflow.clone().zip(of.subject_id);
                Some(kept.map(|(workflow, subject_id)| Start { workflow, subject_id }))
            }
        };
        let (Some(cron), Some(zone), Some(jitter), Some(start)) = (cron, zone, jitter, start)
        else {
            return Err(faults.problem());
        };
        let kept_limit = u16::try_from(of.catch_up_limit).unwrap_or(1);
        Ok(Plan {
            name: self.name.unwrap_or_else(|| of.name.clone()),
            cron,
            zone,
            jitter,
            start,
            data: self.data.map_or_else(|| of.data.clone(), Value::Object),
            overlap: self.overlap.or(Overlap::named(&of.overlap)).unwrap_or_else(skip),
            catch_up: self.catch_up.or(CatchUp::named(&of.catch_up)).unwrap_or_else(last),
            catch_up_limit: self.catch_up_limit.unwrap_or(kept_limit),
        })
    }
}

/// What is wrong so far.
#[derive(Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn keep<T>(&mut self, read: Result<T, Fault>) -> Option<T> {
        read.map_err(|fault| self.0.push(fault)).ok()
    }

    pub(super) fn problem(self) -> Problem {
        self.0.into_iter().fold(Problem::new(Kind::Invalid), Problem::fault)
    }
}

fn fault(field: &str, message: impl Into<String>) -> Fault {
    Fault { field: Some(field.into()), message: message.into(), ..Fault::default() }
}

pub(super) fn cron(text: &str) -> Result<Cron, Fault> {
    Cron::parse(text).map_err(|error| Fault {
        column: error.column,
        help: Some(error.help),
        ..fault("cron", error.message)
    })
}

pub(super) fn zone(name: &str) -> Result<Zone, Fault> {
    Zone::parse(name).map_err(|error| {
        let help = Zone::nearest(name).map(|near| format!("did you mean `{near}`?"));
        Fault { help, ..fault("zone", error.to_string()) }
    })
}

/// The zone that counts where none is named.
pub(super) async fn customers_zone(
    tx: &mut PgConnection,
    customer_id: Uuid,
) -> Result<Zone, sqlx::Error> {
    let customer = customer::find(tx, customer_id).await?;
    let known = customer.and_then(|customer| Zone::parse(&customer.time_zone).ok());
    Ok(known.unwrap_or_else(Zone::utc))
}

fn jitter(text: Option<&str>) -> Result<Duration, Fault> {
    let Some(text) = text else { return Ok(Duration::ZERO) };
    timing::duration(text).map_err(|message| fault("jitter", message))
}

async fn start(
    tx: &mut PgConnection,
    customer_id: Uuid,
    wanted: StartWanted,
) -> Result<Result<Start, Fault>, sqlx::Error> {
    let refused = |message: String| Ok(Err(fault("start.contact_id", message)));
    let subject_id = match id::read("con", &wanted.contact_id) {
        Ok(subject_id) => subject_id,
        Err(error) => return refused(error.to_string()),
    };
    if contact::find(tx, customer_id, subject_id).await?.is_none() {
        return refused("there is no such contact".into());
    }
    Ok(Ok(Start { workflow: wanted.workflow, subject_id }))
}

/// What the engine refuses of a plan.
pub(super) fn refused(error: ScheduleError) -> Problem {
    match error {
        ScheduleError::Invalid { field: "workflow", message } => {
            Problem::invalid("start.workflow", message)
        }
        ScheduleError::Invalid { field, message } => Problem::invalid(field, message),
        ScheduleError::NameTaken(_) => Problem::new(Kind::NameTaken).detail(error.to_string()),
        ScheduleError::TooMany => Problem::new(Kind::Conflict).detail(error.to_string()),
        ScheduleError::Database(error) => error.into(),
    }
}
