//! Runs that start runs, wait for them, and take them along.

use engine::run::Action;
use uuid::Uuid;

use super::story::Story;

const NAP: &str = "[[steps]]\nid = \"nap\"\ntype = \"sleep\"\nminutes = 60\n";

fn spawn(wait: bool) -> String {
    format!(
        "[[steps]]\nid = \"kid\"\ntype = \"spawn\"\nworkflow = \"child\"\nwait = {wait}\n[[steps]]\nid = \"b\"\ntype = \"act\"\n"
    )
}

async fn child_of(story: &Story, run: Uuid) -> Uuid {
    sqlx::query_scalar("select id from engine.runs where parent_id = $1")
        .bind(run)
        .fetch_one(&story.db)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_that_waits_goes_on_when_its_child_has_ended() {
    let story = Story::begin().await;
    story.define_as("child", NAP).await;
    let run = story.start(&spawn(true)).await;
    let worker = story.worker().await;
    story.until(run, "waiting").await;
    let child = child_of(&story, run).await;
    story.until(child, "sleeping").await;
    story.pass(61.0).await;
    story.until(run, "completed").await;
    assert_eq!(story.told(run).await, "started waiting:kid done:kid done:b completed");
    let history = story.history(child).await;
    assert!(history[0].actor.starts_with("run:run_"), "{}", history[0].actor);
    story.until_count("select count(*) from engine.endings", 0).await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_that_is_waited_for_ends_with_its_parent_down_the_line() {
    let story = Story::begin().await;
    story.define_as("grandchild", NAP).await;
    let middle = spawn(true).replace("\"child\"", "\"grandchild\"");
    story.define_as("child", &middle).await;
    let run = story.start(&spawn(true)).await;
    let worker = story.worker().await;
    story.until_count("select count(*) from engine.timers", 1).await;
    let child = child_of(&story, run).await;
    let grandchild = child_of(&story, child).await;
    story.ask(run, Action::Cancel).await;
    story.until(grandchild, "cancelled").await;
    assert_eq!(story.run(child).await.reason.unwrap(), "its parent ended");
    story.until_count("select count(*) from engine.endings", 0).await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_that_nobody_waits_for_lives_on_unless_a_person_cancels_its_parent() {
    let story = Story::begin().await;
    story.define_as("child", NAP).await;
    let worker = story.worker().await;
    let done = story.start(&spawn(false)).await;
    story.until(done, "completed").await;
    let alive = child_of(&story, done).await;
    story.until_count("select count(*) from engine.endings", 0).await;
    assert_eq!(story.run(alive).await.state, "sleeping");
    let cancelled = story.start(&format!("{}{NAP}", spawn(false))).await;
    story.until(cancelled, "sleeping").await;
    let taken = child_of(&story, cancelled).await;
    story.ask(cancelled, Action::Cancel).await;
    story.until(taken, "cancelled").await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_that_is_not_there_fails_the_step_and_an_endless_line_ends() {
    let story = Story::begin().await;
    let worker = story.worker().await;
    let run = story.start(&spawn(true)).await;
    let reason = story.until(run, "held").await.reason.unwrap();
    assert_eq!(reason, "there is no workflow `child`; apply it first");
    story.define_as("child", &spawn(true)).await;
    story.ask(run, Action::Retry).await;
    story.until_count("select count(*) from engine.runs where state = 'held'", 1).await;
    story.until_count("select count(*) from engine.runs", 9).await;
    story.ask(run, Action::Cancel).await;
    story.until_count("select count(*) from engine.runs where ended_at is null", 0).await;
    worker.stop().await;
    story.end().await;
}
