//! How many steps a second, how soon after a start, at what cost.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result};
use engine::clock;

use crate::world::{World, new_run, number, percentile};
use crate::{Amounts, Figure};

/// Three steps each, a backlog, WAL, memory.
pub(crate) async fn speed(url: &str, amounts: &Amounts) -> Result<Vec<Figure>> {
    let world = World::new(url, "bench_speed").await?;
    // Warms caches and plans.
    three(&world, 2_000).await?;
    let before = world.wal().await?;
    world.start(world.three, amounts.sequences).await?;
    let started = world.wal().await?;
    world.sql("vacuum analyze").await?;
    let vacuumed = world.wal().await?;
    let seconds = world.drain(amounts.sequences * 3).await?;
    let steps = number(amounts.sequences * 3);
    let wal = (world.wal().await? - vacuumed) / steps;
    let start_wal = (started - before) / number(amounts.sequences);
    let (drain, flat, resident) = backlog(&world, amounts.backlog).await?;
    world.end().await?;
    Ok(vec![
        Figure::new("seq3_runs_per_s", number(amounts.sequences) / seconds, "runs/s", "15000"),
        Figure::new("drain_runs_per_s", drain, "runs/s", "30000"),
        Figure::new("drain_slowest_to_fastest_as_timed", flat, "ratio", "with the machine's drift"),
        Figure::new("wal_bytes_per_step", wal, "bytes", "< 1300"),
        Figure::new("wal_bytes_per_start", start_wal, "bytes", ""),
        Figure::new("resident_mib_at_full_load", resident, "MiB", "<= 150"),
    ])
}

/// Runs of three steps started and drained; runs per second of the draining.
pub(crate) async fn three(world: &World, count: usize) -> Result<f64> {
    world.start(world.three, count).await?;
    world.sql("vacuum analyze").await?;
    Ok(number(count) / world.drain(count * 3).await?)
}

/// Drains a backlog; gives runs per second, the slowest tenth's speed by the fastest's, and the memory.
async fn backlog(world: &World, count: usize) -> Result<(f64, f64, f64)> {
    world.start(world.one, count).await?;
    world.sql("vacuum analyze").await?;
    let first = world.told.steps.load(Ordering::Relaxed);
    let began = clock::started();
    let working = world.work();
    let (mut tenths, mut resident) = (vec![began], 0.0_f64);
    let mut look = tokio::time::interval(Duration::from_millis(2));
    while tenths.len() <= 10 {
        look.tick().await;
        let done = world.told.steps.load(Ordering::Relaxed) - first;
        if done >= count * tenths.len() / 10 {
            tenths.push(clock::started());
            resident = resident.max(own_memory()?);
        }
    }
    world.idle().await?;
    let seconds = began.elapsed().as_secs_f64();
    working.stop().await?;
    let spans = tenths.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_secs_f64());
    let (fastest, slowest) =
        spans.fold((f64::MAX, 0.0_f64), |(least, most), span| (least.min(span), most.max(span)));
    Ok((number(count) / seconds, fastest / slowest, resident))
}

/// How flat a large backlog is worked off: each tenth's speed by that of a small backlog right before it, in a
/// database of its own, so that the drift of the machine is in both.
pub(crate) async fn flat(url: &str, amounts: &Amounts) -> Result<Vec<Figure>> {
    let (large, small) =
        (World::new(url, "bench_large").await?, World::new(url, "bench_small").await?);
    let (tenth, little) = (amounts.backlog / 10, amounts.backlog / 20);
    // What a worker has begun when it is told to stop is done beyond its tenth.
    large.start(large.one, amounts.backlog + tenth).await?;
    large.sql("vacuum analyze").await?;
    let mut ratios = Vec::new();
    // The first warms.
    for turn in 0..=10 {
        small.start(small.one, little).await?;
        small.sql("vacuum analyze").await?;
        let beside = number(little) / small.drain(little).await?;
        if turn > 0 {
            ratios.push(number(tenth) / large.drain(tenth).await? / beside);
        }
    }
    large.end().await?;
    small.end().await?;
    ratios.sort_by(f64::total_cmp);
    let (slowest, fastest) = (percentile(&ratios, 0), percentile(&ratios, 100));
    Ok(vec![
        Figure::new("drain_large_by_small_backlog", percentile(&ratios, 50), "ratio", ">= 0.85"),
        Figure::new("drain_slowest_to_fastest_tenth", slowest / fastest, "ratio", ">= 0.85"),
    ])
}

/// From a start to its first step, on a worker that has nothing else to do.
pub(crate) async fn latency(url: &str, amounts: &Amounts) -> Result<Vec<Figure>> {
    let mut world = World::new(url, "bench_latency").await?;
    let working = world.work();
    world.told.telling.store(true, Ordering::Relaxed);
    let mut latencies = Vec::with_capacity(amounts.starts);
    let mut commits = Vec::with_capacity(amounts.starts);
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    for turn in 0..amounts.starts + 20 {
        pace.tick().await;
        let began = clock::started();
        world.begin(&[new_run(world.customer_id, world.one)]).await?;
        let committed = began.elapsed();
        let (_, begun) = world.begun.recv().await.context("the step tells")?;
        // The first ones open connections and plan statements.
        if turn >= 20 {
            latencies.push(begun.duration_since(began).as_secs_f64() * 1_000.0);
            commits.push(committed.as_secs_f64() * 1_000.0);
        }
    }
    working.stop().await?;
    world.end().await?;
    latencies.sort_by(f64::total_cmp);
    commits.sort_by(f64::total_cmp);
    Ok(vec![
        Figure::new("latency_of_the_start_alone_p50_ms", percentile(&commits, 50), "ms", ""),
        Figure::new("latency_of_the_start_alone_p99_ms", percentile(&commits, 99), "ms", ""),
        Figure::new("latency_p50_ms", percentile(&latencies, 50), "ms", "< 1.5"),
        Figure::new("latency_p99_ms", percentile(&latencies, 99), "ms", "< 3"),
    ])
}

/// What share of a core a worker takes that has nothing to do, in percent.
pub(crate) async fn idle(url: &str, amounts: &Amounts) -> Result<Vec<Figure>> {
    let world = World::new(url, "bench_idle").await?;
    let working = world.work();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = own_cpu()?;
    tokio::time::sleep(amounts.idle).await;
    let used = own_cpu()? - before;
    working.stop().await?;
    world.end().await?;
    let percent = used / amounts.idle.as_secs_f64() * 100.0;
    Ok(vec![Figure::new("idle_cpu_percent", percent, "%", "< 1")])
}

/// What metrics and traces cost: speed with both by speed without.
pub(crate) async fn overhead(url: &str, amounts: &Amounts) -> Result<Vec<Figure>> {
    let world = World::new(url, "bench_overhead").await?;
    let count = amounts.sequences / 2;
    three(&world, count).await?;
    let mut without = Vec::new();
    for _ in 0..3 {
        without.push(three(&world, count).await?);
    }
    crate::tell_all()?;
    let mut with = Vec::new();
    for _ in 0..3 {
        with.push(three(&world, count).await?);
    }
    world.end().await?;
    without.sort_by(f64::total_cmp);
    with.sort_by(f64::total_cmp);
    Ok(vec![Figure::new("speed_with_metrics_and_traces", with[1] / without[1], "ratio", "> 0.95")])
}

/// The seconds of CPU that this process has used.
pub(crate) fn own_cpu() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(") ").context("a stat has a name")?;
    let ticks: f64 =
        fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / 100.0)
}

/// The memory of this process, in MiB.
fn own_memory() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0.0);
    Ok(kib / 1024.0)
}
