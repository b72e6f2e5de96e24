//! Speed beside much else: sleepers, finished runs, a snapshot that somebody holds, other processes.

use std::time::Duration;

use anyhow::{Context as _, Result};
use engine::clock;
use sqlx::{Connection, Executor, PgConnection};

use crate::speed::three;
use crate::world::{World, number};
use crate::{Amounts, Figure, tell_all};

/// How many sleepers come due a second.
const DUE_PER_SECOND: usize = 5_000;

/// Sleepers that come due at a pace, beside many that don't.
pub(crate) async fn sleepers(url: &str, amounts: &Amounts) -> Result<Vec<Figure>> {
    tell_all()?;
    let world = World::new(url, "bench_sleepers").await?;
    let mut left = amounts.sleepers;
    while left > 0 {
        let count = left.min(500_000);
        asleep(&world, count, "now() + interval '30 days' + g * interval '1 millisecond'").await?;
        left -= count;
    }
    world.sql("vacuum analyze").await?;
    let working = world.work();
    world.round(1_000).await?;
    let count = DUE_PER_SECOND * usize::try_from(amounts.due.as_secs()).unwrap_or(1);
    let due = format!("now() + interval '20 seconds' + g * interval '1 second' / {DUE_PER_SECOND}");
    asleep(&world, count, &due).await?;
    let mut look = tokio::time::interval(Duration::from_secs(1));
    loop {
        look.tick().await;
        let open: bool = sqlx::query_scalar(
            "select exists (select from engine.timers where due_at < now() + interval '10 days')
               or exists (select from engine.jobs)",
        )
        .fetch_one(&world.db)
        .await?;
        if !open {
            break;
        }
    }
    working.stop().await?;
    let late: f64 = sqlx::query_scalar(
        "select percentile_cont(0.99) within group (order by extract(epoch from h.at - r.started_at) * 1000)
         from engine.history h join engine.runs r on r.id = h.run_id
         where h.kind = 'step.done' and r.zone = 'Etc/UTC'",
    )
    .fetch_one(&world.db)
    .await?;
    world.end().await?;
    Ok(vec![
        Figure::new("sleepers_p99_lateness_ms", late, "ms", "< 500"),
        Figure::new("claim_p50_ms_beside_sleepers", claim_milliseconds()?, "ms", "< 1"),
    ])
}

/// Puts runs to sleep by SQL alone; `started_at` holds when each is due.
pub(crate) async fn asleep(world: &World, count: usize, due: &str) -> Result<()> {
    world
        .sql(format!(
            "with made as (
               insert into engine.runs (id, customer_id, definition_id, subject_id, zone, place, step, queue, next_at,
                 started_at)
               select gen_random_uuid(), '{}', {}, gen_random_uuid(), 'Etc/UTC', 'timer', 's0', 'nothing', {due}, {due}
               from generate_series(1, {count}) g
               returning id, customer_id, next_at
             )
             insert into engine.timers (run_id, due_at, customer_id, queue, step)
             select id, next_at, customer_id, 'nothing', 's0' from made",
            world.customer_id, world.one,
        ))
        .await
}

/// The median of claims since the process began to count, in milliseconds.
fn claim_milliseconds() -> Result<f64> {
    let text = crate::counted();
    let line =
        text.lines().find_map(|line| line.strip_prefix("salesos_claim_seconds{quantile=\"0.5\"} "));
    Ok(line.context("claims were counted")?.parse::<f64>()? * 1_000.0)
}

/// The middle one of three speeds.
async fn median(world: &World, count: usize) -> Result<f64> {
    let mut speeds = [0.0; 3];
    for speed in &mut speeds {
        *speed = three(world, count).await?;
    }
    Ok(middle(&mut speeds))
}

/// The middle one of seven speeds of a worker that works already.
async fn median_round(world: &World, count: usize) -> Result<f64> {
    let mut speeds = [0.0; 7];
    for speed in &mut speeds {
        *speed = world.round(count).await?;
    }
    Ok(middle(&mut speeds))
}

fn middle(speeds: &mut [f64]) -> f64 {
    speeds.sort_by(f64::total_cmp);
    speeds[speeds.len() / 2]
}

/// Speed beside the finished runs of a year, by speed without.
pub(crate) async fn year(url: &str, amounts: &Amounts) -> Result<Vec<Figure>> {
    let world = World::new(url, "bench_year").await?;
    three(&world, amounts.sequences / 2).await?;
    let without = median(&world, amounts.sequences).await?;
    let mut left = amounts.finished;
    while left > 0 {
        let count = left.min(1_000_000);
        world
            .sql(format!(
                "insert into engine.runs (id, customer_id, definition_id, subject_id, zone, state, place, step, queue,
                   reason, started_at, ended_at)
                 select (lpad(to_hex((extract(epoch from now() - interval '1 day') * 1000)::bigint - {left} - g), 12, '0')
                     || substr(md5(g::text || {left}::text), 1, 20))::uuid,
                   '{}', {}, gen_random_uuid(), 'UTC', 'completed', 'none', 's2', 'nothing', 'completed', now(), now()
                 from generate_series(1, {count}) g",
                world.customer_id, world.three,
            ))
            .await?;
        left -= count;
    }
    world.sql("vacuum analyze").await?;
    three(&world, amounts.sequences / 2).await?;
    let beside = median(&world, amounts.sequences).await?;
    world.end().await?;
    Ok(vec![Figure::new(
        "speed_beside_finished_runs",
        beside / without,
        "ratio",
        "as on the first day",
    )])
}

/// Speed while somebody holds a snapshot, by the speed of a database beside it where nobody does: their rounds take
/// turns, since the machine is another one after a quarter of an hour.
pub(crate) async fn snapshot(url: &str, amounts: &Amounts) -> Result<Vec<Figure>> {
    let (pinned, free) =
        (World::new(url, "bench_snapshot").await?, World::new(url, "bench_no_snapshot").await?);
    let working = [pinned.work(), free.work()];
    pinned.round(amounts.sequences / 2).await?;
    let before = median_round(&pinned, amounts.sequences).await?;
    let mut reader = PgConnection::connect(&pinned.url).await?;
    reader.execute("begin isolation level repeatable read").await?;
    let _seen: i64 =
        sqlx::query_scalar("select count(*) from engine.jobs").fetch_one(&mut reader).await?;
    let began = clock::started();
    while began.elapsed() < amounts.pinned {
        pinned.round(amounts.sequences).await?;
    }
    free.round(amounts.sequences).await?;
    let (mut beside, mut without) = ([0.0; 5], [0.0; 5]);
    for (beside, without) in beside.iter_mut().zip(&mut without) {
        *beside = pinned.round(amounts.sequences).await?;
        *without = free.round(amounts.sequences).await?;
    }
    reader.execute("rollback").await?;
    reader.close().await?;
    for working in working {
        working.stop().await?;
    }
    pinned.end().await?;
    free.end().await?;
    let (beside, without) = (middle(&mut beside), middle(&mut without));
    let reach = ">= 0.8 after 15 minutes";
    Ok(vec![
        Figure::new("speed_beside_pinned_snapshot", beside / without, "ratio", reach),
        Figure::new(
            "speed_without_by_that_before",
            without / before,
            "ratio",
            "the machine's drift",
        ),
    ])
}

/// One, two and four processes on one Postgres, as ratios of one.
pub(crate) async fn processes(url: &str, amounts: &Amounts) -> Result<Vec<Figure>> {
    let world = World::new(url, "bench_processes").await?;
    let mut speeds = Vec::new();
    for count in [1, 1, 2, 4] {
        world.start(world.three, amounts.sequences * 2).await?;
        world.sql("vacuum analyze").await?;
        let program = std::env::current_exe()?;
        let began = clock::started();
        let mut workers = Vec::new();
        for _ in 0..count {
            workers.push(
                tokio::process::Command::new(&program).arg("--work").arg(&world.url).spawn()?,
            );
        }
        world.idle().await?;
        speeds.push(number(amounts.sequences * 2) / began.elapsed().as_secs_f64());
        for worker in &mut workers {
            worker.kill().await?;
        }
    }
    world.end().await?;
    // The first warms.
    Ok(vec![
        Figure::new("speed_of_two_processes", speeds[2] / speeds[1], "of one", ""),
        Figure::new("speed_of_four_processes", speeds[3] / speeds[1], "of one", ""),
    ])
}
