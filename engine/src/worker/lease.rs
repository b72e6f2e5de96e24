//! That this worker lives: a row, an advisory lock on a connection of its own, and a heartbeat on the real
//! clock. Owns `engine.workers`.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, PgConnection};

use super::hold::Hold;
use super::{Shared, Worker, WorkerError};
use crate::clock;

const BEAT: Duration = Duration::from_secs(1);

/// The lease of one incarnation; the lock goes with its connection.
pub(super) struct Lease {
    id: i64,
    hold: Arc<Hold>,
    connection: PgConnection,
}

impl Lease {
    /// Takes a new number, its lock, and then writes the row, so that no sweep sees a row without a lock.
    pub(super) async fn take(worker: &Worker, queues: &[String]) -> Result<Self, WorkerError> {
        // Detached: a connection that goes back to the pool would keep the lock.
        let mut connection = worker.queue.acquire().await?.detach();
        let id = sqlx::query_scalar!(r#"select nextval('engine.worker_ids') as "id!""#)
            .fetch_one(&mut connection)
            .await?;
        sqlx::query!("select pg_advisory_lock($1)", id).execute(&mut connection).await?;
        let seen = clock::started();
        sqlx::query!(
            "insert into engine.workers (id, name, expires_at, queues)
             values ($1, $2, clock_timestamp() + make_interval(secs => $3), $4)",
            id,
            worker.settings.name,
            worker.settings.lease.as_secs_f64(),
            queues,
        )
        .execute(&mut connection)
        .await?;
        Ok(Self { id, hold: Arc::new(Hold::from(seen)), connection })
    }

    /// The incarnation's number.
    pub(super) fn id(&self) -> i64 {
        self.id
    }

    /// Whether it is surely alive.
    pub(super) fn hold(&self) -> Arc<Hold> {
        Arc::clone(&self.hold)
    }

    /// Ends the incarnation: what it claimed and did not begin goes back at once. What was running when the
    /// grace ended goes back as if the worker had died, because it may have acted.
    pub(super) async fn give_back(self, worker: &Worker, drained: bool) -> Result<(), WorkerError> {
        let Self { id, hold: _, connection } = self;
        if drained {
            sqlx::query!(
                "with gone as (
                   delete from engine.workers where id = $1
                 ), held as (
                   select run_id, granted from engine.jobs where worker = $1 order by run_id for update
                 ), back as (
                   update engine.jobs j set worker = null, claimed_at = null, granted = null,
                     attempt = greatest(j.attempt - 1, 0), pass = engine.pass()
                   from held h where j.run_id = h.run_id
                 )
                 update engine.limits l set running = greatest(l.running - d.n, 0),
                   wake_at = least(l.wake_at, engine.now())
                 from (select unnest(granted) as id, count(*)::int as n from held where granted is not null
                       group by 1 order by 1) d
                 where l.id = d.id",
                id,
            )
            .execute(&worker.queue)
            .await?;
        }
        connection.close().await?;
        Ok(())
    }
}

/// Tells the others that this worker lives, until it was found dead.
pub(super) async fn keep(shared: Arc<Shared>) -> Result<(), WorkerError> {
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        let now = clock::started();
        let seen = sqlx::query!(
            "update engine.workers set seen_at = clock_timestamp(),
               expires_at = clock_timestamp() + make_interval(secs => $2)
             where id = $1",
            shared.id,
            shared.worker.settings.lease.as_secs_f64(),
        )
        .execute(&shared.worker.queue)
        .await?;
        if seen.rows_affected() == 0 {
            return Err(WorkerError::LeaseLost);
        }
        shared.hold.renew(now);
    }
}
