//! The record: one statement that takes a batch of finished jobs off the queue, moves their runs, appends
//! their history, and puts what follows where it belongs. A lease that is no longer ours changes nothing.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::finish::Finished;
use crate::decision::{Intent, Next, Transition};

/// What was recorded of a run.
pub(super) struct Recorded {
    pub(super) run_id: Uuid,
    /// The sequence number of the step's row of history.
    pub(super) seq: i32,
    /// Its state now; another than the one asked for when a person or a signal was faster.
    pub(super) state: String,
    /// Signals ever delivered to it.
    pub(super) inbox: i32,
    pub(super) at: DateTime<Utc>,
}

/// The columns of a batch.
#[derive(Default)]
struct Columns {
    run_id: Vec<Uuid>,
    step: Vec<String>,
    iteration: Vec<i32>,
    attempt: Vec<i16>,
    seen: Vec<i32>,
    goes_on: Vec<bool>,
    state: Vec<&'static str>,
    place: Vec<&'static str>,
    to_step: Vec<String>,
    to_queue: Vec<String>,
    to_iteration: Vec<i32>,
    to_attempt: Vec<i16>,
    due_at: Vec<Option<DateTime<Utc>>>,
    wait_signal: Vec<Option<String>>,
    reason: Vec<Option<String>>,
    keeps_intent: Vec<bool>,
    data: Vec<Option<Value>>,
    kind: Vec<Option<&'static str>>,
    detail: Vec<Option<Value>>,
    end_kind: Vec<Option<&'static str>>,
    end_actor: Vec<Option<String>>,
    limits: Vec<Option<Value>>,
    closes_at: Vec<Option<DateTime<Utc>>>,
    share: Vec<f32>,
    meant: Vec<Option<Value>>,
}

/// Where a transition leaves the run's row.
struct Standing {
    state: &'static str,
    place: &'static str,
    due_at: Option<DateTime<Utc>>,
    wait_signal: Option<String>,
    reason: Option<String>,
    iteration: i32,
    attempt: i16,
    end_kind: Option<&'static str>,
    end_actor: Option<String>,
}

impl Standing {
    fn live(
        place: &'static str,
        due_at: Option<DateTime<Utc>>,
        iteration: i32,
        attempt: i16,
    ) -> Self {
        Self {
            state: "live",
            place,
            due_at,
            wait_signal: None,
            reason: None,
            iteration,
            attempt,
            end_kind: None,
            end_actor: None,
        }
    }

    fn resting(
        state: &'static str,
        kind: &'static str,
        reason: String,
        finished: &Finished,
    ) -> Self {
        Self {
            state,
            reason: Some(reason),
            end_kind: Some(kind),
            ..Self::live("none", None, finished.job.iteration, finished.job.attempt)
        }
    }

    fn of(finished: &Finished) -> Self {
        let (iteration, attempt) = (finished.job.iteration, finished.job.attempt);
        let Some(transition) = &finished.transition else {
            // Nothing was tried: the claim's attempt is not used.
            return Self::live("job", None, iteration, attempt - 1);
        };
        let place = |at: Option<DateTime<Utc>>| match (at, &finished.lane) {
            (Some(_), _) => "timer",
            (None, Some(_)) => "lane",
            (None, None) => "job",
        };
        match &transition.next {
            Next::Enter { iteration, at, .. } => Self::live(place(*at), *at, *iteration, 0),
            Next::Again { at, attempt } => Self::live(place(*at), *at, iteration, *attempt),
            Next::Listen { signal, until } => Self {
                wait_signal: Some(signal.clone()),
                ..Self::live(if until.is_some() { "timer" } else { "signal" }, *until, iteration, 0)
            },
            Next::Hold { reason } => Self::resting("held", "run.held", reason.clone(), finished),
            Next::Complete => {
                Self::resting("completed", "run.completed", "completed".into(), finished)
            }
            Next::Exit { reason, by_signal } => Self {
                end_actor: by_signal.then(|| format!("signal:{reason}")),
                ..Self::resting("exited", "run.exited", reason.clone(), finished)
            },
        }
    }
}

impl Columns {
    fn of(batch: &[Finished]) -> Self {
        let mut columns = Self::default();
        for finished in batch {
            columns.push(finished);
        }
        columns
    }

    fn push(&mut self, finished: &Finished) {
        let job = &finished.job;
        let standing = Standing::of(finished);
        self.run_id.push(job.run_id);
        self.step.push(job.step.clone());
        self.iteration.push(job.iteration);
        self.attempt.push(job.attempt);
        self.seen.push(job.inbox);
        self.goes_on.push(finished.goes_on);
        self.state.push(standing.state);
        self.place.push(standing.place);
        self.to_step.push(finished.target.0.clone());
        self.to_queue.push(finished.target.1.clone());
        self.to_iteration.push(standing.iteration);
        self.to_attempt.push(standing.attempt);
        self.due_at.push(standing.due_at);
        self.wait_signal.push(standing.wait_signal);
        self.reason.push(standing.reason);
        self.end_kind.push(standing.end_kind);
        self.end_actor.push(standing.end_actor);
        let lane = finished.lane.as_ref();
        self.limits.push(lane.map(|lane| lane.limits.clone()));
        self.closes_at.push(lane.and_then(|lane| lane.closes_at));
        self.share.push(lane.map_or(0.0, |lane| lane.share));
        self.meant.push(finished.meant.as_ref().map(|meant| json!(meant)));
        let transition = finished.transition.as_ref();
        self.keeps_intent.push(transition.is_none_or(|next| next.intent == Intent::Kept));
        self.data.push(transition.and_then(memory));
        self.kind.push(transition.and_then(|next| next.kind));
        let detail = transition.and_then(|next| next.detail.as_ref());
        self.detail.push(detail.map(|detail| json!(detail)));
    }
}

fn memory(transition: &Transition) -> Option<Value> {
    let memory = transition.memory.as_ref()?;
    Some(serde_json::to_value(memory).expect("a memory has text keys only"))
}

/// Records a batch; each row that comes back was recorded, the others were no longer ours.
///
/// `is not distinct from` keeps the index on leases out of the plan: walking all leased jobs for each row of
/// a batch takes twenty times as long as finding each job by its run.
#[expect(clippy::too_many_lines, reason = "one statement, whole and visible in one place")]
pub(super) async fn record(
    tx: &mut PgConnection,
    worker: i64,
    batch: &[Finished],
) -> Result<Vec<Recorded>, sqlx::Error> {
    let columns = Columns::of(batch);
    sqlx::query_as!(
        Recorded,
        r#"with o as (
             select * from unnest($2::uuid[], $3::text[], $4::int[], $5::smallint[], $6::int[], $7::bool[],
               $8::text[], $9::text[], $10::text[], $11::text[], $12::int[], $13::smallint[], $14::timestamptz[],
               $15::text[], $16::text[], $17::bool[], $18::jsonb[], $19::text[], $20::jsonb[], $21::text[],
               $22::text[], $23::jsonb[], $24::timestamptz[], $25::real[], $26::jsonb[])
             as o(run_id, step, iteration, attempt, seen, goes_on, state, place, to_step, to_queue, to_iteration,
               to_attempt, due_at, wait_signal, reason, keeps_intent, data, kind, detail, end_kind, end_actor,
               to_limits, closes_at, share, meant)
           ), kept as (
             update engine.jobs j set step = o.to_step, queue = o.to_queue, iteration = o.to_iteration, attempt = 1,
               crashes = 0, begun = false, claimed_at = engine.now()
             from o
             where o.goes_on and j.run_id = o.run_id and j.worker is not distinct from $1 and j.attempt = o.attempt
               and j.step = o.step and j.iteration = o.iteration
             returning o.*, j.boost, j.pass, null::bigint[] as held, null::bigint[] as asked
           ), freed as (
             delete from engine.jobs j using o
             where not o.goes_on and j.run_id = o.run_id and j.worker is not distinct from $1 and j.attempt = o.attempt
               and j.step = o.step and j.iteration = o.iteration
             returning o.*, j.boost, j.pass, j.granted as held, case when o.to_limits is not null then (
               select array_agg(l.id order by k.place)
               from jsonb_array_elements(o.to_limits) with ordinality as k(pair, place)
               join engine.limits l on l.customer_id = j.customer_id and l.kind = k.pair ->> 0
                 and l.name = k.pair ->> 1) end as asked
           ), ran as (
             update engine.runs r set
               state = case when r.state in ('live', 'paused') and f.state <> 'live' then f.state else r.state end,
               place = case
                 when r.state <> 'live' or f.state <> 'live' then 'none'
                 when f.goes_on or r.inbox > f.seen or (f.place = 'lane' and f.asked is null) then 'job'
                 else f.place end,
               step = case when r.ended_at is null then f.to_step else r.step end,
               queue = case when r.ended_at is null then f.to_queue else r.queue end,
               iteration = case when r.ended_at is null then f.to_iteration else r.iteration end,
               -- What a run that had ended before is known by below: every job that ends one has an attempt.
               attempt = case when r.ended_at is null then f.to_attempt else 0 end,
               next_at = case when r.state = 'live' and f.state = 'live' then f.due_at end,
               wait_signal = case when r.ended_at is null then f.wait_signal end,
               remaining = case
                 when r.state <> 'paused' or f.state <> 'live' then null
                 when f.place = 'signal' then null
                 else greatest(coalesce(f.due_at - engine.now(), interval '0'), interval '0') end,
               reason = case when r.ended_at is null and f.state <> 'live' then f.reason else r.reason end,
               ended_at = case
                 when r.ended_at is null and f.state in ('completed', 'exited') then engine.now() else r.ended_at end,
               intent = case when f.keeps_intent then r.intent end,
               data = coalesce(f.data, r.data),
               -- It speaks of the instant that stands in it alone, so an old one may stay.
               meant = coalesce(f.meant, r.meant),
               changed_at = engine.now(),
               seq = r.seq + (f.kind is not null)::int
                 + (f.end_kind is not null and r.ended_at is null)::int
             from (select * from kept union all select * from freed order by run_id) f
             where r.id = f.run_id
             returning f.*, r.customer_id, r.state as is_now, r.place as stands, r.seq, r.inbox, r.next_at,
               r.reason is not distinct from f.reason and r.state = f.state and f.end_kind is not null
                 and r.attempt > 0 as has_ended
           ), told as (
             insert into engine.history (run_id, seq, at, kind, step, iteration, attempt, actor, data)
             select run_id, seq - has_ended::int, engine.now(), kind, step, iteration, attempt, 'worker:' || $1, detail
             from ran where kind is not null
             union all
             select run_id, seq, engine.now(), end_kind, step, iteration, null, coalesce(end_actor, 'worker:' || $1),
               jsonb_build_object('reason', reason)
             from ran where has_ended
           ), ready as (
             insert into engine.jobs (run_id, customer_id, queue, step, iteration, attempt, boost, pass, granted)
             select run_id, customer_id, to_queue, to_step, to_iteration, to_attempt, boost,
               engine.pass() + row_number() over (partition by customer_id order by run_id) - boost,
               case when place = 'lane' and asked is null then '{}'::bigint[] end
             from ran where not goes_on and stands = 'job'
           ), timed as (
             insert into engine.timers (run_id, due_at, customer_id, queue, step, iteration, attempt, boost)
             select run_id, due_at, customer_id, to_queue, to_step, to_iteration, to_attempt, boost
             from ran where not goes_on and stands = 'timer'
           ), laned as (
             insert into engine.lane_jobs
               (run_id, customer_id, queue, step, iteration, attempt, boost, lane, limits, share, pass, closes_at)
             -- Who stood first in the queue stands first in line.
             select run_id, customer_id, to_queue, to_step, to_iteration, to_attempt, boost, asked[1], asked, share,
               pass, closes_at
             from ran where stands = 'lane'
             returning lane
           ), counted as (
             -- One update per limit: of two that met one row in one statement, one would be lost.
             update engine.limits l set running = greatest(l.running - d.ended, 0), waiting = l.waiting + d.queued,
               wake_at = case when l.waiting + d.queued > 0
                 then least(l.wake_at, greatest(l.next_at, engine.now())) else l.wake_at end
             from (select id, sum(ended)::int as ended, sum(queued)::int as queued
                   from (select unnest(held) as id, 1 as ended, 0 as queued from freed where held is not null
                         union all select lane, 0, 1 from laned) as both_ways
                   group by id order by id) d
             where l.id = d.id
           )
           select run_id as "run_id!", seq - has_ended::int as "seq!", is_now as "state!", inbox as "inbox!",
             engine.now() as "at!"
           from ran"#,
        worker,
        &columns.run_id,
        &columns.step,
        &columns.iteration,
        &columns.attempt,
        &columns.seen,
        &columns.goes_on,
        &columns.state as &[&str],
        &columns.place as &[&str],
        &columns.to_step,
        &columns.to_queue,
        &columns.to_iteration,
        &columns.to_attempt,
        &columns.due_at as &[Option<DateTime<Utc>>],
        &columns.wait_signal as &[Option<String>],
        &columns.reason as &[Option<String>],
        &columns.keeps_intent,
        &columns.data as &[Option<Value>],
        &columns.kind as &[Option<&str>],
        &columns.detail as &[Option<Value>],
        &columns.end_kind as &[Option<&str>],
        &columns.end_actor as &[Option<String>],
        &columns.limits as &[Option<Value>],
        &columns.closes_at as &[Option<DateTime<Utc>>],
        &columns.share,
        &columns.meant as &[Option<Value>],
    )
    .fetch_all(tx)
    .await
}

/// Takes consumed signals out of the inbox, and everything out of the inboxes of runs that ended.
pub(super) async fn empty_inboxes(
    tx: &mut PgConnection,
    consumed: &[(Uuid, Uuid)],
    ended: &[Uuid],
) -> Result<(), sqlx::Error> {
    let (runs, signals): (Vec<Uuid>, Vec<Uuid>) = consumed.iter().copied().unzip();
    sqlx::query!(
        "delete from engine.inbox i
         where (i.run_id, i.signal_id) in (select * from unnest($1::uuid[], $2::uuid[])) or i.run_id = any($3)",
        &runs,
        &signals,
        ended,
    )
    .execute(tx)
    .await?;
    Ok(())
}
