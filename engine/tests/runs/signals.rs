//! Signals: before, while and after; to waiting, sleeping, paused and held runs.

#![expect(clippy::unwrap_used, reason = "tests")]

use engine::run;

use super::steps::Fault;
use super::world::World;

const LISTEN: &str = "
[[steps]]
id = \"nap\"
type = \"rest\"
seconds = 60
[[steps]]
id = \"ear\"
type = \"listen\"
signal = \"answer\"
seconds = 600
[[steps]]
id = \"heard\"
type = \"work\"
when = \"steps.ear.came\"
";

const HEARD: [&str; 7] = [
    "run.started nap",
    "step.waiting nap",
    "step.done nap",
    "step.waiting ear",
    "step.done ear",
    "step.done heard",
    "run.completed heard",
];

#[tokio::test]
async fn a_signal_wakes_the_step_that_waits_for_it() {
    let world = World::at_work(LISTEN).await;
    let run = world.start_one().await;
    world.until(run, "sleeping").await;
    world.advance(60).await;
    world.until(run, "waiting").await;
    assert_eq!(world.signal("answer", "1").await, 1);
    world.until(run, "completed").await;
    assert_eq!(world.timeline(run).await, HEARD);
    assert_eq!(world.signal("answer", "1").await, 0, "the same key is the same signal");
    world.end().await;
}

#[tokio::test]
async fn a_signal_that_came_before_its_step_is_taken_when_the_step_waits() {
    let world = World::at_work(LISTEN).await;
    let run = world.start_one().await;
    world.until(run, "sleeping").await;
    world.signal("answer", "1").await;
    assert_eq!(world.row(run).await.state, "sleeping", "nobody listens yet");
    world.advance(60).await;
    world.until(run, "completed").await;
    let mut walked = HEARD.to_vec();
    walked.remove(3);
    assert_eq!(world.timeline(run).await, walked);
    world.end().await;
}

#[tokio::test]
async fn a_step_that_waits_in_vain_goes_on_at_its_timeout() {
    let world = World::at_work(LISTEN).await;
    let run = world.start_one().await;
    world.until(run, "sleeping").await;
    world.advance(60).await;
    world.until(run, "waiting").await;
    world.advance(600).await;
    world.until(run, "completed").await;
    assert!(world.timeline(run).await.contains(&"step.skipped heard".to_owned()));
    world.end().await;
}

#[tokio::test]
async fn a_wait_without_end_takes_its_signal_after_a_year() {
    let world =
        World::at_work("[[steps]]\nid = \"ear\"\ntype = \"listen\"\nsignal = \"answer\"").await;
    let run = world.start_one().await;
    world.until(run, "waiting").await;
    world.advance(31_536_000).await;
    world.signal("answer", "1").await;
    world.until(run, "completed").await;
    world.end().await;
}

#[tokio::test]
async fn an_exit_signal_ends_a_sleeping_and_a_waiting_run() {
    let world = World::at_work(LISTEN).await;
    let waiting = world.start_one().await;
    world.until(waiting, "sleeping").await;
    world.advance(60).await;
    world.until(waiting, "waiting").await;
    let sleeping = world.start_one().await;
    world.until(sleeping, "sleeping").await;
    world.signal("stop", "1").await;
    for run in [waiting, sleeping] {
        let row = world.until(run, "exited").await;
        assert_eq!(row.reason.as_deref(), Some("stop"));
        let last = world.history(run).await.pop().unwrap();
        assert_eq!((last.kind.as_str(), last.actor.as_str()), ("run.exited", "signal:stop"));
    }
    world.end().await;
}

#[tokio::test]
async fn an_exit_signal_ends_a_paused_and_a_held_run() {
    let world = World::at_work("[[steps]]\nid = \"a\"\ntype = \"work\"\n[[steps]]\nid = \"nap\"\ntype = \"rest\"\nseconds = 60").await;
    let paused = world.start_one().await;
    world.until(paused, "sleeping").await;
    let mut tx = world.db.begin().await.unwrap();
    run::pause(&mut tx, world.customer_id, paused, "user:test").await.unwrap();
    tx.commit().await.unwrap();
    world.outside.fault("a", Fault::Fail);
    let held = world.start_one().await;
    world.until(held, "held").await;
    world.signal("stop", "1").await;
    assert_eq!(world.row(paused).await.state, "exited");
    assert_eq!(world.row(held).await.state, "exited");
    world.end().await;
}

#[tokio::test]
async fn a_signal_that_nobody_listens_to_changes_nothing() {
    let world = World::at_work(LISTEN).await;
    let run = world.start_one().await;
    let before = world.until(run, "sleeping").await;
    world.signal("noise", "1").await;
    assert_eq!(world.row(run).await, before);
    world.end().await;
}
