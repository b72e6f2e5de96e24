//! How commands show rows: a table for people, JSON for scripts.

use std::future::Future;
use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Result;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::Ending;
use crate::out;

const WATCH_EVERY: Duration = Duration::from_secs(2);

/// What every listing takes.
#[derive(clap::Args, Clone)]
pub(crate) struct Listing {
    /// JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// How many rows at most.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// Show it again every two seconds until stopped.
    #[arg(long)]
    watch: bool,
}

/// Shows rows, once or again and again; `cells` makes a table's row of one.
pub(crate) async fn show<T: Serialize, F: Future<Output = Result<Vec<T>>>>(
    args: &Listing,
    headers: &[&str],
    cells: impl Fn(&T) -> Vec<String>,
    rows: impl Fn() -> F,
) -> Result<Ending> {
    loop {
        let mut rows = rows().await?;
        rows.truncate(usize::try_from(args.limit).unwrap_or(usize::MAX));
        let text = if args.json {
            serde_json::to_string_pretty(&rows)?
        } else {
            table(headers, &rows, &cells)
        };
        // Only a terminal knows what to do with it.
        if args.watch && std::io::stdout().is_terminal() {
            out::text("\x1b[2J\x1b[H");
        }
        out::line(&text);
        if !args.watch {
            return Ok(if rows.is_empty() { Ending::NothingMatched } else { Ending::Done });
        }
        if out::is_unread() {
            return Ok(Ending::Done);
        }
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

/// A table of rows, or a line that says that there are none.
fn table<T>(headers: &[&str], rows: &[T], cells: impl Fn(&T) -> Vec<String>) -> String {
    if rows.is_empty() {
        return "nothing matches".into();
    }
    let mut table = plain(headers);
    for row in rows {
        table.add_row(cells(row));
    }
    table.to_string()
}

/// A table with these headers and no rows yet.
pub(crate) fn plain(headers: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(headers.iter().map(|header| (*header).to_owned()));
    table
}
