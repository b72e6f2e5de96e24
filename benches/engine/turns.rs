//! Turns: what one customer's backlog does to another, and how well limits are used.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Result;
use engine::clock;
use engine::limit::{Rate, Rule};
use uuid::Uuid;

use crate::world::{MAILBOXES, World, new_run, number, percentile};
use crate::{Amounts, Figure};

/// From start to first step for a customer of few runs: alone, beside another that keeps the machine busy
/// without a backlog, and behind the other's backlog.
pub(crate) async fn fair(url: &str, amounts: &Amounts) -> Result<Vec<Figure>> {
    let mut world = World::new(url, "bench_fair").await?;
    world.start(world.one, amounts.sequences).await?;
    let drained = Duration::from_secs_f64(world.drain(amounts.sequences).await?);
    // Half of what the machine drains now.
    let half = amounts.sequences * PACE_MILLISECONDS / 2 / usize::try_from(drained.as_millis())?;
    let working = world.work();
    paced(&mut world, 100, 0).await?;
    let alone = paced(&mut world, 2 * amounts.starts, 0).await?;
    let busy = paced(&mut world, 2 * amounts.starts, half).await?;
    world.idle().await?;
    working.stop().await?;
    world.start(world.one, amounts.backlog).await?;
    let working = world.work();
    // Its first claims are not what is measured, as they are not above.
    paced(&mut world, 100, 0).await?;
    let behind = paced(&mut world, 2 * amounts.starts, 0).await?;
    let left: bool = sqlx::query_scalar("select exists (select from engine.jobs offset 1000)")
        .fetch_one(&world.db)
        .await?;
    working.stop().await?;
    world.end().await?;
    if !left {
        eprintln!("the backlog was drained before the measurement ended; take a larger one");
    }
    Ok(vec![
        Figure::new("small_customer_p99_ms_alone", alone, "ms", ""),
        Figure::new("small_customer_p99_ms_busy", busy, "ms", ""),
        Figure::new("small_customer_p99_ms_behind_backlog", behind, "ms", ""),
        Figure::new("small_customer_p99_moved_by", behind / busy, "ratio", "<= 2"),
    ])
}

/// How often a run of the customer of few is started.
const PACE_MILLISECONDS: usize = 5;

/// Starts runs of the other customer at that pace, each beside so many of the first; gives the 99th percentile of their
/// delays in milliseconds.
async fn paced(world: &mut World, count: usize, beside: usize) -> Result<f64> {
    world.told.telling.store(true, Ordering::Relaxed);
    let mut started: HashMap<Uuid, Instant> = HashMap::new();
    let mut delays = Vec::with_capacity(count);
    let mut pace = tokio::time::interval(Duration::from_millis(PACE_MILLISECONDS as u64));
    while delays.len() < count {
        tokio::select! {
            _ = pace.tick() => {
                if delays.len() + started.len() < count {
                    if beside > 0 {
                        world.start(world.one, beside).await?;
                    }
                    let run = new_run(world.other_id, world.other_one);
                    started.insert(run.id, clock::started());
                    world.begin(&[run]).await?;
                }
            }
            Some((run, begun)) = world.begun.recv() => {
                if let Some(began) = started.remove(&run) {
                    delays.push(begun.duration_since(began).as_secs_f64() * 1_000.0);
                }
            }
        }
    }
    world.told.telling.store(false, Ordering::Relaxed);
    while world.begun.try_recv().is_ok() {}
    delays.sort_by(f64::total_cmp);
    Ok(percentile(&delays, 99))
}

const CAP: u32 = 10;
const PER: Duration = Duration::from_secs(5);

/// Many runs under the limits of many mailboxes: no cap may be exceeded, and few turns may be left unused.
pub(crate) async fn limits(url: &str, amounts: &Amounts) -> Result<Vec<Figure>> {
    let world = World::new(url, "bench_limits").await?;
    let rule = Rule { rate: Some(Rate { cap: CAP, per: PER }), ..Rule::default() };
    world.start_limited(&rule, amounts.limited).await?;
    world.told.keeping.store(true, Ordering::Relaxed);
    let working = world.work();
    tokio::time::sleep(amounts.granting).await;
    working.stop().await?;
    let mut acts =
        std::mem::take(&mut *world.told.acts.lock().map_err(|_| anyhow::anyhow!("poisoned"))?);
    world.end().await?;
    acts.sort();
    let exceeded = acts
        .chunk_by(|one, other| one.0 == other.0)
        .map(|mailbox| {
            mailbox
                .windows(CAP as usize + 1)
                .filter(|w| {
                    w[CAP as usize].1 - w[0].1
                        < chrono::TimeDelta::from_std(PER).unwrap_or_default()
                })
                .count()
        })
        .sum::<usize>();
    let (first, last) = (acts.iter().map(|act| act.1).min(), acts.iter().map(|act| act.1).max());
    let span = last
        .zip(first)
        .map_or(0.0, |(last, first)| (last - first).to_std().unwrap_or_default().as_secs_f64());
    // At the beginning of each span as many as the cap; the last one may have just begun.
    let possible = (span / PER.as_secs_f64()).floor().max(1.0) * f64::from(CAP) * number(MAILBOXES);
    let within = first.map_or(0, |first| {
        let spans = (span / PER.as_secs_f64()).floor().max(1.0) * PER.as_secs_f64();
        acts.iter()
            .filter(|act| ((act.1 - first).to_std().unwrap_or_default().as_secs_f64()) < spans)
            .count()
    });
    Ok(vec![
        Figure::new("limits_windows_exceeded", number(exceeded), "windows", "0"),
        Figure::new("limits_grants_used", number(within) / possible, "ratio", ">= 0.9"),
    ])
}
