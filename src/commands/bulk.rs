//! The same done to many runs: those of some ids, or all that a filter matches. A filter is counted and shown
//! before anything is done; what it matches is done by an operation on the server, which goes on and can be
//! watched and stopped when this command has ended.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use chrono::{DateTime, Utc};
use clap::builder::PossibleValuesParser;
use engine::id;
use engine::operation::{self, NewOperation, Selection, Wish};
use engine::run::Action;
use sqlx::PgPool;
use uuid::Uuid;

use super::runs;
use crate::Ending;
use crate::settings::Settings;

const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a command waits for a worker to begin.
const BEGINS_WITHIN: Duration = Duration::from_secs(10);

/// Which runs, and how.
#[derive(clap::Args)]
pub(crate) struct Bulk {
    /// The runs (`run_…` or `enr_…`); without any, those that the filter matches.
    ids: Vec<String>,
    #[command(flatten)]
    filter: Filter,
    /// Only say how many match.
    #[arg(long)]
    dry_run: bool,
    /// Don't count, don't ask.
    #[arg(long)]
    yes: bool,
    /// How many runs a second at most, such as `100/s`.
    #[arg(long, value_parser = pace, conflicts_with = "ids")]
    rate: Option<f32>,
    /// Why, for whoever reads what was done.
    #[arg(long, conflicts_with = "ids")]
    reason: Option<String>,
}

/// The filter of all bulk commands.
#[derive(clap::Args)]
#[group(conflicts_with = "ids")]
pub(crate) struct Filter {
    /// In this state only.
    #[arg(long, value_parser = PossibleValuesParser::new(["ready", "running", "sleeping", "waiting", "paused", "held"]))]
    state: Option<String>,
    /// Of this sequence only.
    #[arg(long)]
    sequence: Option<String>,
    /// At this step only.
    #[arg(long)]
    step: Option<String>,
    /// Of this contact only (`con_…`).
    #[arg(long)]
    contact: Option<String>,
    /// Of this customer only (`cus_…`).
    #[arg(long)]
    customer: Option<String>,
    /// In this queue only, which is a step type such as `email.send`.
    #[arg(long)]
    queue: Option<String>,
    /// Whose reason contains this; with `*` for anything, as in `timeout*`, whose whole reason is so.
    #[arg(long)]
    error: Option<String>,
    /// Changed within so long, such as `2h`.
    #[arg(long)]
    since: Option<String>,
    /// Last changed longer ago than this, such as `2h`.
    #[arg(long)]
    until: Option<String>,
}

fn pace(text: &str) -> Result<f32, String> {
    let number = text.strip_suffix("/s").unwrap_or(text).parse::<f32>();
    number
        .ok()
        .filter(|pace| (0.01..=100_000.0).contains(pace))
        .ok_or_else(|| "write how many a second, from 0.01 to 100000, such as `100/s`".into())
}

impl Filter {
    fn is_empty(&self) -> bool {
        let texts = [
            &self.state,
            &self.sequence,
            &self.step,
            &self.contact,
            &self.customer,
            &self.queue,
            &self.error,
            &self.since,
            &self.until,
        ];
        texts.iter().all(|text| text.is_none())
    }

    async fn selection(self, db: &PgPool) -> Result<Selection> {
        let read = |prefix, text: Option<String>| -> Result<Option<Uuid>> {
            Ok(text.map(|text| id::read(prefix, &text)).transpose()?)
        };
        let reason =
            self.error.map(|text| if text.contains('*') { text } else { format!("*{text}*") });
        Ok(Selection {
            customer_id: read("cus", self.customer)?,
            subject_id: read("con", self.contact)?,
            state: self.state,
            workflow: self.sequence,
            step: self.step,
            queue: self.queue,
            reason,
            since: ago(db, self.since.as_deref()).await?,
            until: ago(db, self.until.as_deref()).await?,
        })
    }
}

/// The instant so long ago, by the engine's clock.
pub(crate) async fn ago(db: &PgPool, length: Option<&str>) -> Result<Option<DateTime<Utc>>> {
    let Some(length) = length else { return Ok(None) };
    let length = engine::timing::duration(length).map_err(anyhow::Error::msg)?;
    Ok(Some(engine::clock::now(db).await? - length))
}

impl Bulk {
    /// Held runs only, whatever else is asked for.
    pub(crate) fn held_only(mut self) -> Result<Self> {
        if self.filter.state.as_deref().is_some_and(|state| state != "held") {
            bail!("only held runs can be retried; write --state held");
        }
        if self.ids.is_empty() && !self.filter.is_empty() {
            self.filter.state = Some("held".into());
        }
        Ok(self)
    }

    /// Does it.
    pub(crate) async fn run(
        self,
        db: &PgPool,
        settings: &Settings,
        action: Action,
    ) -> Result<Ending> {
        if !self.ids.is_empty() {
            if self.dry_run {
                bail!("--dry-run goes with a filter; ids are what they are");
            }
            return runs::act(db, settings, &self.ids, &action).await;
        }
        if self.filter.is_empty() {
            bail!("name runs, or a filter such as --state held --error 'timeout*'");
        }
        let selection = self.filter.selection(db).await?;
        let mut total = 0;
        if !self.yes || self.dry_run {
            let preview = operation::preview(db, &selection).await?;
            total = preview.matched;
            let more = if preview.more { "more than " } else { "" };
            println!("{more}{total} runs match");
            for run in &preview.sample {
                println!("  such as {}", id::show("run", *run));
            }
            if total == 0 {
                return Ok(Ending::NothingMatched);
            }
            if self.dry_run || !agreed()? {
                return Ok(Ending::Done);
            }
        }
        let new = NewOperation {
            wish: Wish::Act(action),
            selection,
            actor: "cli".into(),
            reason: self.reason,
            per_second: self.rate,
            total,
        };
        let mut tx = db.begin().await?;
        let ordered = operation::order(&mut tx, &new).await?;
        tx.commit().await?;
        watch(db, ordered).await
    }
}

/// Waits for an operation, and says what came of it.
async fn watch(db: &PgPool, id: Uuid) -> Result<Ending> {
    let name = id::show("op", id);
    println!("{name} ordered; stop it by `salesos operations stop {name}`");
    let began = std::time::Instant::now();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let found = operation::find(db, None, id).await?;
        let found = found.ok_or_else(|| anyhow!("{name} is gone"))?;
        match found.status.as_str() {
            "queued" if began.elapsed() > BEGINS_WITHIN => {
                println!("no worker has begun it yet; look by `salesos operations show {name}`");
                return Ok(Ending::Done);
            }
            "queued" | "running" => {}
            status => {
                let error = found.error.map(|error| format!(": {error}")).unwrap_or_default();
                println!("{status}{error}; {} changed, {} skipped", found.changed, found.skipped);
                return Ok(match (status, found.done) {
                    ("failed", _) => Ending::Refused,
                    (_, 0) => Ending::NothingMatched,
                    (_, _) => Ending::Done,
                });
            }
        }
    }
}

fn agreed() -> Result<bool> {
    println!("do it? [y/N]");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
