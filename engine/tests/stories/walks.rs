//! Runs that go on, are stopped by people, and end.

use engine::run::{Action, Change, State};

use super::story::Story;

const THREE: &str = "[[steps]]\nid = \"a\"\ntype = \"act\"\n[[steps]]\nid = \"b\"\ntype = \"act\"\n[[steps]]\nid = \"c\"\ntype = \"act\"\ndoes = \"fact\"\n";
const BLOCKS: &str = "[[steps]]\nid = \"a\"\ntype = \"act\"\ndoes = \"block\"\n[[steps]]\nid = \"b\"\ntype = \"act\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_steps_run_to_the_end_with_their_facts() {
    let story = Story::begin().await;
    let run = story.start(THREE).await;
    let worker = story.worker().await;
    story.until(run, "completed").await;
    assert_eq!(story.told(run).await, "started done:a done:b done:c completed");
    story.until_count("select count(*) from facts", 1).await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exit_step_ends_the_run_and_what_stands_below_it_never_runs() {
    let story = Story::begin().await;
    let run = story.start("[[steps]]\nid = \"a\"\ntype = \"leave\"\n").await;
    let worker = story.worker().await;
    assert_eq!(story.until(run, "exited").await.reason.as_deref(), Some("left"));
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_while_a_step_runs_records_the_step_and_stops_before_the_next() {
    let story = Story::begin().await;
    let run = story.start(BLOCKS).await;
    let worker = story.worker().await;
    story.board.blocked.acquire().await.unwrap().forget();
    assert_eq!(
        story.ask(run, Action::Pause).await,
        Change::Changed { from: State::Live, to: State::Paused }
    );
    story.board.gate.add_permits(1);
    story.until_count("select count(*) from engine.jobs", 0).await;
    assert_eq!(story.told(run).await, "started paused done:a");
    assert_eq!(story.ask(run, Action::Pause).await, Change::Unchanged(State::Paused));
    story.ask(run, Action::Resume).await;
    story.until(run, "completed").await;
    assert_eq!(story.board.calls("a"), 1);
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_while_a_step_runs_records_the_step_and_nothing_follows() {
    let story = Story::begin().await;
    let run = story.start(BLOCKS).await;
    let worker = story.worker().await;
    story.board.blocked.acquire().await.unwrap().forget();
    story.ask(run, Action::Cancel).await;
    story.board.gate.add_permits(1);
    story.until_count("select count(*) from engine.jobs", 0).await;
    assert_eq!(story.told(run).await, "started cancelled done:a");
    assert_eq!(story.board.calls("b"), 0);
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_told_to_stop_gives_back_what_it_did_not_begin() {
    let story = Story::begin().await;
    let run = story.start(BLOCKS).await;
    let worker = story.worker().await;
    story.board.blocked.acquire().await.unwrap().forget();
    story.board.gate.add_permits(1);
    story.until(run, "completed").await;
    worker.stop().await;
    let later = story.start(THREE).await;
    story.until_count("select count(*) from engine.workers", 0).await;
    assert_eq!(story.run(later).await.state, "ready");
    story.end().await;
}
