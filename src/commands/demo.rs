//! What `salesos dev --demo` shows: everybody's walk through the sequence, live, and where to look after.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use comfy_table::{Table, presets};
use crm::message::{self, Answers};
use engine::{clock, run};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::seed::{self, Seeded};

use crate::out;

const EVERY: Duration = Duration::from_millis(500);
/// Where nobody looks at a terminal, a line is enough now and then.
const EVERY_IN_A_LOG: Duration = Duration::from_secs(5);

/// Where everybody stands.
#[derive(Default, PartialEq)]
struct Standing {
    now: Option<DateTime<Utc>>,
    states: BTreeMap<String, i64>,
    steps: BTreeMap<String, i64>,
    mails: BTreeMap<String, i64>,
    exits: BTreeMap<String, i64>,
    answers: Answers,
    next_at: Option<DateTime<Utc>>,
}

/// Shows it until all have come to their end, then says where to look.
pub(crate) async fn watch(
    db: &PgPool,
    seeded: &Seeded,
    data_dir: &Path,
    api_url: &str,
    stop: &CancellationToken,
) -> Result<()> {
    let terminal = std::io::stdout().is_terminal();
    let every = if terminal { EVERY } else { EVERY_IN_A_LOG };
    let mut lines = 0;
    let began = Standing::look(db, seeded).await?.now;
    loop {
        let standing = Standing::look(db, seeded).await?;
        let text = if terminal { standing.table(began) } else { standing.line(began) };
        // Over what was shown before.
        let over =
            if terminal && lines > 0 { format!("\x1b[{lines}A\x1b[J") } else { String::new() };
        out::notice(format_args!("{over}{text}"));
        lines = text.lines().count();
        if standing.open() == 0 {
            summary(&standing, seeded, data_dir, api_url, began);
            return Ok(());
        }
        if stop.run_until_cancelled(tokio::time::sleep(every)).await.is_none() {
            return Ok(());
        }
    }
}

impl Standing {
    async fn look(db: &PgPool, seeded: &Seeded) -> Result<Self> {
        let customer = seeded.customer.id;
        let runs = run::counts(db, customer).await?;
        let now = clock::now(db).await?;
        let answers = message::answers(db, customer).await?;
        let mails = message::counts(db, customer).await?.into_iter().collect();
        let mut standing = Self { now: Some(now), answers, mails, ..Self::default() };
        for count in runs {
            match count.exit_reason {
                Some(exit) => *standing.exits.entry(exit).or_default() += count.runs,
                None => *standing.steps.entry(count.step).or_default() += count.runs,
            }
            *standing.states.entry(count.state).or_default() += count.runs;
            let due = [standing.next_at, count.next_at];
            standing.next_at = due.into_iter().flatten().min();
        }
        Ok(standing)
    }

    /// How many go on by themselves or wait for a person.
    fn open(&self) -> i64 {
        let ended = ["completed", "exited", "cancelled", "held"];
        self.states
            .iter()
            .filter(|(state, _)| !ended.contains(&state.as_str()))
            .map(|(_, count)| count)
            .sum()
    }

    fn day(&self, began: Option<DateTime<Utc>>) -> String {
        match (self.now, began) {
            (Some(now), Some(began)) => {
                format!(
                    "day {:>2}, {}",
                    (now - began).num_days() + 1,
                    now.format("%a %Y-%m-%d %H:%MZ")
                )
            }
            _ => String::new(),
        }
    }

    fn line(&self, began: Option<DateTime<Utc>>) -> String {
        format!(
            "{} · {} · mails {} · replies {}",
            self.day(began),
            words(&self.states),
            words(&self.mails),
            self.answers.replied
        )
    }

    fn table(&self, began: Option<DateTime<Utc>>) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY);
        let next = self
            .next_at
            .map_or_else(|| "–".into(), |at| at.format("%a %Y-%m-%d %H:%MZ").to_string());
        for (name, value) in [
            ("clock", self.day(began)),
            ("runs", words(&self.states)),
            ("at step", words(&self.steps)),
            ("ended by", words(&self.exits)),
            ("mails", words(&self.mails)),
            (
                "answers",
                format!(
                    "{} opened · {} clicked · {} replied",
                    self.answers.opened, self.answers.clicked, self.answers.replied
                ),
            ),
            ("next due", next),
        ] {
            table.add_row([name.to_owned(), value]);
        }
        table.to_string()
    }
}

fn words(counts: &BTreeMap<String, i64>) -> String {
    let words: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    if words.is_empty() { "–".into() } else { words.join(" · ") }
}

fn summary(
    standing: &Standing,
    seeded: &Seeded,
    data_dir: &Path,
    api_url: &str,
    began: Option<DateTime<Utc>>,
) {
    let total: i64 = standing.states.values().sum();
    out::notice("");
    out::notice(format_args!(
        "All {total} contacts have come to the end of `{}`: {}.",
        seeded.sequence.name,
        standing.day(began)
    ));
    out::notice(format_args!("  ended     {}", words(&standing.exits)));
    out::notice(format_args!(
        "  mails     {} ({})",
        words(&standing.mails),
        data_dir.join("mail").display()
    ));
    out::notice(format_args!(
        "  API       {api_url}/api/v1  (login {} password {})",
        seed::EMAIL,
        seed::PASSWORD
    ));
    out::notice(
        "  look      salesos runs list · salesos runs history ID · salesos runs explain ID",
    );
    out::notice("The clock now runs like yours. Ctrl-C ends everything.");
}
