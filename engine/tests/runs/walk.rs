//! The plain walk.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::world::World;

const THREE: &str = "
[[steps]]
id = \"a\"
type = \"work\"
[[steps]]
id = \"b\"
type = \"work\"
when = \"steps.a.worked && thing.color == 'red'\"
[[steps]]
id = \"c\"
type = \"work\"
when = \"thing.color == 'blue'\"
";

#[tokio::test]
async fn three_steps_run_to_the_end_with_a_gapless_history() {
    let world = World::at_work(THREE).await;
    let run = world.start_one().await;
    let row = world.until(run, "completed").await;
    assert!(row.ended_at.is_some());
    let walked =
        ["run.started a", "step.done a", "step.done b", "step.skipped c", "run.completed c"];
    assert_eq!(world.timeline(run).await, walked);
    world.end().await;
}

#[tokio::test]
async fn five_hundred_runs_all_end_once() {
    let world = World::at_work(THREE).await;
    world.start(500).await;
    world.until_true("select bool_and(state = 'completed') from engine.runs").await;
    world.end().await;
}

#[tokio::test]
async fn a_sleeping_run_wakes_at_its_instant_and_not_before() {
    let world = World::at_work(
        "[[steps]]\nid = \"nap\"\ntype = \"rest\"\nseconds = 3600\n[[steps]]\nid = \"up\"\ntype = \"work\"",
    )
    .await;
    let run = world.start_one().await;
    let due = world.until(run, "sleeping").await.next_at.unwrap();
    world.advance(3599).await;
    // Another run that walks by shows that the worker has looked at the clock since.
    let other = world.start_one().await;
    world.until(other, "sleeping").await;
    assert_eq!(world.row(run).await.state, "sleeping");
    world.advance(1).await;
    world.until(run, "completed").await;
    let up =
        world.history(run).await.into_iter().find(|row| row.step.as_deref() == Some("up")).unwrap();
    assert!(up.at >= due, "never early");
    world.end().await;
}

#[tokio::test]
async fn a_loop_that_waits_goes_round_under_a_new_iteration_each_time() {
    let world = World::at_work(
        "[[steps]]\nid = \"nap\"\ntype = \"rest\"\nseconds = 60\n\
         [[steps]]\nid = \"again\"\ntype = \"send\"\nnext = \"nap\"",
    )
    .await;
    let run = world.start_one().await;
    for _ in 0..2 {
        world.until(run, "sleeping").await;
        world.advance(60).await;
        world.outside.acted().await;
    }
    world.until(run, "sleeping").await;
    let acts = world.outside.acts();
    assert_eq!(acts.len(), 2);
    assert_ne!(acts[0], acts[1], "each round has a key of its own");
    world.end().await;
}
