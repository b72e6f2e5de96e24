//! Runs that wait: for an instant, for a signal, for a person.

use engine::run::Action;

use super::story::Story;

const SLEEP: &str = "[[steps]]\nid = \"nap\"\ntype = \"sleep\"\nminutes = 60\n[[steps]]\nid = \"b\"\ntype = \"act\"\n";
const LISTEN: &str =
    "[[steps]]\nid = \"ear\"\ntype = \"listen\"\nsignal = \"ping\"\nminutes = 60\n";
const ENDLESS: &str = "[[steps]]\nid = \"ear\"\ntype = \"listen\"\nsignal = \"ping\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sleeper_wakes_at_its_instant_and_not_before() {
    let story = Story::begin().await;
    let run = story.start(SLEEP).await;
    let worker = story.worker().await;
    story.until(run, "sleeping").await;
    story.pass(59.9).await;
    let other = story.start("[[steps]]\nid = \"a\"\ntype = \"act\"\n").await;
    story.until(other, "completed").await;
    assert_eq!(story.run(run).await.state, "sleeping");
    story.pass(0.2).await;
    story.until(run, "completed").await;
    assert_eq!(story.told(run).await, "started waiting:nap done:nap done:b completed");
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_counts_before_while_and_after_the_wait_and_once_per_key() {
    let story = Story::begin().await;
    let definition = story.define(ENDLESS).await;
    let early = story.start_many(definition, 1).await[0];
    assert!(story.signal(early, "ping", "1").await);
    assert!(!story.signal(early, "ping", "1").await);
    let worker = story.worker().await;
    story.until(early, "completed").await;
    let waits = story.start_many(definition, 1).await[0];
    story.until(waits, "waiting").await;
    story.pass(100_000.0).await;
    assert_eq!(story.run(waits).await.state, "waiting");
    assert!(story.signal(waits, "ping", "1").await);
    story.until(waits, "completed").await;
    assert!(story.signal(waits, "ping", "2").await);
    assert_eq!(story.told(waits).await, "started waiting:ear done:ear completed");
    story.until_count("select count(*) from engine.inbox", 0).await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_without_its_signal_ends_by_its_timeout() {
    let story = Story::begin().await;
    let run = story.start(LISTEN).await;
    let worker = story.worker().await;
    story.until(run, "waiting").await;
    assert!(story.signal(run, "pong", "1").await);
    assert_eq!(story.run(run).await.state, "waiting");
    story.pass(61.0).await;
    story.until(run, "completed").await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exit_signal_ends_sleeping_paused_held_and_running_runs() {
    let story = Story::begin().await;
    let definition = story.define(SLEEP).await;
    let runs = story.start_many(definition, 2).await;
    let held = story.start("[[steps]]\nid = \"a\"\ntype = \"act\"\ndoes = \"refuse\"\n").await;
    let worker = story.worker().await;
    story.until(runs[0], "sleeping").await;
    story.until(runs[1], "sleeping").await;
    story.until(held, "held").await;
    story.ask(runs[1], Action::Pause).await;
    let blocks = "[[steps]]\nid = \"a\"\ntype = \"act\"\ndoes = \"block\"\n[[steps]]\nid = \"b\"\ntype = \"act\"\n";
    let running = story.start(blocks).await;
    story.board.blocked.acquire().await.unwrap().forget();
    for run in [runs[0], runs[1], held, running] {
        story.signal(run, "stop", "1").await;
    }
    story.board.gate.add_permits(1);
    for run in [runs[0], runs[1], held, running] {
        assert_eq!(story.until(run, "exited").await.reason.as_deref(), Some("stop"));
    }
    assert_eq!(story.told(running).await, "started done:a exited");
    assert_eq!(story.board.calls("b"), 0);
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_keeps_what_is_left_of_a_delay() {
    let story = Story::begin().await;
    let run = story.start(SLEEP).await;
    let worker = story.worker().await;
    story.until(run, "sleeping").await;
    story.pass(50.0).await;
    story.ask(run, Action::Pause).await;
    story.pass(500.0).await;
    assert_eq!(story.run(run).await.state, "paused");
    story.ask(run, Action::Resume).await;
    story.pass(9.0).await;
    // A lost timer is found, and its job comes too early: the rest of the delay still counts.
    story.sql("with t as (delete from engine.timers returning *) insert into engine.jobs (run_id, customer_id, queue, step, pass) select run_id, customer_id, queue, step, 0 from t").await;
    story.until_count("select count(*) from engine.timers", 1).await;
    assert_eq!(story.told(run).await, "started waiting:nap paused resumed");
    story.pass(1.1).await;
    story.until(run, "completed").await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_ends_leaves_no_signal_behind_however_it_ends() {
    let story = Story::begin().await;
    let steps = format!("[[steps]]\nid = \"nap\"\ntype = \"sleep\"\nminutes = 60\n{LISTEN}");
    let definition = story.define(&steps).await;
    let runs = story.start_many(definition, 3).await;
    for run in &runs {
        assert!(story.signal(*run, "ping", "1").await);
    }
    story.ask(runs[0], Action::Cancel).await;
    story.ask(runs[1], Action::Pause).await;
    story.signal(runs[1], "stop", "1").await;
    story.ask(runs[2], Action::Skip).await;
    story.ask(runs[2], Action::Skip).await;
    story.until_count("select count(*) from engine.runs where ended_at is not null", 3).await;
    story.end().await;
}
