//! What things cost: CPU of Postgres and of the worker, WAL, room on the disk. docs/scale.md counts by it.

use std::future::Future;

use anyhow::Result;
use engine::limit::Rule;

use crate::crowd::asleep;
use crate::speed::own_cpu;
use crate::world::{World, number};
use crate::{Amounts, Figure};

/// What was used up: seconds of CPU, and bytes.
#[derive(Clone, Copy)]
struct Used {
    postgres: f64,
    worker: f64,
    wal: f64,
}

impl Used {
    async fn so_far(world: &World) -> Result<Self> {
        let worker = own_cpu()?;
        Ok(Self { postgres: all_cpu()? - worker, worker, wal: world.wal().await? })
    }

    /// Of each of so many, beyond what another thing costs.
    fn each(self, count: usize, beyond: Option<Self>) -> Self {
        let share = |used: f64, less: f64| used / number(count) - less;
        let less = beyond.unwrap_or(Self { postgres: 0.0, worker: 0.0, wal: 0.0 });
        Self {
            postgres: share(self.postgres, less.postgres),
            worker: share(self.worker, less.worker),
            wal: share(self.wal, less.wal),
        }
    }

    fn figures(self, names: [&'static str; 3]) -> [Figure; 3] {
        let [postgres, worker, wal] = names;
        [
            Figure::new(postgres, self.postgres * 1e6, "us", ""),
            Figure::new(worker, self.worker * 1e6, "us", ""),
            Figure::new(wal, self.wal, "bytes", ""),
        ]
    }
}

/// Starts, steps that are claimed, steps that go on in their worker, intents, turns under a limit, sleepers.
pub(crate) async fn cost(url: &str, amounts: &Amounts) -> Result<Vec<Figure>> {
    let world = World::new(url, "bench_cost").await?;
    let count = amounts.sequences;
    // Warms caches and plans.
    world.start(world.three, count / 4).await?;
    world.drain(count / 4 * 3).await?;
    let starting = of(&world, world.start(world.one, count)).await?.each(count, None);
    let claimed = of(&world, drained(&world, count)).await?.each(count, None);
    world.start(world.three, count).await?;
    let going_on =
        of(&world, drained(&world, 3 * count)).await?.each(count, Some(claimed)).each(2, None);
    world.start(world.acting, count).await?;
    let intent = of(&world, drained(&world, count)).await?.each(count, Some(claimed));
    // Lets all of them through at once.
    world.start_limited(&Rule { at_once: Some(1_000), ..Rule::default() }, count).await?;
    let turn = of(&world, drained(&world, count)).await?.each(count, Some(claimed));
    let history = "select sum(pg_total_relation_size(relid))::double precision / (select count(*) from engine.history)
      from pg_partition_tree('engine.history')";
    let history: f64 = sqlx::query_scalar(history).fetch_one(&world.db).await?;
    let finished = room(&world).await? / number(count / 4 + 4 * count);
    world.end().await?;

    let world = World::new(url, "bench_cost").await?;
    asleep(&world, count, "now() + interval '30 days' + g * interval '1 millisecond'").await?;
    let sleeper = room(&world).await? / number(count);
    world.end().await?;
    let mut figures = Vec::new();
    figures.extend(starting.figures(["start_cpu_postgres", "start_cpu_worker", "start_wal"]));
    figures.extend(claimed.figures([
        "claimed_step_cpu_postgres",
        "claimed_step_cpu_worker",
        "claimed_step_wal",
    ]));
    figures.extend(going_on.figures([
        "next_step_cpu_postgres",
        "next_step_cpu_worker",
        "next_step_wal",
    ]));
    figures.extend(intent.figures(["intent_cpu_postgres", "intent_cpu_worker", "intent_wal"]));
    figures.extend(turn.figures(["turn_cpu_postgres", "turn_cpu_worker", "turn_wal"]));
    figures.push(Figure::new("history_row_on_disk", history, "bytes", ""));
    figures.push(Figure::new("finished_run_on_disk", finished, "bytes", ""));
    figures.push(Figure::new("sleeper_on_disk", sleeper, "bytes", ""));
    Ok(figures)
}

async fn drained(world: &World, steps: usize) -> Result<()> {
    world.drain(steps).await?;
    Ok(())
}

async fn of(world: &World, work: impl Future<Output = Result<()>>) -> Result<Used> {
    let before = Used::so_far(world).await?;
    work.await?;
    let after = Used::so_far(world).await?;
    Ok(Used {
        postgres: after.postgres - before.postgres,
        worker: after.worker - before.worker,
        wal: after.wal - before.wal,
    })
}

/// The room of all runs, with their timers, in bytes.
async fn room(world: &World) -> Result<f64> {
    world.sql("vacuum full engine.runs").await?;
    let room = "select (pg_total_relation_size('engine.runs') + pg_total_relation_size('engine.timers'))::double precision";
    Ok(sqlx::query_scalar(room).fetch_one(&world.db).await?)
}

/// The seconds of CPU that the whole machine has used.
fn all_cpu() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks: Vec<f64> = fields.filter_map(|field| field.parse().ok()).collect();
    // User, nice, system, and what interrupts took.
    Ok([0, 1, 2, 5, 6].iter().filter_map(|place: &usize| ticks.get(*place)).sum::<f64>() / 100.0)
}
