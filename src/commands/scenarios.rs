//! `salesos workflows test`: plays the scenarios of workflow files on a clock that jumps.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use engine::definition::Definition;
use engine::rehearsal::{self, Act, Played};
use engine::timing::Zone;
use serde::Serialize;

use super::workflows::{read, registry, source};
use crate::Ending;
use crate::out;
use crate::settings::Settings;

/// How many acts of a failed scenario are shown.
const SHOWN: usize = 40;

/// Its arguments.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// TOML or JSON files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Show what each run did, also where all came as it must.
    #[arg(long)]
    trace: bool,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// What came of one scenario.
#[derive(Serialize)]
struct Row {
    file: String,
    scenario: String,
    passed: bool,
    failures: Vec<String>,
    trace: Vec<String>,
}

pub(crate) fn run(args: &Args, settings: &Settings) -> Result<Ending> {
    let registry = registry(settings)?;
    let mut rows = Vec::new();
    let mut refused = false;
    for file in &args.files {
        match read(file, &source(file)?, &registry) {
            Ok(definition) => {
                let definition = Arc::new(definition);
                let file = file.display().to_string();
                for scenario in &definition.scenarios {
                    let played = rehearsal::play(&definition, scenario);
                    rows.push(row(&file, &definition, scenario, played));
                }
                if definition.scenarios.is_empty() {
                    out::problem(format_args!(
                        "{file}: it has no scenario; write `[[scenario]]` into it"
                    ));
                }
            }
            Err(drawn) => {
                out::problem(&drawn);
                refused = true;
            }
        }
    }
    if args.json {
        out::line(serde_json::to_string_pretty(&rows)?);
    } else {
        tell(&rows, args);
    }
    let failed = rows.iter().any(|row| !row.passed);
    Ok(match rows.is_empty() {
        _ if refused || failed => Ending::Refused,
        true => Ending::NothingMatched,
        false => Ending::Done,
    })
}

fn row(
    file: &str,
    definition: &Definition,
    scenario: &engine::definition::Scenario,
    played: Played,
) -> Row {
    Row {
        file: file.to_owned(),
        scenario: scenario.name.clone(),
        passed: played.failures.is_empty(),
        failures: played.failures,
        trace: played.acts.iter().map(|act| line(act, definition, &scenario.zone)).collect(),
    }
}

/// An act as a line of a trace.
pub(super) fn line(act: &Act, definition: &Definition, zone: &Zone) -> String {
    let why = act.reason().map_or_else(String::new, |why| format!(": {why}"));
    let step = &definition.steps[act.step].id;
    format!("{}  {step:<20} {}{why}", zone.local(act.at), act.kind)
}

fn tell(rows: &[Row], args: &Args) {
    let mut file = "";
    for row in rows {
        if row.file != file {
            file = &row.file;
            out::line(file);
        }
        out::line(format_args!(
            "  {}  {}",
            if row.passed { "passed" } else { "FAILED" },
            row.scenario
        ));
        for failure in &row.failures {
            out::line(format_args!("          {failure}"));
        }
        if args.trace || !row.passed {
            for line in row.trace.iter().take(SHOWN) {
                out::line(format_args!("            {line}"));
            }
            if let Some(more) = row.trace.len().checked_sub(SHOWN).filter(|more| *more > 0) {
                out::line(format_args!("            and {more} more"));
            }
        }
    }
    let failed = rows.iter().filter(|row| !row.passed).count();
    out::line(format_args!("{} passed, {failed} failed", rows.len() - failed));
}
