//! Peers on the same Postgres, in the same run: what counts is the ratio.

use std::process::Command;

use anyhow::Result;
use serde::Deserialize;

use crate::Figure;

/// A figure as `benches/peers/run` prints it.
#[derive(Deserialize)]
struct Line {
    peer: String,
    version: String,
    name: String,
    value: f64,
}

/// Runs the peers, and sets them beside what was measured of ours.
pub(crate) fn peers(url: &str, ours: &[Figure]) -> Result<Vec<Figure>> {
    let output = Command::new("benches/peers/run").arg(url).output()?;
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<Line> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for line in &lines {
        println!("peer {} {}: {} {:.0}", line.peer, line.version, line.name, line.value);
    }
    let ratio = |name: &str, figure: &'static str, reach: &'static str| {
        let own = ours.iter().find(|figure| figure.name == name)?.value;
        let best = lines.iter().filter(|line| line.name == name).map(|line| line.value);
        best.max_by(f64::total_cmp).map(|best| Figure::new(figure, own / best, "ratio", reach))
    };
    let figures = [
        ratio("seq3_runs_per_s", "seq3_by_best_peer", ">= 6 (aim: 8)"),
        ratio("drain_runs_per_s", "drain_by_best_peer", ">= 1"),
    ];
    Ok(figures.into_iter().flatten().collect())
}
