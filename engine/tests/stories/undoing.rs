//! Runs that undo what they did, last step first.

use engine::run::Action;

use super::story::Story;

const TRIP: &str = r#"
[[steps]]
id = "flight"
type = "act"
compensate = "no-flight"
[[steps]]
id = "hotel"
type = "act"
compensate = "no-hotel"
[[steps]]
id = "nap"
type = "sleep"
minutes = 60
[[steps]]
id = "car"
type = "act"
does = "refuse"
on_failure = "compensate"
[[steps]]
id = "no-flight"
type = "act"
[[steps]]
id = "no-hotel"
type = "act"
does = "fail_twice"
[steps.retry]
attempts = 3
first = "60s"
jitter = 0.0
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_undoes_what_was_done_last_first_through_retries_and_crashes() {
    let story = Story::begin().await;
    let run = story.start(TRIP).await;
    let worker = story.worker().await;
    story.until(run, "sleeping").await;
    story.pass(61.0).await;
    story.until_count("select count(*) from engine.history where step = 'no-hotel'", 1).await;
    worker.die().await;
    // A reply does not stop what is being undone.
    story.signal(run, "stop", "1").await;
    let second = story.worker().await;
    story.pass(3.0).await;
    story.until_count("select count(*) from engine.history where step = 'no-hotel'", 2).await;
    story.pass(3.0).await;
    let reason = story.until(run, "exited").await.reason.unwrap();
    assert_eq!(reason, "undone: never");
    let told = story.told(run).await;
    let wanted = "started done:flight done:hotel waiting:nap done:nap failed:car failed:no-hotel failed:no-hotel done:no-hotel done:no-flight exited";
    assert_eq!(told, wanted);
    second.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_undoes_a_sleeping_run_and_one_that_did_nothing_just_ends() {
    let story = Story::begin().await;
    let run = story.start(TRIP).await;
    let worker = story.worker().await;
    story.until(run, "sleeping").await;
    story.ask(run, Action::Undo).await;
    story.until_count("select count(*) from engine.timers", 1).await;
    // The failing undoer is skipped by a person; the next one follows.
    story.ask(run, Action::Skip).await;
    let reason = story.until(run, "exited").await.reason.unwrap();
    assert_eq!(reason, "undone: a person wanted it");
    assert_eq!((story.board.calls("no-flight"), story.board.calls("car")), (1, 0));
    let idle = story.start("[[steps]]\nid = \"nap\"\ntype = \"sleep\"\nminutes = 60\n").await;
    story.until(idle, "sleeping").await;
    story.ask(idle, Action::Undo).await;
    story.until(idle, "exited").await;
    worker.stop().await;
    story.end().await;
}
