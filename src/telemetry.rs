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
        // It would say on standard error that standard error can't be written, and panic.
        .log_internal_errors(false)
        .init();
    Ok(())
}

/// What kind of number a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Every metric, with the help that scrapers show.
const METRICS_HELP: [(Kind, &str, &str); 15] = [
    (Kind::Counter, "salesos_jobs_claimed_total", "Step jobs that this process claimed."),
    (Kind::Counter, "salesos_steps_total", "Steps that were recorded, by queue and by outcome."),
    (
        Kind::Counter,
        "salesos_stale_leases_total",
        "Outcomes that were not recorded because another process held the lease.",
    ),
    (Kind::Histogram, "salesos_claim_seconds", "Time that a claim of jobs took."),
    (Kind::Histogram, "salesos_lateness_seconds", "Time between when a job was due and its claim."),
    (Kind::Histogram, "salesos_record_seconds", "Time that recording a batch of steps took."),
    (Kind::Histogram, "salesos_record_batch_size", "Steps that one batch recorded."),
    (Kind::Gauge, "salesos_outbox_untold", "Events in the outbox that wait to be published."),
    (Kind::Gauge, "salesos_outbox_lag_seconds", "Age of the oldest event that waits."),
    (Kind::Gauge, "salesos_outbox_parked", "Events that were set aside with their reason."),
    (Kind::Counter, "salesos_outbox_told_total", "Events that were published."),
    (Kind::Histogram, "salesos_relay_seconds", "Time that a part of publishing took."),
    (Kind::Gauge, "salesos_consumer_lag", "Messages of a topic that its consumer has not read."),
    (Kind::Counter, "salesos_consumer_messages_total", "Messages that were read, by topic."),
    (
        Kind::Counter,
        "salesos_consumer_dead_letters_total",
        "Messages that were moved to the dead letters of their topic.",
    ),
];

/// Begins to count; what was counted before is lost.
pub(crate) fn measure() -> Result<()> {
    let handle = buckets()?.install_recorder()?;
    describe();
    let _first = METRICS.set(handle);
    Ok(())
}

fn buckets() -> Result<PrometheusBuilder> {
    Ok(PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_size".into()), &SIZES)?)
}

/// Registers the help of every metric with the recorder.
fn describe() {
    for (kind, name, help) in METRICS_HELP {
        match kind {
            Kind::Counter => metrics::describe_counter!(name, help),
            Kind::Gauge => metrics::describe_gauge!(name, help),
            Kind::Histogram => metrics::describe_histogram!(name, help),
        }
    }
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// The names under which a folder's sources count, gauge and measure.
    fn used(folder: &Path, names: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                used(&path, names);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                for macro_name in ["counter", "gauge", "histogram"] {
                    for used in text.split(&format!("metrics::{macro_name}!(")).skip(1) {
                        let name = used
                            .trim_start()
                            .strip_prefix('"')
                            .and_then(|rest| rest.split('"').next());
                        names.extend(name.map(str::to_owned));
                    }
                }
            }
        }
    }

    #[test]
    fn every_metric_that_the_code_uses_has_help_and_no_other_is_described() {
        let mut names = BTreeSet::new();
        for folder in ["src", "engine/src", "crm/src", "steps/src", "providers/src", "api/src"] {
            used(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut names);
        }
        let described = METRICS_HELP.iter().map(|(_, name, _)| (*name).to_owned()).collect();
        assert_eq!(names, described);
    }

    #[test]
    fn every_metric_is_shown_with_its_help_and_named_as_prometheus_wants() {
        let recorder = buckets().unwrap().build_recorder();
        let handle = recorder.handle();
        let shown = metrics::with_local_recorder(&recorder, || {
            describe();
            for (kind, name, _) in METRICS_HELP {
                match kind {
                    Kind::Counter => metrics::counter!(name).increment(1),
                    Kind::Gauge => metrics::gauge!(name).set(1.0),
                    Kind::Histogram => metrics::histogram!(name).record(1.0),
                }
            }
            handle.render()
        });
        for (kind, name, help) in METRICS_HELP {
            assert!(shown.contains(&format!("# HELP {name} {help}\n")), "{name}: {shown}");
            assert!(help.ends_with('.') && help.len() > 20, "{name} has no help worth reading");
            assert_eq!(name.ends_with("_total"), kind == Kind::Counter, "{name}");
        }
    }
}
