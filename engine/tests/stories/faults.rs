//! What the fault suite has found, each played by hand.

use std::task::Poll;
use std::time::Duration;

use engine::limit::{self, Rule};
use engine::run::{Action, Change, State};
use engine::transaction;
use engine::worker;
use sqlx::{Connection, Executor, PgConnection};

use super::story::Story;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_paused_while_its_worker_died_goes_on_with_the_job_that_came_back() {
    let story = Story::begin().await;
    let run = story.start("[[steps]]\nid = \"a\"\ntype = \"act\"\ndoes = \"block\"\n").await;
    let worker = story.worker().await;
    story.board.blocked.acquire().await.unwrap().forget();
    story.ask(run, Action::Pause).await;
    worker.die().await;
    // As a sweep does it, before any worker has claimed the job and found its run paused.
    story.sql("update engine.jobs set worker = null, claimed_at = null, attempt = 0").await;
    let resumed = Change::Changed { from: State::Paused, to: State::Live };
    assert_eq!(story.ask(run, Action::Resume).await, resumed);
    story.board.gate.add_permits(1);
    let second = story.worker().await;
    story.until(run, "completed").await;
    assert_eq!(story.told(run).await, "started paused resumed done:a completed");
    second.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_is_given_up_while_it_begins_leaves_none_open() {
    let story = Story::begin().await;
    let mut witness = PgConnection::connect_with(&story.db.connect_options()).await.unwrap();
    let open = "select count(*) from pg_stat_activity
        where datname = current_database() and state like 'idle in transaction%'";
    for patience in (1..=6).cycle().take(60) {
        let (mut looks, mut beginning) = (0, Box::pin(transaction::begin(&story.db)));
        let given_up = std::future::poll_fn(|cx| {
            looks += 1;
            let begun = beginning.as_mut().poll(cx).map(drop);
            if looks == patience { Poll::Ready(()) } else { begun }
        });
        given_up.await;
        drop(beginning);
        let mut look = tokio::time::interval(Duration::from_millis(1));
        let mut count = 1_i64;
        for _ in 0..1_000 {
            look.tick().await;
            if story.db.num_idle() < usize::try_from(story.db.size()).unwrap() {
                continue;
            }
            count = sqlx::query_scalar(open).fetch_one(&mut witness).await.unwrap();
            if count == 0 {
                break;
            }
        }
        assert_eq!(count, 0, "given up after {patience} looks");
    }
    witness.close().await.unwrap();
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_of_the_sweep_costs_its_worker_nothing() {
    let story = Story::begin().await;
    let mut tx = story.db.begin().await.unwrap();
    let rule = Rule { at_once: Some(1), ..Rule::default() };
    limit::set(&mut tx, story.customer, "line", "one", &rule).await.unwrap();
    tx.commit().await.unwrap();
    let steps = "[[steps]]\nid = \"a\"\ntype = \"act\"\ndoes = \"block\"\nlimits = [\"line\"]\n";
    let run = story.start(steps).await;
    let first = story.worker().await;
    story.board.blocked.acquire().await.unwrap().forget();
    first.die().await;
    let mut tx = story.db.begin().await.unwrap();
    // The other side looks for deadlocks much later, so that it is the sweep that is given up.
    tx.execute("set local deadlock_timeout = '1min'").await.unwrap();
    tx.execute("select from engine.limits for update").await.unwrap();
    story.sql("update engine.workers set seen_at = seen_at - interval '1 minute'").await;
    let second = story.worker().await;
    let waits = "select count(*) from pg_stat_activity where datname = current_database()
        and wait_event_type = 'Lock' and query like 'with dead as%'";
    story.until_count(waits, 1).await;
    tx.execute("select from engine.jobs for update").await.unwrap();
    tx.rollback().await.unwrap();
    story.board.gate.add_permits(1);
    story.until(run, "completed").await;
    story.until_count("select last_value from engine.worker_ids", 2).await;
    second.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_ends_a_run_prevents_the_acts_of_the_run_that_it_waits_for() {
    let story = Story::begin().await;
    let child = "[[steps]]\nid = \"s\"\ntype = \"send\"\ndoes = \"block\"\n";
    let child = story.define_as("child", child).await;
    let deaf = format!("update engine.definitions set hears = '{{}}' where id = {child}");
    story.sql(&deaf).await;
    let spawn = "[[steps]]\nid = \"kid\"\ntype = \"spawn\"\nworkflow = \"child\"\nwait = true\n";
    let run = story.start(spawn).await;
    let worker = story.worker().await;
    story.board.blocked.acquire().await.unwrap().forget();
    // Nobody can end the run, so that its child lives as long as this lasts.
    let mut tx = story.db.begin().await.unwrap();
    tx.execute("lock table engine.endings in exclusive mode").await.unwrap();
    story.signal(run, "stop", "1").await;
    story.board.gate.add_permits(1);
    // It was refused, and is looked at anew.
    let again = tokio::time::timeout(Duration::from_secs(20), story.board.blocked.acquire());
    again.await.expect("the act was refused").unwrap().forget();
    tx.rollback().await.unwrap();
    story.board.gate.add_permits(100);
    story.until_count("select count(*) from engine.runs where ended_at is null", 0).await;
    assert_eq!(story.told(run).await, "started waiting:kid exited");
    assert_eq!(story.board.calls("sent:s"), 0);
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_is_heard_by_a_run_that_is_being_started_while_it_comes() {
    let story = Story::begin().await;
    let child = "[[steps]]\nid = \"ear\"\ntype = \"listen\"\nsignal = \"ping\"\n";
    story.define_as("child", child).await;
    // Whoever starts a child stands still between its start and its commit.
    story
        .sql(
            "create function pause() returns trigger language plpgsql as $$
               begin perform pg_advisory_xact_lock(-1); return null; end $$;
             create trigger pause after insert on engine.runs for each row when (new.parent_id is not null)
               execute function pause()",
        )
        .await;
    let spawn = "[[steps]]\nid = \"kid\"\ntype = \"spawn\"\nworkflow = \"child\"\n[[steps]]\nid = \"nap\"\ntype = \"sleep\"\nminutes = 60\n";
    let run = story.start(spawn).await;
    let mut tx = story.db.begin().await.unwrap();
    tx.execute("select pg_advisory_xact_lock(-1)").await.unwrap();
    let worker = story.worker().await;
    let waiting = "select count(*) from pg_stat_activity where datname = current_database()
        and wait_event_type = 'Lock'";
    story.until_count(waiting, 1).await;
    let goes_on = async {
        story.until_count(waiting, 2).await;
        tx.rollback().await.unwrap();
    };
    assert!(tokio::join!(story.signal(run, "stop", "1"), goes_on).0);
    story.until_count("select count(*) from engine.runs where state = 'exited'", 2).await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_does_nothing_while_its_worker_may_be_dead_in_the_eyes_of_the_others() {
    let story = Story::begin().await;
    let run = story.start("[[steps]]\nid = \"s\"\ntype = \"send\"\ndoes = \"block\"\n").await;
    let worker = story.worker().await;
    story.board.blocked.acquire().await.unwrap().forget();
    // No sign of life of its comes through.
    let mut tx = story.db.begin().await.unwrap();
    tx.execute("select from engine.workers for update").await.unwrap();
    let silent = "select count(*) from engine.workers where seen_at < clock_timestamp() - interval '2 seconds'";
    story.until_count(silent, 1).await;
    story.board.gate.add_permits(1);
    let acted =
        story.until_count("select count(*) from engine.history where kind = 'step.intended'", 1);
    assert!(tokio::time::timeout(Duration::from_millis(500), acted).await.is_err());
    tx.rollback().await.unwrap();
    story.until(run, "completed").await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_stands_still_in_a_transaction_lets_go_of_what_it_has_locked() {
    let story = Story::begin().await;
    let run = story.start("[[steps]]\nid = \"a\"\ntype = \"act\"\n").await;
    let queue = worker::pool((*story.db.connect_options()).clone()).await.unwrap();
    let mut tx = queue.begin().await.unwrap();
    tx.execute("select from engine.jobs for update").await.unwrap();
    let cancelled = Change::Changed { from: State::Live, to: State::Cancelled };
    assert_eq!(story.ask(run, Action::Cancel).await, cancelled);
    assert!(tx.commit().await.is_err());
    queue.close().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_was_found_dead_claims_nothing_before_it_knows() {
    let story = Story::begin().await;
    let worker = story.worker().await;
    let beaten = "select count(*) from engine.workers where seen_at > started_at";
    story.until_count(beaten, 1).await;
    story.sql("delete from engine.workers").await;
    let run = story.start("[[steps]]\nid = \"a\"\ntype = \"act\"\n").await;
    story.until(run, "completed").await;
    assert_eq!(story.history(run).await[1].actor, "worker:2");
    worker.stop().await;
    story.end().await;
}
