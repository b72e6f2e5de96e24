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
    let ratio = |name: &str, figure: &'static str, is_one: &dyn Fn(&Line) -> bool, reach| {
        let own = ours.iter().find(|figure| figure.name == name)?.value;
        let peers = lines.iter().filter(|line| is_one(line)).map(|line| line.value);
        peers.max_by(f64::total_cmp).map(|best| Figure::new(figure, own / best, "ratio", reach))
    };
    let (seq3, drain) = ("seq3_runs_per_s", "drain_runs_per_s");
    let batched = |line: &Line| line.name == "seq3_batched_runs_per_s";
    let river = |line: &Line| line.name == drain && line.peer == "river";
    let figures = [
        ratio(seq3, "seq3_by_best_peer", &|line| line.name == seq3, ">= 6 (aim: 8)"),
        ratio(seq3, "seq3_by_best_batched_peer", &batched, ""),
        ratio(drain, "drain_by_best_peer", &|line| line.name == drain, ">= 1"),
        ratio(drain, "drain_by_river", &river, ">= 1.5"),
    ];
    Ok(figures.into_iter().flatten().collect())
}
