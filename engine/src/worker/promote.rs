//! Makes due timers jobs, in batches and in the order of their due times.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::{Shared, WorkerError, found};

const BATCH: i64 = 500;
/// The shortest pause between two looks.
const SHORTEST: Duration = Duration::from_millis(2);

/// Of how many customers it remembers how far their jobs have gone.
const TAILS: usize = 10_000;

/// Promotes until told to stop; sleeps until the next timer is due, but never longer than the poll.
pub(super) async fn run(shared: Arc<Shared>) -> Result<(), WorkerError> {
    let mut tails = Tails::default();
    loop {
        let moved = found(promote(&shared, &mut tails).await)?;
        if moved > 0 {
            shared.wake.notify_one();
        }
        if moved < BATCH {
            let pause = until_next(&shared).await?.clamp(SHORTEST, shared.worker.settings.poll);
            let _woken = tokio::time::timeout(pause, shared.promote.notified()).await;
        }
    }
}

/// How far the jobs go that this process made of each customer's timers.
#[derive(Default)]
pub(super) struct Tails(HashMap<Uuid, i64>);

impl Tails {
    fn moved(&mut self, customer_id: Uuid, pass: i64, served: i64) {
        self.0.retain(|_, tail| *tail > served);
        if self.0.len() < TAILS {
            self.0.insert(customer_id, pass);
        }
    }
}

pub(super) async fn promote(shared: &Shared, tails: &mut Tails) -> Result<i64, WorkerError> {
    let (customers, passes): (Vec<Uuid>, Vec<i64>) = tails.0.iter().unzip();
    let moved = sqlx::query!(
        r#"with due as (
             delete from engine.timers t where t.run_id = any(array(
               select run_id from engine.timers where due_at <= engine.now()
               order by due_at, run_id limit $1 for update skip locked))
             returning t.run_id, t.customer_id, t.queue, t.step, t.iteration, t.attempt, t.boost, t.due_at
           ), placed as (
             select d.*, row_number() over (partition by d.customer_id order by d.due_at, d.run_id) as place,
               greatest(engine.pass(), ($3::bigint[])[array_position($2::uuid[], d.customer_id)]) as tail
             from due d
           ), moved as (
             insert into engine.jobs (run_id, customer_id, queue, step, iteration, attempt, boost, pass)
             select run_id, customer_id, queue, step, iteration, attempt, boost, tail + place - boost from placed
             returning customer_id, pass + boost as pass
           )
           select customer_id as "customer_id!", max(pass) as "pass!", count(*) as "moved!", engine.pass() as "served!"
           from moved group by customer_id"#,
        BATCH,
        &customers,
        &passes,
    )
    .fetch_all(&shared.worker.queue)
    .await?;
    for row in &moved {
        tails.moved(row.customer_id, row.pass, row.served);
    }
    Ok(moved.iter().map(|row| row.moved).sum())
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
