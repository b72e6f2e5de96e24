//! What must hold of every state, whatever the model says: I1 to I10 as far as one process can see them.
//!
//! I1 (what was acknowledged survives) and the count of I10 are looked at where `snapshot` compares the runs
//! with the model, I3 (a stale lease changes nothing) where a process that was given up for dead records, I9
//! (everything drains) after each case. Of I4 the facts: each is written with its row of history, once; the
//! way of events to the outside is tested with the relay. Reads by statements of its own.

use std::collections::BTreeSet;

use sqlx::Executor;
use uuid::Uuid;

use super::Broken;
use super::snapshot::{RunSeen, Seen};
use super::system::System;

/// Takes away what another case left in the queue, and sets the clock back. Ended runs stay.
pub(super) const CLEAN: &str = "delete from engine.jobs; delete from engine.timers; delete from engine.lane_jobs;
  delete from engine.limits; delete from engine.workers; delete from engine.inbox; delete from engine.endings;
  update engine.virtual_clock set virtual_at = '2026-11-24 10:00Z', real_at = now(), valid_until = now()";

const ENDS: [&str; 3] = ["run.completed", "run.exited", "run.cancelled"];

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken(what())) }
}

/// Looks at a state. I1 is the model's count of runs, I3 is looked at where a stale lease records.
pub(super) fn check(system: &System<'_>, seen: &Seen) -> Result<(), Broken> {
    let broken = system.bench.outside.broken();
    ensure(broken.is_empty(), || format!("I7: {broken:?}"))?;
    // What nobody knows of is held and moved by a person, under an iteration of its own or not again.
    let twice: Vec<(String, u32)> =
        system.bench.outside.acts().into_iter().filter(|(_, count)| *count > 1).collect();
    ensure(twice.is_empty(), || format!("I5: acted twice: {twice:?}"))?;
    if let Some([running, waiting, slots, queued]) = seen.limit {
        ensure((running, waiting) == (slots, queued), || {
            format!("I6: the limit counts {running} and {waiting}, the tables {slots} and {queued}")
        })?;
    }
    let known = ["live", "paused", "held", "completed", "exited", "cancelled"];
    for (run, id) in seen.runs.iter().zip(&system.runs) {
        ensure(known.contains(&run.row.state.as_str()), || format!("I10: {}", run.row.state))?;
        one_end_and_no_step_twice(run)?;
        adds_up(run)?;
        stands_in_one_place(run)?;
        let done = run.history.iter().filter(|row| row.1 == "step.done").count();
        ensure(i64::try_from(done) == Ok(run.row.facts), || {
            format!("I4: {done} steps are done, and {} facts are written", run.row.facts)
        })?;
        let intents = run.history.iter().filter(|row| row.1 == "step.intended").count();
        let before = system.stopped.get(id);
        ensure(before.is_none_or(|before| i64::try_from(intents) == Ok(*before)), || {
            "I8: an intent committed after the signal that ends its run".into()
        })?;
    }
    Ok(())
}

fn one_end_and_no_step_twice(run: &RunSeen) -> Result<(), Broken> {
    let ends = run.history.iter().filter(|row| ENDS.contains(&row.1.as_str())).count();
    let ended = ENDS.contains(&format!("run.{}", run.row.state).as_str());
    ensure(ends == usize::from(ended), || format!("I2: {ends} ends of a run: {run:?}"))?;
    let mut done = BTreeSet::new();
    let mut steps = run.history.iter().filter(|row| row.1 == "step.done");
    ensure(steps.all(|row| done.insert((&row.2, row.3))), || {
        format!("I2: a step was done twice in one iteration: {run:?}")
    })
}

/// The history has no gap, and says where the run stands.
fn adds_up(run: &RunSeen) -> Result<(), Broken> {
    let numbers: Vec<i32> = run.history.iter().map(|row| row.0).collect();
    ensure(numbers == (0..=run.seq).collect::<Vec<_>>(), || format!("gaps: {run:?}"))?;
    let (mut state, mut step) = ("live", None);
    for (_, kind, at, _, to) in &run.history {
        let ended = ["completed", "exited", "cancelled"].contains(&state);
        match kind.as_str() {
            "run.started" => step = at.as_ref(),
            "run.resumed" | "run.retried" | "run.replanned" => state = "live",
            "run.skipped" | "run.jumped" => {
                step = to.as_ref();
                state = if state == "paused" { "paused" } else { "live" };
            }
            "step.done" | "step.failed" if !ended => step = to.as_ref().or(step),
            kind => state = kind.strip_prefix("run.").unwrap_or(state),
        }
    }
    ensure((state, step) == (run.row.state.as_str(), Some(&run.row.step)), || {
        format!("the history adds up to {state} at {step:?}: {run:?}")
    })
}

/// A live run stands in exactly one place; one that was lost by hand stands nowhere until it is found.
fn stands_in_one_place(run: &RunSeen) -> Result<(), Broken> {
    let row = &run.row;
    let stands = [row.job.is_some(), row.timer.is_some(), row.lane.is_some()];
    let places = stands.iter().filter(|stands| **stands).count();
    let right = match (row.state.as_str(), row.place.as_str()) {
        ("live", "signal") => places == 0,
        ("live", _) => places <= 1,
        // What a process still works at, or has to give up.
        _ => places == usize::from(row.job.is_some()),
    };
    ensure(right, || format!("it stands in {places} places: {run:?}"))
}

/// After all was worked off, every run has ended, or waits for a person or for a signal without end.
pub(super) fn at_rest(seen: &Seen) -> Result<(), Broken> {
    for run in &seen.runs {
        let row = &run.row;
        let rests = row.state != "live" || row.place == "signal";
        let queued = row.job.is_some() || row.timer.is_some() || row.lane.is_some();
        ensure(rests && !queued, || format!("I9: not at rest: {run:?}"))?;
    }
    Ok(())
}

/// A hash of everything that a record could change.
pub(super) async fn hash(system: &mut System<'_>) -> Result<String, Broken> {
    let hash = sqlx::query_scalar(
        "select md5(concat(
           (select string_agg(r::text, '|' order by r.id) from engine.runs r where r.id = any($1)),
           (select string_agg(j::text, '|' order by j.run_id) from engine.jobs j),
           (select string_agg(t::text, '|' order by t.run_id) from engine.timers t),
           (select string_agg(q::text, '|' order by q.run_id) from engine.lane_jobs q),
           (select string_agg(l::text, '|' order by l.id) from engine.limits l),
           (select string_agg(i::text, '|' order by i.signal_id) from engine.inbox i),
           (select count(*) from facts f where f.run_id = any($1)),
           (select count(*) from engine.history h where h.run_id = any($1))))",
    )
    .bind(&system.runs)
    .fetch_one(&mut system.bench.db)
    .await?;
    Ok(hash)
}

/// Whether a run is open, and how many intents it has written.
pub(super) async fn intents(system: &mut System<'_>, run: Uuid) -> Result<(bool, i64), Broken> {
    let found = sqlx::query_as(
        "select ended_at is null, (select count(*) from engine.history h
           where h.run_id = r.id and h.kind = 'step.intended')
         from engine.runs r where id = $1",
    )
    .bind(run)
    .fetch_one(&mut system.bench.db)
    .await?;
    Ok(found)
}

/// What a process could do at this instant.
#[derive(sqlx::FromRow)]
pub(super) struct Left {
    pub(super) due: bool,
    pub(super) in_line: bool,
    pub(super) ready: bool,
}

/// Looks at what is left to do at this instant.
pub(super) async fn left_to_do(system: &mut System<'_>) -> Result<Left, Broken> {
    let left = sqlx::query_as(
        "select exists (select from engine.timers where due_at <= engine.now()) as due,
           exists (select from engine.limits where waiting > 0 and engine.room(limits, engine.now()) > 0) as in_line,
           exists (select from engine.jobs where worker is null) as ready",
    )
    .fetch_one(&mut system.bench.db)
    .await?;
    Ok(left)
}

/// Moves the clock to the last instant that anything waits for; says whether there is one.
pub(super) async fn jump_ahead(system: &mut System<'_>) -> Result<bool, Broken> {
    let moved = sqlx::query(
        "update engine.virtual_clock set virtual_at = n.at
         from (select max(at) as at from (
           select due_at as at from engine.timers
           union all select engine.opens_at(l, engine.now()) from engine.limits l where waiting > 0) a) n
         where n.at > virtual_at",
    );
    Ok(system.bench.db.execute(moved).await?.rows_affected() > 0)
}
