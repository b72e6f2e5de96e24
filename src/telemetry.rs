//! What a process tells of itself: lines on standard error, as RUST_LOG asks for, and metrics.

use std::io::{IsTerminal, stderr};
use std::sync::OnceLock;

use anyhow::{Result, anyhow};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Upper bounds of the histograms of times, in seconds.
const SECONDS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
/// Upper bounds of the histograms of sizes.
const SIZES: [f64; 8] = [1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0];

/// Begins to tell what the filter lets through. Colours are for terminals alone.
pub(crate) fn start(filter: &str) -> Result<()> {
    let told = EnvFilter::try_new(filter).map_err(|error| {
        anyhow!("RUST_LOG is `{filter}`: {error}; write such as `info,engine=debug`")
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(told)
        .with_ansi(stderr().is_terminal())
        .with_writer(stderr)
        .init();
    Ok(())
}

/// Begins to count; what was counted before is lost.
pub(crate) fn measure() -> Result<()> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_size".into()), &SIZES)?
        .install_recorder()?;
    let _first = METRICS.set(handle);
    Ok(())
}

/// The metrics in Prometheus' text format; nothing where nobody counts.
pub(crate) fn metrics() -> String {
    METRICS.get().map(PrometheusHandle::render).unwrap_or_default()
}

/// Lets go of what histograms keep between two looks; to be called every few seconds.
pub(crate) fn keep_up() {
    if let Some(handle) = METRICS.get() {
        handle.run_upkeep();
    }
}
