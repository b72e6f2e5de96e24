//! Steps that fail in every way: the run is held with its reason, the workers go on, a retry revives.

#![expect(clippy::unwrap_used, reason = "tests")]

use engine::run;
use uuid::Uuid;

use super::steps::Fault;
use super::world::World;

const TWO: &str = "[[steps]]\nid = \"a\"\ntype = \"work\"\n[[steps]]\nid = \"b\"\ntype = \"work\"";

async fn retry(world: &World, run: Uuid) {
    let mut tx = world.db.begin().await.unwrap();
    run::retry(&mut tx, world.customer_id, run, "user:test").await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_step_that_panics_is_held_and_a_retry_revives_it() {
    let world = World::at_work(TWO).await;
    world.outside.fault("b", Fault::Panic);
    let run = world.start_one().await;
    let reason = world.until_held(run).await;
    assert_eq!(reason, "the step panicked: as the test wants (3 attempts)");
    world.outside.heal("b");
    let other = world.start_one().await;
    world.until(other, "completed").await;
    retry(&world, run).await;
    world.until(run, "completed").await;
    world.end().await;
}

#[tokio::test]
async fn a_step_that_never_returns_is_stopped_and_held() {
    let world = World::at_work(TWO).await;
    world.outside.fault("a", Fault::Hang);
    let run = world.start_one().await;
    assert_eq!(world.until_held(run).await, "it did not finish within 300ms (3 attempts)");
    world.outside.heal("a");
    retry(&world, run).await;
    world.until(run, "completed").await;
    world.end().await;
}

#[tokio::test]
async fn retries_wait_longer_each_time() {
    let world = World::at_work(TWO).await;
    world.outside.fault("a", Fault::Retry);
    let run = world.start_one().await;
    for seconds in [10, 20] {
        let row = world.until(run, "sleeping").await;
        let now = engine::clock::now(&world.db).await.unwrap();
        assert_eq!((row.next_at.unwrap() - now).num_seconds(), seconds);
        world.advance(u32::try_from(seconds).unwrap()).await;
        world
            .until_true(
                "select not exists (select from engine.timers where due_at <= engine.now())",
            )
            .await;
    }
    world.until(run, "held").await;
    world.end().await;
}

#[tokio::test]
async fn what_a_run_remembers_and_cannot_be_read_holds_it() {
    let world = World::new(TWO).await;
    let run = world.start_one().await;
    sqlx::query("update engine.runs set data = '{\"outputs\": 7}'")
        .execute(&world.db)
        .await
        .unwrap();
    let mut world = world;
    world.work().await;
    let reason = world.until(run, "held").await.reason.unwrap();
    assert!(reason.starts_with("what the run remembers can't be read"), "{reason}");
    sqlx::query("update engine.runs set data = '{}'").execute(&world.db).await.unwrap();
    retry(&world, run).await;
    world.until(run, "completed").await;
    world.end().await;
}

#[tokio::test]
async fn a_document_that_this_binary_cannot_read_holds_its_runs() {
    let mut world = World::new(TWO).await;
    sqlx::query("update engine.definitions set document = jsonb_set(document, '{steps,0,type}', '\"gone\"')")
        .execute(&world.db)
        .await
        .unwrap();
    let run = world.start_one().await;
    world.work().await;
    let reason = world.until(run, "held").await.reason.unwrap();
    assert!(reason.contains("can't read workflow `story` version 1"), "{reason}");
    world.end().await;
}

#[tokio::test]
async fn a_fact_that_cannot_be_written_holds_its_run_and_no_other() {
    let poison = "[[steps]]\nid = \"a\"\ntype = \"work\"\nnote = \"poison\"\nwhen = \"thing.color == 'red'\"";
    let world = World::at_work(poison).await;
    let run = world.start_one().await;
    let reason = world.until(run, "held").await.reason.unwrap();
    assert!(reason.starts_with("what the step did could not be recorded"), "{reason}");
    world.end().await;
}

#[tokio::test]
async fn facts_commit_with_the_record() {
    let world = World::at_work("[[steps]]\nid = \"a\"\ntype = \"work\"\nnote = \"hello\"").await;
    let runs = world.start(20).await;
    for run in &runs {
        world.until(*run, "completed").await;
    }
    let notes: i64 = sqlx::query_scalar("select count(distinct run_id) from notes")
        .fetch_one(&world.db)
        .await
        .unwrap();
    assert_eq!(notes, 20);
    world.end().await;
}

#[tokio::test]
async fn a_job_that_outlives_six_workers_is_held() {
    let mut world = World::new(TWO).await;
    let run = world.start_one().await;
    sqlx::query("update engine.jobs set crashes = 6").execute(&world.db).await.unwrap();
    world.work().await;
    let reason = world.until(run, "held").await.reason.unwrap();
    assert_eq!(reason, "its worker died 6 times while this step ran");
    world.end().await;
}
