//! Steps that act at most once: the fence before the act, and what follows a crash.

use super::steps::Fault;
use super::world::World;

const SEND: &str =
    "[[steps]]\nid = \"mail\"\ntype = \"send\"\n[[steps]]\nid = \"after\"\ntype = \"work\"";

#[tokio::test]
async fn an_act_is_intended_before_it_is_done() {
    let world = World::at_work(SEND).await;
    let run = world.start_one().await;
    world.until(run, "completed").await;
    let walked = [
        "run.started mail",
        "step.intended mail",
        "step.done mail",
        "step.done after",
        "run.completed after",
    ];
    assert_eq!(world.timeline(run).await, walked);
    assert_eq!(world.outside.acts().len(), 1);
    world.end().await;
}

#[tokio::test]
async fn an_answer_that_committed_before_the_intent_prevents_the_act() {
    let mut world = World::new(SEND).await;
    let run = world.start_one().await;
    world.signal("stop", "1").await;
    world.work().await;
    world.until(run, "exited").await;
    assert_eq!(world.outside.acts(), Vec::<String>::new());
    world.end().await;
}

#[tokio::test]
async fn an_act_before_a_crash_is_recognised_and_not_repeated() {
    let mut world = World::at_work(SEND).await;
    world.outside.fault("mail", Fault::HangAfterActing);
    let run = world.start_one().await;
    world.outside.acted().await;
    world.kill_workers().await;
    world.outside.heal("mail");
    world.work().await;
    world.until(run, "completed").await;
    assert_eq!(world.outside.acts().len(), 1, "it acted once");
    world.end().await;
}

#[tokio::test]
async fn a_reply_after_a_crash_ends_the_run_once_the_act_is_recorded() {
    let mut world = World::at_work(SEND).await;
    world.outside.fault("mail", Fault::HangAfterActing);
    let run = world.start_one().await;
    world.outside.acted().await;
    world.kill_workers().await;
    world.signal("stop", "1").await;
    world.outside.heal("mail");
    world.work().await;
    world.until(run, "exited").await;
    let walked = ["run.started mail", "step.intended mail", "step.done mail", "run.exited after"];
    assert_eq!(world.timeline(run).await, walked);
    world.end().await;
}

#[tokio::test]
async fn an_act_that_nobody_can_tell_of_is_held() {
    let mut world = World::at_work(SEND).await;
    world.outside.fault("mail", Fault::HangAfterActing);
    let run = world.start_one().await;
    world.outside.acted().await;
    world.kill_workers().await;
    world.outside.fault("mail", Fault::CannotTell);
    world.work().await;
    let reason = world.until_held(run).await;
    assert_eq!(reason, "nobody knows whether it happened: the outside can't tell");
    assert_eq!(world.outside.acts().len(), 1);
    world.end().await;
}
