//! What a person does to a run.

#![expect(clippy::unwrap_used, reason = "tests")]

use engine::run::{self, Change, State};

use super::steps::Fault;
use super::world::World;

const NAP: &str = "[[steps]]\nid = \"nap\"\ntype = \"rest\"\nseconds = 600\n[[steps]]\nid = \"up\"\ntype = \"work\"";

#[tokio::test]
async fn a_pause_keeps_what_is_left_of_the_delay() {
    let world = World::at_work(NAP).await;
    let run = world.start_one().await;
    world.until(run, "sleeping").await;
    world.advance(400).await;
    let mut tx = world.db.begin().await.unwrap();
    let paused = run::pause(&mut tx, world.customer_id, run, "user:test").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(paused, Change::Changed);
    world.advance(10_000).await;
    let mut tx = world.db.begin().await.unwrap();
    run::resume(&mut tx, world.customer_id, run, "user:test").await.unwrap();
    tx.commit().await.unwrap();
    let resumed = world.until(run, "sleeping").await;
    let now = engine::clock::now(&world.db).await.unwrap();
    assert_eq!((resumed.next_at.unwrap() - now).num_seconds(), 200);
    world.advance(200).await;
    world.until(run, "completed").await;
    world.end().await;
}

#[tokio::test]
async fn a_pause_while_a_step_runs_records_the_step_and_stops_behind_it() {
    let world = World::at_work(
        "[[steps]]\nid = \"a\"\ntype = \"send\"\n[[steps]]\nid = \"b\"\ntype = \"work\"",
    )
    .await;
    world.outside.fault("a", Fault::HangAfterActing);
    let run = world.start_one().await;
    world.outside.acted().await;
    let mut tx = world.db.begin().await.unwrap();
    run::pause(&mut tx, world.customer_id, run, "user:test").await.unwrap();
    tx.commit().await.unwrap();
    // The step is stopped by its timeout; what it had begun is asked about after the pause.
    world.until_true("select not exists (select from engine.jobs)").await;
    assert_eq!(world.row(run).await.state, "paused");
    world.outside.heal("a");
    let mut tx = world.db.begin().await.unwrap();
    run::resume(&mut tx, world.customer_id, run, "user:test").await.unwrap();
    tx.commit().await.unwrap();
    world.advance(60).await;
    world.until(run, "completed").await;
    assert_eq!(world.outside.acts().len(), 1, "it acted once");
    world.end().await;
}

#[tokio::test]
async fn a_cancelled_run_ends_and_can_be_cancelled_once() {
    let world = World::at_work(NAP).await;
    let run = world.start_one().await;
    world.until(run, "sleeping").await;
    let mut tx = world.db.begin().await.unwrap();
    let first = run::cancel(&mut tx, world.customer_id, run, "user:test").await.unwrap();
    let second = run::cancel(&mut tx, world.customer_id, run, "user:test").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((first, second), (Change::Changed, Change::Unchanged(State::Cancelled)));
    world.end().await;
}

#[tokio::test]
async fn another_customers_run_is_not_found() {
    let world = World::at_work(NAP).await;
    let run = world.start_one().await;
    let stranger = engine::clock::new_id();
    let mut tx = world.db.begin().await.unwrap();
    assert_eq!(run::cancel(&mut tx, stranger, run, "user:test").await.unwrap(), Change::NotFound);
    tx.commit().await.unwrap();
    assert_eq!(run::find(&world.db, Some(stranger), run).await.unwrap(), None);
    world.end().await;
}
