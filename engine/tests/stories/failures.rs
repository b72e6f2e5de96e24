//! Runs whose steps fail, and workers that die.

use std::sync::atomic::Ordering;

use engine::run::Action;

use super::story::Story;

fn act(does: &str, more: &str) -> String {
    format!("[[steps]]\nid = \"a\"\ntype = \"act\"\ndoes = \"{does}\"\n{more}\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_wait_for_their_backoff_and_a_buffered_signal_does_not_shorten_it() {
    let story = Story::begin().await;
    let listens = "[[steps]]\nid = \"ear\"\ntype = \"listen\"\nsignal = \"ping\"\n";
    let retry = "[steps.retry]\nattempts = 5\nfirst = \"60s\"\njitter = 0.0\n";
    let run = story.start(&format!("{}{listens}", act("fail_twice", retry))).await;
    let worker = story.worker().await;
    story.until(run, "sleeping").await;
    assert!(story.signal(run, "ping", "1").await);
    // As if the signal had come while the attempt ran.
    story.sql("with t as (delete from engine.timers returning *) insert into engine.jobs (run_id, customer_id, queue, step, attempt, pass) select run_id, customer_id, queue, step, attempt, 0 from t").await;
    story.until_count("select count(*) from engine.timers", 1).await;
    assert_eq!(story.board.calls("a"), 1);
    story.pass(1.1).await;
    story.until(run, "sleeping").await;
    story.until_count("select count(*) from engine.timers where attempt = 2", 1).await;
    story.pass(2.1).await;
    story.until(run, "completed").await;
    assert_eq!(story.told(run).await, "started failed:a failed:a done:a done:ear completed");
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_waits_from_the_end_of_an_attempt_that_took_long() {
    let story = Story::begin().await;
    let retry = "[steps.retry]\nattempts = 2\nfirst = \"60s\"\njitter = 0.0\n";
    let run = story.start(&act("block_then_fail", retry)).await;
    let worker = story.worker().await;
    story.board.blocked.acquire().await.unwrap().forget();
    story.pass(0.75).await;
    story.board.gate.add_permits(1);
    let next_at = story.until(run, "sleeping").await.next_at.unwrap();
    let failed_at = story.history(run).await.last().unwrap().at;
    assert_eq!((next_at - failed_at).num_seconds(), 60);
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_go_on_is_held_with_its_reason_and_retried() {
    let story = Story::begin().await;
    let once = "[steps.retry]\nattempts = 1\n";
    let panics = story.start(&act("panic", once)).await;
    let hangs = story.start(&act("hang", &format!("timeout = \"1s\"\n{once}"))).await;
    let poison = story.start(&act("poison_fact", "")).await;
    let good = story.start(&act("fact", "")).await;
    let lost = story.start(&act("done", "")).await;
    story
        .sql(&format!("update engine.runs set data = '{{\"what\": 1}}' where id = '{lost}'"))
        .await;
    let gone = story.start(&act("fail_twice", "")).await;
    story.sql(&format!("update engine.jobs set step = 'x' where run_id = '{gone}'; update engine.runs set step = 'x' where id = '{gone}'; update engine.history set step = 'x' where run_id = '{gone}'")).await;
    let behind = "kilobytes = 257\n[[steps]]\nid = \"b\"\ntype = \"act\"";
    let large = story.start(&act("done", behind)).await;
    let long = story.start(&act("done", "timeout = \"8s\"\n")).await;
    story.sql(&format!("with h as (update engine.history set seq = 100000 where run_id = '{long}') update engine.runs set seq = 100000 where id = '{long}'")).await;
    let unreadable = story.start(&act("done", "timeout = \"9s\"\n")).await;
    story.sql(&format!("update engine.definitions set document = '{{}}' where id = (select definition_id from engine.runs where id = '{unreadable}')")).await;
    let worker = story.worker().await;
    let reasons = [
        (panics, "it burns"),
        (hangs, "did not finish"),
        (poison, "could not be recorded"),
        (lost, "remembers can't be read"),
        (gone, "no step `x`"),
        (unreadable, "can't read workflow"),
        (large, "258 KiB together, and 256 KiB is the most"),
        (long, "its history has 100000 rows"),
    ];
    for (run, reason) in reasons {
        let held = story.until(run, "held").await.reason.unwrap();
        assert!(held.contains(reason), "{held}");
    }
    story.until(good, "completed").await;
    story.until_count("select count(*) from facts", 1).await;
    story.sql(&format!("update engine.runs set data = '{{}}' where id = '{lost}'")).await;
    story.ask(lost, Action::Retry).await;
    story.until(lost, "completed").await;
    story.sql(&format!("delete from engine.history where run_id = '{long}'; delete from engine.runs where id = '{long}'")).await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_that_commits_before_the_intent_prevents_the_act() {
    let story = Story::begin().await;
    let run = story.start("[[steps]]\nid = \"s\"\ntype = \"send\"\ndoes = \"block\"\n").await;
    let worker = story.worker().await;
    story.board.blocked.acquire().await.unwrap().forget();
    story.signal(run, "stop", "1").await;
    story.board.gate.add_permits(1);
    story.until(run, "exited").await;
    assert_eq!(story.board.calls("sent:s"), 0);
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_intent_of_a_dead_worker_is_settled_by_the_reconciler() {
    let story = Story::begin().await;
    let run = story.start("[[steps]]\nid = \"s\"\ntype = \"send\"\ndoes = \"hang\"\n").await;
    let worker = story.worker().await;
    story.until_count("select count(*) from engine.history where kind = 'step.intended'", 1).await;
    worker.die().await;
    story.board.answer.store(1, Ordering::SeqCst);
    let second = story.worker().await;
    story.until(run, "completed").await;
    assert_eq!((story.board.calls("s"), story.board.calls("asked:s")), (1, 1));
    second.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_knows_is_held_in_the_end() {
    let story = Story::begin().await;
    let steps = "[[steps]]\nid = \"s\"\ntype = \"send\"\ndoes = \"panic\"\n[steps.retry]\nattempts = 2\nfirst = \"60s\"\n";
    let run = story.start(steps).await;
    let worker = story.worker().await;
    story.until(run, "sleeping").await;
    story.pass(2.0).await;
    let held = story.until(run, "held").await.reason.unwrap();
    assert!(held.contains("nobody knows"), "{held}");
    assert_eq!((story.board.calls("sent:s"), story.board.calls("asked:s")), (1, 1));
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_lease_changes_nothing() {
    let story = Story::begin().await;
    let run = story.start(&act("block", "")).await;
    let worker = story.worker().await;
    story.board.blocked.acquire().await.unwrap().forget();
    story.sql("update engine.jobs set attempt = attempt + 1").await;
    story.board.gate.add_permits(1);
    let other = story.start("[[steps]]\nid = \"z\"\ntype = \"act\"\n").await;
    story.until(other, "completed").await;
    assert_eq!(story.told(run).await, "started");
    worker.stop().await;
    story.end().await;
}
