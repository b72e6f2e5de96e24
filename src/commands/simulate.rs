//! `salesos workflows simulate`: what a sequence will do to a cohort, before anybody is enrolled.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use crm::simulation::{self, Answers, PEOPLE, Plan, Telling};
use engine::definition::Definition;
use engine::limit::{Daily, Gap, Rate, Rule};
use engine::rehearsal::{Forecast, Person};
use engine::timing::{Zone, duration};
use minijinja::{Environment, context};

use super::scenarios::line;
use super::workflows::{read, registry, source};
use crate::database::{Database, Role};
use crate::out;
use crate::settings::Settings;
use crate::spelling::zone;
use crate::{Ending, customer};

/// The most of a customer's contacts that are looked ahead over.
const CONTACTS: usize = 100_000;
/// The runs of how many people can be shown one by one.
const TRACED: i64 = 10_000;
/// The most threads that look ahead.
const THREADS: usize = 16;
/// How the chart is drawn.
const CHART: &str = include_str!("forecast.svg");

/// Its arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A TOML or JSON file.
    file: PathBuf,
    /// Simulate this many generated contacts instead of the customer's own; needs no database
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    people: Option<u32>,
    /// Where those people live: zones with weights, as in `Europe/Vienna=2,America/New_York=1`.
    #[arg(long, default_value = "UTC", value_parser = zones)]
    zones: Spread,
    /// Whose contacts (`cus_…`); the only customer's where there is one.
    #[arg(long)]
    customer: Option<String>,
    /// When the first are enrolled, in the time of `--zone`, as in `2026-03-02 09:00`.
    #[arg(long)]
    start: String,
    /// In which zone days are counted.
    #[arg(long, default_value = "UTC", value_parser = zone)]
    zone: Zone,
    /// For how many days it is looked ahead.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=731))]
    days: u32,
    /// How many are enrolled a day; all at once by default
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    enroll_per_day: Option<u32>,
    /// Over how many mailboxes they are spread.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    mailboxes: u32,
    /// How many mails a mailbox sends a day.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    daily_cap: Option<u32>,
    /// How many it sends on the first day, and by how many more each day, up to the cap.
    #[arg(long, requires = "daily_cap", value_parser = clap::value_parser!(u32).range(1..))]
    ramp: Option<u32>,
    /// How many it sends in an hour.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=200))]
    hourly_cap: Option<u32>,
    /// The least time between two of its mails, such as `2 minutes`.
    #[arg(long, value_parser = duration)]
    gap: Option<Duration>,
    /// What share of each gap is added to it at random.
    #[arg(long, default_value_t = 0.5, requires = "gap")]
    jitter: f32,
    /// What share of the mails is opened, as in `40%`.
    #[arg(long, default_value = "0%", value_parser = share)]
    opened: f64,
    /// What share has a link followed.
    #[arg(long, default_value = "0%", value_parser = share)]
    clicked: f64,
    /// What share is answered.
    #[arg(long, default_value = "0%", value_parser = share)]
    replied: f64,
    /// What share is refused for good.
    #[arg(long, default_value = "0%", value_parser = share)]
    bounced: f64,
    /// After what share somebody wants no more.
    #[arg(long, default_value = "0%", value_parser = share)]
    unsubscribed: f64,
    /// Draws other people for the answers.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Shows what the first so many people's runs do.
    #[arg(long, value_name = "PEOPLE", default_value_t = 0, hide_default_value = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(..=TRACED))]
    trace: u32,
    /// Writes a chart of the mails of each day to this file.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// JSON instead of tables.
    #[arg(long)]
    json: bool,
}

/// Zones with their weights.
#[derive(Clone)]
struct Spread(Vec<(Zone, u32)>);

pub(crate) async fn run(args: Args, settings: Settings) -> Result<Ending> {
    let text = source(&args.file)?;
    let definition = match read(&args.file, &text, &registry(&settings)?) {
        Ok(definition) => Arc::new(definition),
        Err(drawn) => {
            out::problem(&drawn);
            return Ok(Ending::Refused);
        }
    };
    let plan = args.plan()?;
    let people = cohort(&args, &settings, &definition, &plan).await?;
    if people.is_empty() {
        out::problem(
            "nobody can be mailed; add `--people 1000` to simulate that many generated contacts",
        );
        return Ok(Ending::NothingMatched);
    }
    let telling = Telling {
        traced: args.trace as usize,
        threads: std::thread::available_parallelism().map_or(1, usize::from).min(THREADS),
    };
    let (zone, show) = (args.zone.clone(), Arc::clone(&definition));
    let work = tokio::task::spawn_blocking(move || {
        simulation::simulate(Arc::clone(&show), &people, &plan, zone, telling, |act| {
            let line = line(act, &show, &people[act.person].zone);
            out::line(format_args!("{:>7}  {line}", act.person + 1));
        })
    });
    let forecast = work.await?;
    if let Some(file) = &args.svg {
        let drawn = chart(&definition.title, &forecast)?;
        std::fs::write(file, drawn).with_context(|| format!("can't write {}", file.display()))?;
    }
    if args.json {
        out::line(serde_json::to_string_pretty(&forecast)?);
    } else {
        tell(&forecast, &args.zone);
    }
    Ok(Ending::Done)
}

impl Args {
    fn plan(&self) -> Result<Plan> {
        let text = &self.start;
        let date = || text.parse::<NaiveDate>().ok()?.and_hms_opt(9, 0, 0);
        let local = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").ok().or_else(date);
        let Some(local) = local else {
            bail!("`--start {text}` is no local time; write it as in `2026-03-02 09:00`");
        };
        let starts_at = self.zone.resolve(local);
        let rule = Rule {
            gap: self.gap.map(|least| Gap { least, jitter: self.jitter }),
            at_once: None,
            rate: self.hourly_cap.map(|cap| Rate { cap, per: Duration::from_secs(3_600) }),
            daily: self.daily_cap.map(|cap| Daily {
                cap,
                ramp: self.ramp,
                zone: self.zone.clone(),
            }),
        };
        Ok(Plan {
            starts_at,
            days: self.days,
            per_day: self.enroll_per_day,
            mailboxes: self.mailboxes,
            rule,
            answers: Answers {
                opened: self.opened,
                clicked: self.clicked,
                replied: self.replied,
                bounced: self.bounced,
                unsubscribed: self.unsubscribed,
            },
            seed: self.seed,
        })
    }
}

async fn cohort(
    args: &Args,
    settings: &Settings,
    definition: &Definition,
    plan: &Plan,
) -> Result<Vec<Person>> {
    if let Some(count) = args.people {
        if count as usize > PEOPLE {
            bail!("`--people {count}` is too many; {PEOPLE} is the most");
        }
        return Ok(simulation::strangers(count as usize, &args.zones.0, plan));
    }
    let db = Database::find(settings)?.pool(Role::Worker, 1).await?;
    let customer = customer::choose(&db, args.customer.as_deref()).await?;
    let mut connection = db.acquire().await?;
    Ok(simulation::contacts(&mut connection, customer.id, definition, plan, CONTACTS).await?)
}

fn tell(forecast: &Forecast, zone: &Zone) {
    let instant = |at: Option<DateTime<Utc>>| at.map_or_else(String::new, |at| zone.local(at));
    let mut days = crate::listing::plain(&["day", "mails", "by step"]);
    for day in &forecast.days {
        let steps: Vec<String> =
            day.steps.iter().map(|(step, count)| format!("{step} {count}")).collect();
        let mails: usize = day.steps.values().sum();
        days.add_row([day.date.to_string(), mails.to_string(), steps.join(", ")]);
    }
    out::line(format_args!("{days}\n"));
    let mut steps = crate::listing::plain(&["step", "type", "done", "skipped", "first", "last"]);
    for step in &forecast.steps {
        steps.add_row([
            step.step.clone(),
            step.r#type.clone(),
            step.done.to_string(),
            step.skipped.to_string(),
            instant(step.first_at),
            instant(step.last_at),
        ]);
    }
    out::line(format_args!("{steps}\n"));
    out::line(format_args!("{} enrolled", forecast.started));
    for end in &forecast.ends {
        out::line(format_args!("{} {}: {}", end.runs, end.state, end.reason));
    }
    if forecast.live > 0 {
        out::line(format_args!("{} are still in it at the end", forecast.live));
    }
    if forecast.waiting > 0 {
        out::line(format_args!(
            "{} of them wait for a mailbox; more mailboxes or a higher cap finish sooner",
            forecast.waiting
        ));
    }
    if let Some(last_at) = forecast.last_at {
        out::line(format_args!("the last mail leaves {}", zone.local(last_at)));
    }
}

/// The mails of each day as stacked bars, one colour a step.
fn chart(title: &str, forecast: &Forecast) -> Result<String> {
    let environment = Environment::new();
    let mails = |day: &engine::rehearsal::Day| day.steps.values().sum::<usize>();
    let most = forecast.days.iter().map(mails).max().unwrap_or(0).max(1);
    let first = forecast.days.first().map(|day| day.date);
    let days: Vec<minijinja::Value> = forecast
        .days
        .iter()
        .map(|day| {
            let mut below = 0;
            let bars: Vec<minijinja::Value> = forecast
                .steps
                .iter()
                .enumerate()
                .filter_map(|(number, step)| {
                    let count = *day.steps.get(&step.step)?;
                    below += count;
                    Some(context! { step => &step.step, number, count, top => below })
                })
                .collect();
            let offset = first.map_or(0, |first| (day.date - first).num_days());
            context! { date => day.date.to_string(), offset, bars, mails => mails(day) }
        })
        .collect();
    let last =
        forecast.days.last().zip(first).map_or(0, |(day, first)| (day.date - first).num_days());
    let used: Vec<minijinja::Value> = forecast
        .steps
        .iter()
        .enumerate()
        .filter(|(_, step)| forecast.days.iter().any(|day| day.steps.contains_key(&step.step)))
        .map(|(number, step)| context! { number, step => &step.step, done => step.done })
        .collect();
    let drawn = environment.render_str(
        CHART,
        context! { title, days, most, count => last + 1, used, started => forecast.started },
    )?;
    Ok(drawn)
}

fn zones(text: &str) -> Result<Spread, String> {
    let part = |part: &str| {
        let (name, weight) = part.split_once('=').unwrap_or((part, "1"));
        let weight = weight.trim().parse::<u32>().ok().filter(|weight| (1..=100).contains(weight));
        let weight = weight.ok_or("a weight is 1 to 100, as in `Europe/Vienna=2`")?;
        Ok((zone(name.trim())?, weight))
    };
    text.split(',').map(part).collect::<Result<_, String>>().map(Spread)
}

/// `3%` or `0.03`.
fn share(text: &str) -> Result<f64, String> {
    let (number, by) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let share = number.trim().parse::<f64>().map(|number| number / by).ok();
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "a share is written as in `3%` or `0.03`".to_owned())
}
