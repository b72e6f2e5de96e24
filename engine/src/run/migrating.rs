//! Writes runs into another version of their workflow: each keeps its place, its attempts and what it waits
//! for, but for what the change says. One that a worker holds, or whose history has grown since it was read,
//! is left as it is.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::family;
use super::meant::Meant;

/// A run on its way into another version.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Moving {
    pub(crate) run_id: Uuid,
    /// The row of its history up to which it was read.
    pub(crate) seq: i32,
    /// The version that it follows from now on.
    pub(crate) definition_id: i64,
    pub(crate) step: String,
    pub(crate) queue: String,
    pub(crate) iteration: i32,
    pub(crate) stance: Stance,
    /// Whether its place in a lane has to be asked for anew.
    pub(crate) relane: bool,
    pub(crate) data: Value,
    /// What its history is told.
    pub(crate) told: Value,
}

/// How it stands from now on. What a pause left of a delay is in microseconds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stance {
    /// As it stood.
    Keep,
    /// Where it slept or listened, until another instant or for another signal; with the local time that is meant by
    /// the instant.
    Wait {
        next_at: Option<DateTime<Utc>>,
        remaining: Option<i64>,
        signal: Option<String>,
        local: Option<NaiveDateTime>,
    },
    /// Asleep, listening, or due where neither is said; at once where it has heard something since.
    Put {
        next_at: Option<DateTime<Utc>>,
        remaining: Option<i64>,
        signal: Option<String>,
        heard: bool,
    },
    /// Due now, with all attempts before it.
    Look,
    /// At its end.
    End { reason: String },
}

impl Stance {
    fn meant(&self) -> Option<Value> {
        match self {
            Self::Wait { next_at: Some(at), local: Some(local), .. } => {
                Some(json!(Meant::now(*local, *at)))
            }
            Self::Wait { .. } | Self::Keep | Self::Put { .. } | Self::Look | Self::End { .. } => {
                None
            }
        }
    }
}

/// A run that was written.
pub(crate) struct Written {
    pub(crate) run_id: Uuid,
    pub(crate) ended: bool,
}

#[derive(Default)]
struct Columns {
    ids: Vec<Uuid>,
    seqs: Vec<i32>,
    definitions: Vec<i64>,
    steps: Vec<String>,
    queues: Vec<String>,
    iterations: Vec<i32>,
    modes: Vec<&'static str>,
    nexts: Vec<Option<DateTime<Utc>>>,
    remaining: Vec<Option<i64>>,
    meant: Vec<Option<Value>>,
    signals: Vec<Option<String>>,
    reasons: Vec<Option<String>>,
    relane: Vec<bool>,
    data: Vec<Value>,
    told: Vec<Value>,
}

impl Columns {
    fn of(runs: &[Moving]) -> Self {
        let mut columns = Self::default();
        for run in runs {
            columns.push(run);
        }
        columns
    }

    fn push(&mut self, run: &Moving) {
        let (mode, next_at, remaining, signal, reason) = match &run.stance {
            Stance::Keep => ("keep", None, None, None, None),
            Stance::Wait { next_at, remaining, signal, local: _ } => {
                ("wait", *next_at, *remaining, signal.clone(), None)
            }
            Stance::Put { next_at, remaining, signal, heard } => {
                let mode = if *heard { "heard" } else { "put" };
                (mode, *next_at, *remaining, signal.clone(), None)
            }
            Stance::Look => ("look", None, None, None, None),
            Stance::End { reason } => ("end", None, None, None, Some(reason.clone())),
        };
        self.ids.push(run.run_id);
        self.seqs.push(run.seq);
        self.definitions.push(run.definition_id);
        self.steps.push(run.step.clone());
        self.queues.push(run.queue.clone());
        self.iterations.push(run.iteration);
        self.modes.push(mode);
        self.nexts.push(next_at);
        self.remaining.push(remaining);
        self.meant.push(run.stance.meant());
        self.signals.push(signal);
        self.reasons.push(reason);
        self.relane.push(run.relane);
        self.data.push(run.data.clone());
        self.told.push(run.told.clone());
    }
}

/// Locks what a worker could take, and the runs, in the engine's order.
async fn lock(tx: &mut PgConnection, ids: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select from engine.jobs where run_id = any($1) and worker is null order by run_id for update",
        ids,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("select from engine.runs where id = any($1) order by id for update", ids)
        .execute(tx)
        .await?;
    Ok(())
}

/// Writes them, and one row of history for each; those that come back were written.
#[expect(clippy::too_many_lines, reason = "one statement, whole and visible in one place")]
pub(crate) async fn write(
    tx: &mut PgConnection,
    runs: &[Moving],
    actor: &str,
) -> Result<Vec<Written>, sqlx::Error> {
    if runs.is_empty() {
        return Ok(Vec::new());
    }
    let columns = Columns::of(runs);
    lock(tx, &columns.ids).await?;
    let written = sqlx::query_as!(
        Written,
        r#"with w as (
             select w.*, r.place, r.state = 'live' as live
             from unnest($1::uuid[], $2::int[], $3::bigint[], $4::text[], $5::text[], $6::int[], $7::text[],
               $8::timestamptz[], $9::bigint[], $10::text[], $11::text[], $12::bool[], $13::jsonb[], $14::jsonb[],
               $16::jsonb[])
               as w(id, seq, definition_id, step, queue, iteration, mode, next_at, remaining, wait_signal, reason,
                 relane, data, told, meant)
             join engine.runs r on r.id = w.id and r.seq = w.seq and r.ended_at is null
             where not exists (select from engine.jobs j where j.run_id = w.id and j.worker is not null)
           ), queued as (
             delete from engine.jobs j using w where j.run_id = w.id and j.worker is null
             returning j.run_id, j.attempt, j.crashes, j.pass, j.granted
           ), timed as (
             delete from engine.timers t using w where t.run_id = w.id returning t.run_id, t.attempt, t.due_at
           ), laned as (
             delete from engine.lane_jobs q using w where q.run_id = w.id
             returning q.run_id, q.attempt, q.lane, q.limits, q.share, q.pass, q.closes_at
           ), stood as (
             -- A job, a timer, a lane, or nothing: a run that should stand in one of them, and does not, is being
             -- moved by somebody else just now.
             select w.*, coalesce(j.attempt, t.attempt, q.attempt, 0::smallint) as attempt,
               coalesce(j.crashes, 0::smallint) as crashes, j.pass, j.granted, t.due_at,
               case when j.run_id is not null then 'job' when t.run_id is not null then 'timer'
                 when q.run_id is not null then 'lane' else 'nothing' end as stood
             from w left join queued j on j.run_id = w.id left join timed t on t.run_id = w.id
             left join laned q on q.run_id = w.id
             where w.place in ('signal', 'none') or j.run_id is not null or t.run_id is not null or q.run_id is not null
           ), goes as (
             select *, case
                 when mode = 'end' then 'nothing'
                 -- What a worker that died has left stays with a run that nobody moves.
                 when not live then case when stood = 'job' and mode in ('keep', 'wait') then 'job' else 'nothing' end
                 when mode in ('look', 'heard') then 'job'
                 when mode = 'put' then case
                   when next_at is not null then 'timer' when wait_signal is not null then 'nothing' else 'job' end
                 when mode = 'wait' and stood in ('timer', 'nothing') then
                   case when next_at is not null then 'timer' else 'nothing' end
                 when mode = 'wait' and stood = 'lane' or stood = 'lane' and relane then 'job'
                 else stood end as goes
             from stood
           ), ran as (
             update engine.runs r set definition_id = g.definition_id, step = g.step,
               queue = case when g.mode = 'end' then r.queue else g.queue end, iteration = g.iteration, data = g.data,
               state = case when g.mode = 'end' then 'exited' else r.state end,
               place = case
                 when g.mode = 'end' or not g.live then 'none'
                 when g.goes = 'nothing' then 'signal'
                 when g.goes = 'job' and g.stood = 'job' and g.mode in ('keep', 'wait') then r.place
                 else g.goes end,
               next_at = case
                 when g.mode = 'keep' then r.next_at
                 when g.live and g.mode in ('wait', 'put', 'heard') then g.next_at end,
               wait_signal = case when g.mode = 'keep' then r.wait_signal else g.wait_signal end,
               remaining = case
                 when r.state <> 'paused' or g.mode = 'end' then null
                 when g.mode = 'keep' then r.remaining
                 when g.mode = 'look' then interval '0'
                 else g.remaining * interval '1 microsecond' end,
               meant = coalesce(g.meant, r.meant),
               attempt = case when g.mode in ('keep', 'wait') then r.attempt else 0 end,
               intent = case when g.mode in ('keep', 'wait') then r.intent end,
               reason = case when g.mode = 'end' then g.reason else r.reason end,
               ended_at = case when g.mode = 'end' then engine.now() end,
               changed_at = engine.now(), seq = r.seq + 1
             from goes g where r.id = g.id
             returning r.id, r.customer_id, r.boost, r.seq, g.step, g.queue, g.iteration, g.mode, g.goes, g.attempt,
               g.crashes, g.pass, g.granted, g.due_at, g.next_at, g.relane, g.reason, g.told
           ), recorded as (
             insert into engine.history (run_id, seq, at, kind, step, iteration, actor, data)
             select id, seq, engine.now(), case when mode = 'end' then 'run.exited' else 'run.migrated' end, step,
               iteration, $15, case when mode = 'end' then told || jsonb_build_object('reason', reason) else told end
             from ran
           ), ready as (
             insert into engine.jobs (run_id, customer_id, queue, step, iteration, attempt, crashes, boost, pass, granted)
             select id, customer_id, queue, step, iteration, case when mode in ('keep', 'wait') then attempt else 0 end,
               crashes, boost, case when mode in ('keep', 'wait') then coalesce(pass, engine.pass() - boost)
                 else engine.pass() - boost end,
               case when mode in ('keep', 'wait') and not relane then granted end
             from ran where goes = 'job'
           ), asleep as (
             insert into engine.timers (run_id, due_at, customer_id, queue, step, iteration, attempt, boost)
             select id, case when mode = 'keep' then due_at else next_at end, customer_id, queue, step, iteration,
               case when mode in ('keep', 'wait') then attempt else 0 end, boost
             from ran where goes = 'timer'
           ), lined as (
             insert into engine.lane_jobs
               (run_id, customer_id, queue, step, iteration, attempt, boost, lane, limits, share, pass, closes_at)
             select n.id, n.customer_id, n.queue, n.step, n.iteration, n.attempt, n.boost, q.lane, q.limits, q.share,
               q.pass, q.closes_at
             from ran n join laned q on q.run_id = n.id where n.goes = 'lane'
           ), counted as (
             update engine.limits l set waiting = l.waiting - d.n
             from (select q.lane, count(*)::int as n from laned q join ran n on n.id = q.run_id where n.goes <> 'lane'
                   group by q.lane order by q.lane) d
             where l.id = d.lane
           )
           select id as "run_id!", mode = 'end' as "ended!" from ran, pg_notify('engine', '')"#,
        &columns.ids,
        &columns.seqs,
        &columns.definitions,
        &columns.steps,
        &columns.queues,
        &columns.iterations,
        &columns.modes as &[&str],
        &columns.nexts as &[Option<DateTime<Utc>>],
        &columns.remaining as &[Option<i64>],
        &columns.signals as &[Option<String>],
        &columns.reasons as &[Option<String>],
        &columns.relane,
        &columns.data,
        &columns.told,
        actor,
        &columns.meant as &[Option<Value>],
    )
    .fetch_all(&mut *tx)
    .await?;
    let ended: Vec<Uuid> = written.iter().filter(|run| run.ended).map(|run| run.run_id).collect();
    family::note_ends(tx, &ended).await?;
    Ok(written)
}
