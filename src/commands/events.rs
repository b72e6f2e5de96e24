//! `salesos events`: what SalesOS tells of, as JSON Schemas and as a reference.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use crm::event;

use crate::Ending;
use crate::out;

/// Its subcommands.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Writes the JSON Schema of each topic's data into a folder, a file per topic, and removes nothing there.
    Schemas {
        /// Where to; made where it is missing.
        folder: PathBuf,
    },
    /// Prints the reference of all topics, as Markdown.
    Reference,
}

pub(crate) fn run(command: Command) -> Result<Ending> {
    match command {
        Command::Schemas { folder } => schemas(&folder)?,
        Command::Reference => out::text(event::reference()),
    }
    Ok(Ending::Done)
}

fn schemas(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    for described in event::all().iter().chain([&event::published()]) {
        let file = folder.join(format!("{}.json", described.topic));
        let text = serde_json::to_string_pretty(&event::document(described))? + "\n";
        fs::write(&file, text).with_context(|| format!("can't write {}", file.display()))?;
    }
    Ok(())
}
