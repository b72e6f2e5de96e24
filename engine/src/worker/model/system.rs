//! The engine under test: its own statements and decisions on a real Postgres, one turn at a time on one
//! thread. None of its background tasks runs, so that what happens when is what the transitions say.

use std::collections::BTreeMap;

use chrono::DateTime;
use serde_json::json;
use sqlx::{Connection, Executor};
use uuid::Uuid;

use super::super::{promote, sweep};
use super::bench::{Bench, ROOM};
use super::process::Process;
use super::reference::{FIRST_PASS, Model, Rule};
use super::transition::{Transition, Wish};
use super::{Broken, invariants, snapshot};
use crate::clock;
use crate::run::{self, Action, NewRun, Priority};
use crate::signal::{self, NewSignal, Target};

/// How many rounds a case may take to come to rest.
const ROUNDS: usize = 200;

/// The engine in the middle of a case.
pub(super) struct System<'a> {
    pub(super) bench: &'a mut Bench,
    processes: Vec<Process>,
    newest_process: i64,
    /// The runs of the case, in the order in which they were started.
    pub(super) runs: Vec<Uuid>,
    /// Before all of them.
    before: Uuid,
    /// Runs that a signal ended, or will, with how often they had acted or wished to by then.
    pub(super) stopped: BTreeMap<Uuid, i64>,
}

impl<'a> System<'a> {
    /// Empties the queue of what another case left, and puts two processes and the limit into place.
    pub(super) async fn new(bench: &'a mut Bench, rule: &Rule) -> Result<Self, Broken> {
        bench.db.execute(invariants::CLEAN).await?;
        sqlx::query("select setval('engine.served', $1)")
            .bind(FIRST_PASS)
            .execute(&mut bench.db)
            .await?;
        if rule.limits() {
            sqlx::query(
                "insert into engine.limits (customer_id, kind, name, max_running, cap, per, gap)
                 values ($1, 'line', 'one', $2, $3, make_interval(mins => $4::int), make_interval(mins => $5::int))",
            )
            .bind(bench.customer)
            .bind(rule.at_once)
            .bind(rule.rate.map(|(cap, _)| cap))
            .bind(rule.rate.map(|(_, minutes)| minutes))
            .bind(rule.gap.unwrap_or(0))
            .execute(&mut bench.db)
            .await?;
        }
        bench.outside.forget();
        let mut system = Self {
            bench,
            processes: Vec::new(),
            newest_process: 0,
            runs: Vec::new(),
            before: clock::new_id(),
            stopped: BTreeMap::new(),
        };
        for _ in 0..2 {
            let process = system.born().await?;
            system.processes.push(process);
        }
        Ok(system)
    }

    async fn born(&mut self) -> Result<Process, Broken> {
        self.newest_process += 1;
        // No lock stands for it, so its row says that it was seen just now for as long as the case lasts.
        sqlx::query(
            "insert into engine.workers (id, name, seen_at, expires_at)
             values ($1, 'model', clock_timestamp() + interval '1 day', clock_timestamp() + interval '1 day')",
        )
        .bind(self.newest_process)
        .execute(&mut self.bench.db)
        .await?;
        Ok(Process::new(self.bench.worker(), self.newest_process))
    }

    /// Lets one thing happen.
    pub(super) async fn apply(&mut self, transition: &Transition) -> Result<(), Broken> {
        match transition {
            Transition::Start { workflow, count, later } => {
                self.start(*workflow, *count, *later).await?;
            }
            Transition::Claim { process, limit } => {
                self.processes[*process].claim(*limit).await?;
            }
            Transition::Grant { process } => {
                self.processes[*process].grant(&mut self.bench.grants).await?;
            }
            Transition::Execute { process, held } => {
                self.processes[*process].execute(*held).await?;
            }
            Transition::Intend { process } => {
                self.processes[*process].intend(&mut self.bench.db).await?;
            }
            Transition::Act { process, held } => self.processes[*process].act(*held).await?,
            Transition::Record { process } => self.record(*process).await?,
            Transition::Expire { process } => self.expire(*process).await?,
            Transition::Die { process } => {
                self.expire(*process).await?;
                self.processes[*process] = self.born().await?;
            }
            Transition::Sweep => {
                // Two look at once, as each process does: nothing is given back twice.
                let look = || sweep::take_back(&self.processes[0].shared, sweep::Dead::Unknown);
                let (one, other) = tokio::join!(look(), look());
                one?;
                other?;
            }
            Transition::Advance { minutes } => self.advance(*minutes).await?,
            Transition::Promote => {
                promote::promote(&self.processes[0].shared, DateTime::UNIX_EPOCH, None).await?;
            }
            Transition::Signal { run, name, key } => self.signal(*run, name, *key).await?,
            Transition::Ask { run, wish } => self.ask(*run, *wish).await?,
            Transition::Lose { run } => self.lose(*run).await?,
            Transition::LookThrough => {
                let after = (self.bench.customer, self.before);
                sweep::look_through(&self.processes[0].shared, after).await?;
            }
        }
        Ok(())
    }

    async fn start(&mut self, workflow: usize, count: usize, later: bool) -> Result<(), Broken> {
        let now = clock::now(&mut self.bench.db).await?;
        let runs: Vec<NewRun> = (0..count)
            .map(|_| {
                let id = clock::new_id();
                NewRun {
                    id,
                    customer_id: self.bench.customer,
                    definition_id: self.bench.kept[workflow],
                    subject_id: id,
                    zone: "UTC".into(),
                    actor: "cli".into(),
                    start_at: later.then(|| now + chrono::TimeDelta::hours(1)),
                    limit_keys: json!({ "line": "one" }),
                    priority: Priority::Normal,
                    parent: None,
                }
            })
            .collect();
        let mut tx = self.bench.db.begin().await?;
        run::start(&mut tx, &runs).await.map_err(|error| Broken(error.to_string()))?;
        tx.commit().await?;
        self.runs.extend(runs.iter().map(|run| run.id));
        Ok(())
    }

    async fn record(&mut self, process: usize) -> Result<(), Broken> {
        let zombie = self.processes[process].expired;
        let before = if zombie { Some(invariants::hash(self).await?) } else { None };
        let recorded = self.processes[process].record(&mut self.bench.db).await?;
        if let Some(before) = before.filter(|_| recorded == 0)
            && before != invariants::hash(self).await?
        {
            return Err(Broken("I3: a record under a stale lease changed something".into()));
        }
        Ok(())
    }

    async fn expire(&mut self, process: usize) -> Result<(), Broken> {
        let process = &mut self.processes[process];
        process.expired = true;
        sqlx::query(
            "update engine.workers set seen_at = clock_timestamp() - interval '1 hour',
               expires_at = clock_timestamp() - interval '1 hour' where id = $1",
        )
        .bind(process.shared.id)
        .execute(&mut self.bench.db)
        .await?;
        Ok(())
    }

    async fn advance(&mut self, minutes: i64) -> Result<(), Broken> {
        sqlx::query("update engine.virtual_clock set virtual_at = virtual_at + make_interval(mins => $1::int)")
            .bind(minutes)
            .execute(&mut self.bench.db)
            .await?;
        Ok(())
    }

    async fn signal(&mut self, run: usize, name: &str, key: u8) -> Result<(), Broken> {
        let id = self.runs[run];
        if name == "stop" {
            let (open, intents) = invariants::intents(self, id).await?;
            if open {
                self.stopped.entry(id).or_insert(intents);
            }
        }
        let new = NewSignal {
            customer_id: self.bench.customer,
            target: Target::Subject(id),
            name: name.into(),
            key: key.to_string(),
            data: json!({}),
        };
        let mut tx = self.bench.db.begin().await?;
        signal::send(&mut tx, &[new]).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn ask(&mut self, run: usize, wish: Wish) -> Result<(), Broken> {
        let action = match wish {
            Wish::Pause => Action::Pause,
            Wish::Resume => Action::Resume,
            Wish::Cancel => Action::Cancel,
            Wish::Retry => Action::Retry,
            Wish::Skip => Action::Skip,
            Wish::Jump(step) => Action::Jump { step: format!("s{step}") },
        };
        let (customer, ids) = (self.bench.customer, [self.runs[run]]);
        let mut tx = self.bench.db.begin().await?;
        run::act(&mut tx, &self.bench.definitions, customer, &ids, &action, "user:model").await?;
        tx.commit().await?;
        Ok(())
    }

    async fn lose(&mut self, run: usize) -> Result<(), Broken> {
        sqlx::query(
            "with jobs as (delete from engine.jobs where run_id = $1 and worker is null)
             delete from engine.timers where run_id = $1",
        )
        .bind(self.runs[run])
        .execute(&mut self.bench.db)
        .await?;
        Ok(())
    }

    /// Lets one process with a new row do all that is left to do, until nothing is; the clock jumps to what
    /// is next due.
    pub(super) async fn drain(&mut self) -> Result<(), Broken> {
        for process in 0..self.processes.len() {
            self.apply(&Transition::Die { process }).await?;
        }
        self.apply(&Transition::Sweep).await?;
        self.apply(&Transition::LookThrough).await?;
        for _ in 0..ROUNDS {
            let left = invariants::left_to_do(self).await?;
            if left.due {
                self.apply(&Transition::Promote).await?;
            }
            if left.in_line {
                self.processes[0].grant(&mut self.bench.grants).await?;
            }
            if left.due || left.ready {
                self.processes[0].claim(ROOM).await?;
            }
            while self.processes[0].holds() > 0 {
                self.work_off().await?;
            }
            let busy = left.due || left.in_line || left.ready;
            if !busy && !invariants::jump_ahead(self).await? {
                return Ok(());
            }
        }
        Err(Broken(format!("I9: not at rest after {ROUNDS} rounds")))
    }

    /// Works at all that the first process holds, and records it.
    async fn work_off(&mut self) -> Result<(), Broken> {
        let process = &mut self.processes[0];
        for at in 0..process.holds() {
            process.execute(at).await?;
            if process.wishes(at) {
                process.intend(&mut self.bench.db).await?;
                process.act(at).await?;
            }
        }
        self.record(0).await
    }

    /// Compares everything with the model, and looks at what must hold of any state.
    pub(super) async fn check(&mut self, model: &Model) -> Result<(), Broken> {
        let seen = snapshot::take(self).await?;
        seen.compare(model, &self.runs, &self.bench.outside.acts())?;
        invariants::check(self, &seen)
    }
}

/// Waits until this many statements of the database wait for a lock.
async fn blocked(bench: &mut Bench, wanted: i64) {
    let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    let patience = clock::started() + std::time::Duration::from_secs(20);
    loop {
        let blocked: i64 = sqlx::query_scalar(waiting).fetch_one(&mut bench.db).await.unwrap();
        if blocked == wanted {
            return;
        }
        assert!(clock::started() < patience, "{blocked} wait for a lock, not {wanted}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn of_two_looks_at_once_one_gives_a_job_back_and_frees_its_place() {
    let mut bench = Bench::new().await;
    let mut db = bench.worker().queue.acquire().await.unwrap().detach();
    let rule = Rule { at_once: Some(2), rate: None, gap: None };
    let mut system = System::new(&mut bench, &rule).await.unwrap();
    // Two runs of the workflow whose first step takes its turn under the limit, granted to a process that is gone.
    system.apply(&Transition::Start { workflow: 1, count: 2, later: false }).await.unwrap();
    system.apply(&Transition::Claim { process: 0, limit: 10 }).await.unwrap();
    for held in [0, 0] {
        system.apply(&Transition::Execute { process: 0, held }).await.unwrap();
        system.apply(&Transition::Record { process: 0 }).await.unwrap();
    }
    system.apply(&Transition::Grant { process: 0 }).await.unwrap();
    let held = "select count(*) from engine.jobs where worker is not null and granted <> '{}'";
    let granted: i64 = sqlx::query_scalar(held).fetch_one(&mut db).await.unwrap();
    assert_eq!(granted, 2);
    db.execute("delete from engine.workers where id = 1").await.unwrap();
    let mut locked = db.begin().await.unwrap();
    locked.execute("select from engine.jobs order by run_id limit 1 for update").await.unwrap();
    let shared = std::sync::Arc::clone(&system.processes[1].shared);
    let look = || {
        let shared = std::sync::Arc::clone(&shared);
        tokio::spawn(async move { sweep::take_back(&shared, sweep::Dead::Unknown).await.unwrap() })
    };
    let (one, other) = (look(), look());
    blocked(system.bench, 2).await;
    locked.rollback().await.unwrap();
    assert_eq!(one.await.unwrap() + other.await.unwrap(), 2, "each job once");
    let left: (i32, i64) = sqlx::query_as(
        "select (select running from engine.limits), (select sum(crashes) from engine.jobs)::bigint",
    )
    .fetch_one(&mut db)
    .await
    .unwrap();
    assert_eq!(left, (0, 2), "no place is left, and each job outlived one death");
    db.close().await.unwrap();
    bench.drop().await;
}
