//! Makes due timers jobs, in batches and in the order of their due times.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::pace::Pace;
use super::{Shared, WorkerError, found};
use crate::clock;

const BATCH: i64 = 500;
/// The shortest pause between two looks.
const SHORTEST: Duration = Duration::from_millis(2);

/// Of how many customers it remembers how far their jobs have gone.
const TAILS: usize = 10_000;

/// How far below the last promoted timer a look begins: as far as it goes fast. Beside a pinned snapshot, dead index
/// entries below have to be read again by every look.
const WIDEST: TimeDelta = TimeDelta::hours(1);
const NARROWEST: TimeDelta = TimeDelta::seconds(1);
/// What a look may take before the next one begins less far below.
const SLOW: Duration = Duration::from_millis(20);
/// How often somebody looks at everything.
const LOOK_BACK: Duration = Duration::from_millis(500);

/// Promotes until told to stop; sleeps until the next timer is due, but never longer than the poll. Begins with
/// everything, and goes on from what it has promoted.
pub(super) async fn run(shared: Arc<Shared>) -> Result<(), WorkerError> {
    let (mut from, mut margin) = (DateTime::UNIX_EPOCH, WIDEST);
    loop {
        let began = clock::started();
        let promoted = found(promote(&shared, from, None).await)?;
        margin = if began.elapsed() > SLOW {
            NARROWEST.max(margin / 2)
        } else {
            WIDEST.min(margin + NARROWEST)
        };
        if let Some(last) = promoted.last {
            from = from.max(last - margin);
            shared.tails.begin_from(from);
            shared.wake.notify_one();
        }
        if promoted.count < BATCH {
            let pause =
                until_next(&shared, from).await?.clamp(SHORTEST, shared.worker.settings.poll);
            let _woken = tokio::time::timeout(pause, shared.promote.notified()).await;
        }
    }
}

/// Promotes what stands below: what was put back, or queued by a transaction that took long to commit.
pub(super) async fn look_back(shared: Arc<Shared>) -> Result<(), WorkerError> {
    let mut pace = Pace::new(LOOK_BACK);
    loop {
        tokio::time::sleep(pace.left()).await;
        let began = clock::started();
        let below = shared.tails.from();
        let promoted = found(promote(&shared, DateTime::UNIX_EPOCH, Some(below)).await)?;
        if promoted.count > 0 {
            shared.wake.notify_one();
        }
        if promoted.count < BATCH {
            pace.looked(began);
        }
    }
}

/// How far the jobs go that this process made of each customer's timers, and from which instant on it looks.
#[derive(Default)]
pub(super) struct Tails {
    tails: Mutex<HashMap<Uuid, i64>>,
    from: Mutex<DateTime<Utc>>,
}

impl Tails {
    fn begin_from(&self, from: DateTime<Utc>) {
        *self.from.lock().unwrap_or_else(PoisonError::into_inner) = from;
    }

    fn from(&self) -> DateTime<Utc> {
        *self.from.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> (Vec<Uuid>, Vec<i64>) {
        let tails = self.tails.lock().unwrap_or_else(PoisonError::into_inner);
        tails.iter().map(|(customer_id, tail)| (*customer_id, *tail)).unzip()
    }

    fn moved(&self, customer_id: Uuid, pass: i64, served: i64) {
        let mut tails = self.tails.lock().unwrap_or_else(PoisonError::into_inner);
        tails.retain(|_, tail| *tail > served);
        if tails.len() < TAILS {
            tails.insert(customer_id, pass);
        }
    }
}

/// How many timers became jobs, and when the last of them was due.
#[derive(Default)]
pub(super) struct Promoted {
    count: i64,
    last: Option<DateTime<Utc>>,
}

/// Promotes a batch of what was due from this instant on, and before that one.
pub(super) async fn promote(
    shared: &Shared,
    from: DateTime<Utc>,
    before: Option<DateTime<Utc>>,
) -> Result<Promoted, WorkerError> {
    let (customers, passes) = shared.tails.read();
    let moved = sqlx::query!(
        r#"with due as (
             delete from engine.timers t where t.run_id = any(array(
               select run_id from engine.timers where due_at <= engine.now() and due_at >= $4
                 and due_at < coalesce($5, 'infinity'::timestamptz)
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
           select customer_id as "customer_id!", max(pass) as "pass!", count(*) as "moved!", engine.pass() as "served!",
             (select max(due_at) from due) as "last!"
           from moved group by customer_id"#,
        BATCH,
        &customers,
        &passes,
        from,
        before,
    )
    .fetch_all(&shared.worker.queue)
    .await?;
    for row in &moved {
        shared.tails.moved(row.customer_id, row.pass, row.served);
    }
    Ok(Promoted {
        count: moved.iter().map(|row| row.moved).sum(),
        last: moved.first().map(|row| row.last),
    })
}

/// How long it is, by the real clock, until the next timer from this instant on is due.
async fn until_next(shared: &Shared, from: DateTime<Utc>) -> Result<Duration, WorkerError> {
    let seconds = sqlx::query_scalar!(
        r#"select extract(epoch from
             (select due_at from engine.timers where due_at >= $1 order by due_at limit 1) - engine.now())::double precision
             / greatest(coalesce((select scale from engine.virtual_clock where one), 1), 0.001) as "seconds""#,
        from,
    )
    .fetch_one(&shared.worker.queue)
    .await?;
    Ok(seconds.map_or(shared.worker.settings.poll, |seconds| {
        Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(shared.worker.settings.poll)
    }))
}
