//! The state of the database as rows that the model can be compared with, read by one statement of its own.

use std::collections::BTreeMap;

use serde::Deserialize;
use sqlx::types::Json;
use uuid::Uuid;

use super::Broken;
use super::reference::{Granted, Job, Model, Place, Run, State};
use super::system::System;
use crate::id;

/// What stands in the database of the runs of a case.
#[derive(Debug, Deserialize)]
pub(super) struct Seen {
    pub(super) runs: Vec<RunSeen>,
    /// Of the limit: who acts and who waits, as its row counts them and as the tables do.
    pub(super) limit: Option<[i64; 4]>,
    /// How many rows stand in the queue, of whatever run.
    queued: i64,
}

#[derive(Debug, Deserialize)]
pub(super) struct RunSeen {
    pub(super) row: Row,
    pub(super) seq: i32,
    pub(super) history: Vec<Told>,
}

/// A row of history: its number, kind, step, iteration, and the step to which the run went.
pub(super) type Told = (i32, String, Option<String>, i32, Option<String>);

/// A run, in the terms of both sides.
#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct Row {
    pub(super) state: String,
    pub(super) place: String,
    pub(super) step: String,
    iteration: i32,
    attempt: i16,
    next_at: Option<i64>,
    listens: bool,
    waiting: bool,
    delivered: i32,
    inbox: Vec<String>,
    intent: bool,
    remaining: Option<i64>,
    pub(super) facts: i64,
    pub(super) job: Option<JobRow>,
    pub(super) timer: Option<(i64, i16)>,
    pub(super) lane: Option<(i64, i16)>,
}

#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct JobRow {
    step: String,
    iteration: i32,
    attempt: i16,
    crashes: i16,
    begun: bool,
    pass: i64,
    worker: Option<i64>,
    slots: Option<i32>,
}

/// All instants are minutes since this one.
const BEGAN: &str = "2026-11-24 10:00Z";

/// Reads it.
pub(super) async fn take(system: &mut System<'_>) -> Result<Seen, Broken> {
    let seen: Json<Seen> = sqlx::query_scalar(
        "select json_build_object(
           'queued', (select count(*) from engine.jobs) + (select count(*) from engine.timers)
             + (select count(*) from engine.lane_jobs),
           'limit', (select json_build_array(l.running, l.waiting,
               (select count(*) from engine.jobs j where l.id = any(j.granted)),
               (select count(*) from engine.lane_jobs q where q.lane = l.id)) from engine.limits l),
           'runs', coalesce(json_agg(json_build_object(
             'seq', r.seq,
             'history', (select json_agg(json_build_array(h.seq, h.kind, h.step, h.iteration, h.data ->> 'to')
                         order by h.seq) from engine.history h where h.run_id = r.id),
             'row', json_build_object(
               'state', r.state, 'place', r.place, 'step', r.step, 'iteration', r.iteration,
               'attempt', r.attempt,
               'next_at', (extract(epoch from r.next_at - $2::text::timestamptz) / 60)::bigint,
               'listens', r.wait_signal is not null, 'waiting', r.data ? 'waiting',
               'delivered', r.inbox, 'intent', r.intent is not null,
               'remaining', (extract(epoch from r.remaining) / 60)::bigint,
               'inbox', (select coalesce(json_agg(i.name order by i.signal_id), '[]') from engine.inbox i
                         where i.run_id = r.id),
               'facts', (select count(*) from facts f where f.run_id = r.id),
               'job', case when j.run_id is not null then json_build_object('step', j.step,
                 'iteration', j.iteration, 'attempt', j.attempt, 'crashes', j.crashes, 'begun', j.begun,
                 'pass', j.pass, 'worker', j.worker, 'slots', cardinality(j.granted)) end,
               'timer', case when t.run_id is not null then json_build_array(
                 (extract(epoch from t.due_at - $2::text::timestamptz) / 60)::bigint, t.attempt) end,
               'lane', case when q.run_id is not null then json_build_array(q.pass, q.attempt) end))
             order by r.id), '[]'))
         from engine.runs r left join engine.jobs j on j.run_id = r.id
         left join engine.timers t on t.run_id = r.id left join engine.lane_jobs q on q.run_id = r.id
         where r.id = any($1)",
    )
    .bind(&system.runs)
    .bind(BEGAN)
    .fetch_one(&mut system.bench.db)
    .await?;
    Ok(seen.0)
}

impl Seen {
    /// Whether it is what the model says.
    pub(super) fn compare(
        &self,
        model: &Model,
        ids: &[Uuid],
        acts: &BTreeMap<String, u32>,
    ) -> Result<(), Broken> {
        if self.runs.len() != model.runs.len() {
            return Err(Broken(format!(
                "I1: {} runs stand, and {} were acknowledged",
                self.runs.len(),
                model.runs.len()
            )));
        }
        for (at, (seen, run)) in self.runs.iter().zip(&model.runs).enumerate() {
            let wanted = Row::of(run);
            let kinds: Vec<&str> = seen.history.iter().map(|row| row.1.as_str()).collect();
            if seen.row != wanted || kinds != run.history {
                return Err(Broken(format!(
                    "run {at} differs from the model\n stands: {:?}\n  {kinds:?}\n wanted: {wanted:?}\n  {:?}",
                    seen.row, run.history
                )));
            }
        }
        let queued = model.runs.iter().map(Run::stands_in).sum::<i64>();
        if self.queued != queued {
            return Err(Broken(format!("{} rows are queued, and {queued} should", self.queued)));
        }
        let key = |run: usize, step: usize, iteration: i32| {
            format!("{}/s{step}/{iteration}", id::show("run", ids[run]))
        };
        let wanted: BTreeMap<String, u32> = model
            .acts
            .iter()
            .map(|((run, step, iteration), count)| (key(*run, *step, *iteration), *count))
            .collect();
        if *acts != wanted {
            return Err(Broken(format!("acted: {acts:?}\nwanted: {wanted:?}")));
        }
        Ok(())
    }
}

impl Row {
    fn of(run: &Run) -> Self {
        Self {
            state: state(run.state).into(),
            place: place(run.place).into(),
            step: format!("s{}", run.step),
            iteration: run.iteration,
            attempt: run.attempt,
            next_at: run.next_at,
            listens: run.listens,
            waiting: run.waiting.is_some(),
            delivered: run.delivered,
            inbox: run.inbox.iter().map(|signal| signal.name.to_owned()).collect(),
            intent: run.intent,
            remaining: run.remaining,
            facts: run.facts,
            job: run.job.as_ref().map(JobRow::of),
            timer: run.timer.as_ref().map(|timer| (timer.due, timer.attempt)),
            lane: run.lane.as_ref().map(|lane| (lane.pass, lane.attempt)),
        }
    }
}

impl JobRow {
    fn of(job: &Job) -> Self {
        Self {
            step: format!("s{}", job.step),
            iteration: job.iteration,
            attempt: job.attempt,
            crashes: job.crashes,
            begun: job.begun,
            pass: job.pass,
            worker: job.lease.map(|lease| lease.worker),
            slots: match job.granted {
                Granted::No => None,
                Granted::Free => Some(0),
                Granted::Slot => Some(1),
            },
        }
    }
}

fn state(state: State) -> &'static str {
    match state {
        State::Live => "live",
        State::Paused => "paused",
        State::Held => "held",
        State::Completed => "completed",
        State::Exited => "exited",
        State::Cancelled => "cancelled",
    }
}

fn place(place: Place) -> &'static str {
    match place {
        Place::Job => "job",
        Place::Timer => "timer",
        Place::Signal => "signal",
        Place::Lane => "lane",
        Place::Nowhere => "none",
    }
}
