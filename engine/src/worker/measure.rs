//! What a worker tells of its work, as metrics: whoever runs the process decides where they go. Counted a
//! batch at a time, so that a step costs next to nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use super::claimed::Claimed;
use super::finish::Finished;

/// Jobs that were claimed, and how late the sleepers among them are.
pub(super) fn claimed(rows: &[Claimed], took: Duration) {
    if rows.is_empty() {
        return;
    }
    metrics::counter!("salesos_jobs_claimed_total").increment(rows.len() as u64);
    metrics::histogram!("salesos_claim_seconds").record(took.as_secs_f64());
    let late = rows.iter().filter_map(|row| (row.now - row.next_at?).to_std().ok());
    for late in late {
        metrics::histogram!("salesos_lateness_seconds").record(late.as_secs_f64());
    }
}

/// A batch that was recorded, by queue and by what became of the steps.
pub(super) fn recorded(batch: &[Finished], took: Duration) {
    let mut counts: BTreeMap<(&str, &'static str), u64> = BTreeMap::new();
    for finished in batch {
        let kind = finished.transition.as_ref().and_then(|transition| transition.kind);
        *counts.entry((&finished.job.queue, kind.unwrap_or("none"))).or_default() += 1;
    }
    for ((queue, kind), count) in counts {
        metrics::counter!("salesos_steps_total", "queue" => queue.to_owned(), "kind" => kind)
            .increment(count);
    }
    metrics::histogram!("salesos_record_seconds").record(took.as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "a batch has hundreds")]
    metrics::histogram!("salesos_record_batch_size").record(batch.len() as f64);
}

/// A lease that recorded nothing, because another held it by then.
pub(super) fn stale(count: u64) {
    metrics::counter!("salesos_stale_leases_total").increment(count);
}
