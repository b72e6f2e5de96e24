//! How long it takes to look ahead over a large cohort, and in how much memory: the command that people use.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use engine::clock;

use crate::{Amounts, Figure};

/// Four touches under the caps of 1,000 mailboxes, in four zones, with answers.
const ARGUMENTS: [&str; 22] = [
    "--zones",
    "America/New_York=3,Europe/Vienna=2,Asia/Tokyo=1,Australia/Sydney=1",
    "--start",
    "2026-03-02 09:00",
    "--days",
    "90",
    "--mailboxes",
    "1000",
    "--daily-cap",
    "200",
    "--gap",
    "30 seconds",
    "--opened",
    "40%",
    "--clicked",
    "5%",
    "--replied",
    "3%",
    "--bounced",
    "1%",
    "--zone",
    "UTC",
];

/// Seconds and memory.
pub(crate) async fn ahead(amounts: &Amounts) -> Result<Vec<Figure>> {
    let began = clock::started();
    let mut child = Command::new(env!("CARGO_BIN_EXE_salesos"))
        .args(["workflows", "simulate", "workflows/outbound-intro.toml", "--people"])
        .arg(amounts.cohort.to_string())
        .args(ARGUMENTS)
        .stdout(Stdio::null())
        .spawn()?;
    let mut resident = 0.0_f64;
    let ended = loop {
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        resident = resident.max(high_water(child.id()).unwrap_or(0.0));
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    if !ended.success() {
        bail!("the command failed");
    }
    let seconds = began.elapsed().as_secs_f64();
    Ok(vec![
        Figure::new("simulate_seconds", seconds, "s", "< 20 for 1M people and 90 days"),
        Figure::new("simulate_resident_mib", resident, "MiB", "< 1024"),
    ])
}

/// The most memory that a process has had, in MiB.
fn high_water(process: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.context("Linux tells it")?.trim_end_matches("kB").trim();
    Ok(kib.parse::<f64>()? / 1_024.0)
}
