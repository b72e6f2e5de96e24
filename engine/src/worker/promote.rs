//! Makes due timers jobs, in batches and in the order of their due times.

use std::sync::Arc;
use std::time::Duration;

use super::{Shared, WorkerError};

const BATCH: i64 = 500;
/// The shortest pause between two looks.
const SHORTEST: Duration = Duration::from_millis(2);

/// Promotes until told to stop; sleeps until the next timer is due, but never longer than the poll.
pub(super) async fn run(shared: Arc<Shared>) -> Result<(), WorkerError> {
    loop {
        let moved = promote(&shared).await?;
        if moved > 0 {
            shared.wake.notify_one();
        }
        if moved < BATCH {
            let pause = until_next(&shared).await?.clamp(SHORTEST, shared.worker.settings.poll);
            let _woken = tokio::time::timeout(pause, shared.promote.notified()).await;
        }
    }
}

async fn promote(shared: &Shared) -> Result<i64, WorkerError> {
    let moved = sqlx::query_scalar!(
        r#"with due as (
             delete from engine.timers t where t.run_id = any(array(
               select run_id from engine.timers where due_at <= engine.now()
               order by due_at, run_id limit $1 for update skip locked))
             returning t.run_id, t.customer_id, t.queue, t.step, t.iteration, t.attempt, t.due_at
           ), moved as (
             insert into engine.jobs (run_id, customer_id, queue, step, iteration, attempt, pass)
             select run_id, customer_id, queue, step, iteration, attempt,
               engine.pass() + row_number() over (order by due_at, run_id) from due
             returning run_id
           )
           select count(*) as "moved!" from moved"#,
        BATCH,
    )
    .fetch_one(&shared.worker.queue)
    .await?;
    Ok(moved)
}

/// How long it is, by the real clock, until the next timer is due.
async fn until_next(shared: &Shared) -> Result<Duration, WorkerError> {
    let seconds = sqlx::query_scalar!(
        r#"select extract(epoch from
             (select due_at from engine.timers order by due_at limit 1) - engine.now())::double precision
             / greatest(coalesce((select scale from engine.virtual_clock where one), 1), 0.001) as "seconds""#,
    )
    .fetch_one(&shared.worker.queue)
    .await?;
    Ok(seconds.map_or(shared.worker.settings.poll, |seconds| {
        Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(shared.worker.settings.poll)
    }))
}
