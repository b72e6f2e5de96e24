//! The same done to many runs: those of some ids, or all that a filter matches. A filter is counted and shown
//! before anything is done; what it matches is done by an operation on the server, which continues and can be
//! watched and stopped when this command has ended.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::builder::PossibleValuesParser;
use engine::id;
use engine::operation::{self, NewOperation, OPEN_STATES, PACES, Preview, Wish};
use engine::run::{self, Action};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use super::selection::{Customers, Filter};
use super::{operations, runs};
use crate::settings::Settings;
use crate::{Ending, out};

const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a command waits for a worker to begin.
const BEGINS_WITHIN: Duration = Duration::from_secs(10);

/// Which runs, and how.
#[derive(clap::Args)]
pub(crate) struct Bulk {
    /// The runs (`run_…` or `enr_…`); without any, those that the filter matches
    #[arg(conflicts_with_all = ["filter", "state"])]
    ids: Vec<String>,
    /// Only runs in this state
    #[arg(long, value_parser = PossibleValuesParser::new(OPEN_STATES))]
    state: Option<String>,
    #[command(flatten)]
    filter: Filter,
    /// Only count what would change
    #[arg(long)]
    dry_run: bool,
    /// Neither count nor ask
    #[arg(long)]
    yes: bool,
    /// How many runs a second at most, such as `100/s`; unlimited by default
    #[arg(long, value_parser = pace, conflicts_with = "ids")]
    rate: Option<f32>,
    /// Why, kept in the operation
    #[arg(long)]
    reason: Option<String>,
    /// Print JSON; asks nobody, so it needs --yes or --dry-run with a filter
    #[arg(long)]
    json: bool,
}

fn pace(text: &str) -> Result<f32, String> {
    let number = text.strip_suffix("/s").unwrap_or(text).parse::<f32>();
    number
        .ok()
        .filter(|pace| PACES.contains(pace))
        .ok_or_else(|| "write how many a second, from 0.01 to 100000, such as `100/s`".into())
}

/// How the outcome is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    Json,
}

impl Bulk {
    /// Held runs only, whatever else is asked for.
    pub(crate) fn held_only(mut self) -> Result<Self> {
        if self.state.as_deref().is_some_and(|state| state != "held") {
            bail!("only held runs can be retried; write --state held");
        }
        if self.ids.is_empty() && !self.filter.is_empty() {
            self.state = Some("held".into());
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
        let form = if self.json { Form::Json } else { Form::Text };
        if !self.ids.is_empty() {
            if self.dry_run {
                return preview_ids(db, &self.ids, &action, form).await;
            }
            let reason = self.reason.as_deref();
            return runs::act(db, settings, &self.ids, (&action, reason), form).await;
        }
        if self.filter.is_empty() && self.state.is_none() {
            bail!("name runs, or a filter such as --state held --error 'timeout*'");
        }
        let of = (self.state, Customers::One);
        let selection = self.filter.selection(db, settings, of).await?;
        let wish = Wish::Act(action);
        let mut total = 0;
        if !self.yes || self.dry_run {
            let preview = operation::preview(db, &selection, &wish).await?;
            total = preview.matched;
            if total == 0 || self.dry_run {
                print(&preview, form);
                return Ok(if total == 0 { Ending::NothingMatched } else { Ending::Done });
            }
            if form == Form::Json || !std::io::stdin().is_terminal() {
                let count = counted(&preview);
                out::problem(format_args!(
                    "error: {count}, and nothing was done, as there is no terminal to ask on; add --yes to do it, or \
                     --dry-run to look"
                ));
                return Ok(Ending::NobodyToAsk);
            }
            print(&preview, form);
            if !agreed()? {
                out::line("nothing was done");
                return Ok(Ending::Refused);
            }
        }
        let new = NewOperation {
            wish,
            selection,
            actor: "cli".into(),
            reason: self.reason,
            per_second: self.rate,
            reach: None,
            total,
        };
        let mut tx = db.begin().await?;
        let ordered = operation::order(&mut tx, &new).await?;
        tx.commit().await?;
        watch(db, ordered, form).await
    }
}

/// Counts which of some runs an action would change.
async fn preview_ids(db: &PgPool, ids: &[String], action: &Action, form: Form) -> Result<Ending> {
    let run_ids: Vec<Uuid> = ids.iter().map(|id| runs::parse(id)).collect::<Result<_>>()?;
    let movable = run::movable(db, None, &run_ids, action).await?;
    let matched = i64::try_from(movable.len()).unwrap_or(i64::MAX);
    print(&Preview { matched, more: false, sample: movable }, form);
    Ok(if matched == 0 { Ending::NothingMatched } else { Ending::Done })
}

fn counted(preview: &Preview) -> String {
    let more = if preview.more { "more than " } else { "" };
    let runs = if preview.matched == 1 { "run matches" } else { "runs match" };
    format!("{more}{} {runs}", preview.matched)
}

fn print(preview: &Preview, form: Form) {
    let sample = preview.sample.iter().map(|run_id| id::show("run", *run_id));
    match form {
        Form::Json => {
            let sample: Vec<String> = sample.collect();
            let (matched, more) = (preview.matched, preview.more);
            out::line(json!({ "matched": matched, "more": more, "sample": sample }));
        }
        Form::Text => {
            out::line(counted(preview));
            for run in sample {
                out::line(format_args!("  such as {run}"));
            }
        }
    }
}

/// Waits for an operation, and shows its outcome.
async fn watch(db: &PgPool, id: Uuid, form: Form) -> Result<Ending> {
    let name = id::show("op", id);
    if form == Form::Text {
        out::line(format_args!("{name} ordered; stop it by `salesos operations stop {name}`"));
    }
    let began = std::time::Instant::now();
    loop {
        // It continues on the server; how it ends is not known yet.
        if out::is_unread() {
            return Ok(Ending::Done);
        }
        tokio::time::sleep(LOOK_EVERY).await;
        let found = operation::find(db, None, id).await?;
        let found = found.ok_or_else(|| anyhow!("{name} is gone"))?;
        let ending = match found.status.as_str() {
            "queued" if began.elapsed() > BEGINS_WITHIN => {
                if form == Form::Text {
                    out::line(format_args!(
                        "no worker has begun it yet; look by `salesos operations show {name}`"
                    ));
                }
                Ending::Done
            }
            "queued" | "running" => continue,
            status => {
                if form == Form::Text {
                    let error = found.error.as_deref().map(|error| format!(": {error}"));
                    let (changed, skipped) = (found.changed, found.skipped);
                    out::line(format_args!(
                        "{status}{}; {changed} changed, {skipped} skipped",
                        error.unwrap_or_default()
                    ));
                }
                match (status, found.done) {
                    ("failed", _) => Ending::Refused,
                    (_, 0) => Ending::NothingMatched,
                    (_, _) => Ending::Done,
                }
            }
        };
        if form == Form::Json {
            operations::print(found)?;
        }
        return Ok(ending);
    }
}

fn agreed() -> Result<bool> {
    out::line("do it? [y/N]");
    if out::is_unread() {
        return Ok(false);
    }
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
