//! The engine against a model of it: thousands of random interleavings of claims, intents, records, crashes,
//! expiries, signals and people's wishes, each step of each compared with the model and held to I1 to I10.
//!
//! A case that fails names its seed, and is first made as short as it goes. `SALESOS_MODEL_SEED=… cargo test
//! -p engine --lib worker::model` runs that case alone; `SALESOS_MODEL_CASES` sets how many are run, and
//! `SALESOS_MODEL_FIRST` the seed of the first, 1 where nothing is said.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod bench;
#[path = "../../../../tests/support/database.rs"]
mod database;
mod invariants;
mod process;
mod reference;
mod reference_people;
mod reference_record;
mod reference_step;
mod reference_worker;
mod snapshot;
mod system;
mod transition;
mod world;

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use proptest_state_machine::ReferenceStateMachine;
use tokio::runtime::{Builder, Runtime};

use super::WorkerError;
use bench::Bench;
use reference::{Model, Rule};
use system::System;
use transition::Transition;

/// How many cases are run where nothing else is said.
const CASES: u64 = 10_000;
/// How many cases run at once, each on a database of its own.
const AT_ONCE: usize = 2;
/// How many things happen in a case at the most.
const LONGEST: usize = 20;

/// What the engine did and may not do.
#[derive(Debug)]
struct Broken(String);

impl From<sqlx::Error> for Broken {
    fn from(error: sqlx::Error) -> Self {
        Self(format!("the database refused: {error}"))
    }
}

impl From<WorkerError> for Broken {
    fn from(error: WorkerError) -> Self {
        Self(error.to_string())
    }
}

/// The model as what proptest draws transitions from.
struct Reference;

impl ReferenceStateMachine for Reference {
    type State = Model;
    type Transition = Transition;

    fn init_state() -> BoxedStrategy<Model> {
        let rule = (
            prop::option::of(1..3_i32),
            prop::option::of((1..3_i32, Just(30_i64))),
            prop::option::weighted(0.3, Just(10_i64)),
        );
        rule.prop_map(|(at_once, rate, gap)| Model::new(Rule { at_once, rate, gap })).boxed()
    }

    fn transitions(model: &Model) -> BoxedStrategy<Transition> {
        transition::draw(model)
    }

    fn apply(mut model: Model, transition: &Transition) -> Model {
        model.apply(transition);
        model
    }

    fn preconditions(model: &Model, transition: &Transition) -> bool {
        transition::can(model, transition)
    }
}

/// Plays one case, and then lets everything come to rest.
async fn play(
    bench: &mut Bench,
    mut model: Model,
    transitions: &[Transition],
    seen: Option<&AtomicUsize>,
) -> Result<(), Broken> {
    let mut system = System::new(bench, &model.rule).await?;
    for transition in transitions {
        if let Some(seen) = seen {
            seen.fetch_add(1, Ordering::SeqCst);
        }
        model.apply(transition);
        system.apply(transition).await?;
        system.check(&model).await?;
    }
    system.drain().await?;
    let seen = snapshot::take(&mut system).await?;
    invariants::check(&system, &seen)?;
    invariants::at_rest(&seen)
}

/// Runs the case of a seed; the report of one that fails holds its shortest form.
fn case(runtime: &Runtime, bench: &RefCell<Bench>, seed: u64) -> Result<(), String> {
    let config = Config {
        cases: 1,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..Config::default()
    };
    let strategy = Reference::sequential_strategy(1..=LONGEST);
    let run = TestRunner::new(config).run(&strategy, |(model, transitions, seen)| {
        runtime
            .block_on(play(&mut bench.borrow_mut(), model, &transitions, seen.as_deref()))
            .map_err(|Broken(what)| TestCaseError::fail(what))
    });
    run.map_err(|error| match error {
        TestError::Fail(why, (model, transitions, _)) => {
            let steps: Vec<String> = transitions.iter().map(|next| format!("{next:?}")).collect();
            format!(
                "{why}\n\nunder {:?}, after:\n  {}\n\nthis case again: SALESOS_MODEL_SEED={seed} cargo test -p engine \
                 --lib worker::model",
                model.rule,
                steps.join("\n  ")
            )
        }
        TestError::Abort(why) => format!("seed {seed} was given up: {why}"),
    })
}

/// Runs cases until none is left or one has failed.
fn work(seeds: &[u64], next: &AtomicUsize) -> Result<(), String> {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let bench = RefCell::new(runtime.block_on(Bench::new()));
    loop {
        let at = next.fetch_add(1, Ordering::SeqCst);
        let Some(seed) = seeds.get(at) else { break };
        if let Err(report) = case(&runtime, &bench, *seed) {
            next.store(seeds.len(), Ordering::SeqCst);
            return Err(format!("case {} of {}: {report}", at + 1, seeds.len()));
        }
    }
    runtime.block_on(bench.into_inner().drop());
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "they are settings of the tests alone")]
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not `{text}`")))
}

#[test]
fn the_engine_does_what_its_model_does_in_any_interleaving() {
    let seeds: Vec<u64> = match setting("SALESOS_MODEL_SEED") {
        Some(seed) => vec![seed],
        None => {
            let cases = setting("SALESOS_MODEL_CASES").unwrap_or(CASES);
            // The same for everybody, so that a red run says something of the change before it.
            let first = setting("SALESOS_MODEL_FIRST").unwrap_or(1);
            (0..cases).map(|case| first.wrapping_add(case)).collect()
        }
    };
    let next = AtomicUsize::new(0);
    let reports: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..AT_ONCE.min(seeds.len())).map(|_| scope.spawn(|| work(&seeds, &next))).collect();
        workers.into_iter().filter_map(|worker| worker.join().unwrap().err()).collect()
    });
    assert!(reports.is_empty(), "{}", reports.join("\n\n"));
}
