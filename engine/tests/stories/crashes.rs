//! Workers that die over and over, and what their runs come to.

use std::sync::atomic::Ordering;

use engine::run::{Action, Change, State};
use uuid::Uuid;

use super::story::Story;

const SEND: &str = "[[steps]]\nid = \"s\"\ntype = \"send\"\ndoes = \"hang\"\n[[steps]]\nid = \"b\"\ntype = \"act\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_outlived_six_workers_is_held() {
    let story = Story::begin().await;
    let run = story.start("[[steps]]\nid = \"a\"\ntype = \"act\"\n").await;
    story.sql("update engine.jobs set crashes = 6").await;
    let worker = story.worker().await;
    let reason = story.until(run, "held").await.reason.unwrap();
    assert_eq!(reason, "its worker died 6 times while this step ran");
    assert_eq!(story.board.calls("a"), 0);
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_after_a_crash_ends_the_run_once_the_act_is_recorded() {
    let story = Story::begin().await;
    let run = story.start(SEND).await;
    let worker = story.worker().await;
    story.until_count("select count(*) from engine.history where kind = 'step.intended'", 1).await;
    worker.die().await;
    story.signal(run, "stop", "1").await;
    story.board.answer.store(1, Ordering::SeqCst);
    let second = story.worker().await;
    story.until(run, "exited").await;
    assert_eq!(story.told(run).await, "started intended:s done:s exited");
    second.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_that_waits_goes_round_under_a_new_iteration_each_time() {
    let story = Story::begin().await;
    let steps = "[[steps]]\nid = \"nap\"\ntype = \"sleep\"\nminutes = 1\n[[steps]]\nid = \"s\"\ntype = \"send\"\nnext = \"nap\"\n";
    let run = story.start(steps).await;
    let worker = story.worker().await;
    for round in 1..=3 {
        story.until(run, "sleeping").await;
        story.pass(1.1).await;
        let wanted = "select count(*) from engine.history where kind = 'step.done' and step = 's'";
        story.until_count(wanted, round).await;
    }
    let rounds = "select count(distinct iteration) from engine.history where kind = 'step.done' and step = 's'";
    story.until_count(rounds, 3).await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_type_that_no_worker_here_knows_is_left_and_done_by_one_that_does() {
    let story = Story::begin().await;
    let run = story.start("[[steps]]\nid = \"a\"\ntype = \"act\"\n").await;
    story.sql("update engine.definitions set document = jsonb_set(document, '{steps,0,type}', '\"newer\"')").await;
    story.sql("update engine.jobs set queue = 'newer'").await;
    let other = story.start("[[steps]]\nid = \"b\"\ntype = \"act\"\n").await;
    let worker = story.worker().await;
    story.until(other, "completed").await;
    assert_eq!(story.run(run).await.state, "ready");
    // Also where only another step of the version is unknown, the run is left and not held.
    story.sql("update engine.jobs set queue = 'act'").await;
    story.until(run, "sleeping").await;
    assert_eq!(story.told(run).await, "started");
    worker.stop().await;
    story.sql("update engine.definitions set document = jsonb_set(document, '{steps,0,type}', '\"act\"')").await;
    let newer = story.worker().await;
    story.pass(2.0).await;
    story.until(run, "completed").await;
    newer.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_was_found_dead_claims_nothing_before_it_begins_again() {
    let story = Story::begin().await;
    let worker = story.worker().await;
    story.until_count("select count(*) from engine.workers", 1).await;
    let dead: i64 = sqlx::query_scalar("delete from engine.workers returning id")
        .fetch_one(&story.db)
        .await
        .unwrap();
    let run = story.start("[[steps]]\nid = \"a\"\ntype = \"act\"\n").await;
    story.until(run, "completed").await;
    let history = story.history(run).await;
    let by_the_dead = format!("worker:{dead}");
    assert!(history.iter().all(|row| row.actor != by_the_dead), "{history:#?}");
    worker.stop().await;
    story.end().await;
}

/// A run that was paused while a worker held its job, which then died: its job is ready, and the run rests.
async fn paused_with_a_job(story: &Story) -> Uuid {
    let run = story.start("[[steps]]\nid = \"a\"\ntype = \"act\"\n").await;
    story.sql("update engine.jobs set worker = 0, claimed_at = now(), attempt = 1").await;
    story.ask(run, Action::Pause).await;
    story.sql("update engine.jobs set worker = null, claimed_at = null, attempt = 0").await;
    run
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_paused_while_its_worker_died_can_be_resumed_at_once() {
    let story = Story::begin().await;
    let run = paused_with_a_job(&story).await;
    let change = story.ask(run, Action::Resume).await;
    assert_eq!(change, Change::Changed { from: State::Paused, to: State::Live });
    let worker = story.worker().await;
    story.until(run, "completed").await;
    assert_eq!(story.told(run).await, "started paused resumed done:a completed");
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_given_up_because_its_run_is_paused_uses_no_attempt() {
    let story = Story::begin().await;
    let run = paused_with_a_job(&story).await;
    let worker = story.worker().await;
    story.until_count("select count(*) from engine.jobs", 0).await;
    let row = story.run(run).await;
    assert_eq!((row.state.as_str(), row.attempt), ("paused", 0));
    worker.stop().await;
    story.end().await;
}
