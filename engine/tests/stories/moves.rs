//! Runs that people move: skip, jump, one or many at once.

use engine::run::{self, Action, Change, State};

use super::story::Story;

const STEPS: &str = "[[steps]]\nid = \"a\"\ntype = \"act\"\n[[steps]]\nid = \"nap\"\ntype = \"sleep\"\nminutes = 60\n[[steps]]\nid = \"c\"\ntype = \"act\"\n";

fn jump(step: &str) -> Action {
    Action::Jump { step: step.into() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_skipped_wait_goes_on_at_once_and_a_skipped_last_step_completes_the_run() {
    let story = Story::begin().await;
    let run = story.start(STEPS).await;
    let worker = story.worker().await;
    story.until(run, "sleeping").await;
    assert!(matches!(story.ask(run, Action::Skip).await, Change::Changed { .. }));
    story.until(run, "completed").await;
    assert_eq!(story.told(run).await, "started done:a waiting:nap skipped done:c completed");
    let last = story.start("[[steps]]\nid = \"nap\"\ntype = \"sleep\"\nminutes = 60\n").await;
    story.until(last, "sleeping").await;
    let change = story.ask(last, Action::Skip).await;
    assert_eq!(change, Change::Changed { from: State::Live, to: State::Completed });
    assert_eq!(story.ask(last, Action::Skip).await, Change::Unchanged(State::Completed));
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jump_enters_the_step_anew_and_a_paused_run_stays_paused_there() {
    let story = Story::begin().await;
    let run = story.start(STEPS).await;
    let worker = story.worker().await;
    story.until(run, "sleeping").await;
    story.ask(run, jump("a")).await;
    story.until_count("select count(*) from engine.history where kind = 'step.waiting'", 2).await;
    assert_eq!(story.board.calls("a"), 2);
    story.ask(run, Action::Pause).await;
    let change = story.ask(run, jump("c")).await;
    assert_eq!(change, Change::Changed { from: State::Paused, to: State::Paused });
    assert_eq!(story.run(run).await.step, "c");
    story.ask(run, Action::Resume).await;
    story.until(run, "completed").await;
    assert_eq!(story.board.calls("nap"), 2, "the naps were left, not slept");
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_step_and_a_step_that_is_not_there_are_no_places_to_move_from_or_to() {
    let story = Story::begin().await;
    let run = story.start("[[steps]]\nid = \"a\"\ntype = \"act\"\ndoes = \"block\"\n").await;
    let worker = story.worker().await;
    story.board.blocked.acquire().await.unwrap().forget();
    let Change::Refused(reason) = story.ask(run, Action::Skip).await else { panic!("refused") };
    assert!(reason.contains("its step is running"), "{reason}");
    story.board.gate.add_permits(1);
    story.until(run, "completed").await;
    let sleeper = story.start(STEPS).await;
    story.until(sleeper, "sleeping").await;
    let Change::Refused(reason) = story.ask(sleeper, jump("x")).await else { panic!("refused") };
    assert_eq!(reason, "its version has no step `x`; it has: a, nap, c");
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_runs_are_moved_in_one_transaction_and_each_is_answered_for() {
    let story = Story::begin().await;
    let definition = story.define(STEPS).await;
    let mut ids = story.start_many(definition, 300).await;
    let worker = story.worker().await;
    story.until_count("select count(*) from engine.timers", 300).await;
    ids.insert(7, engine::clock::new_id());
    let mut tx = story.db.begin().await.unwrap();
    let definitions = story.definitions();
    let changes =
        run::act(&mut tx, &definitions, story.customer, &ids, &Action::Skip, "cli").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(changes[7], Change::NotFound);
    let changed = changes.iter().filter(|change| matches!(change, Change::Changed { .. })).count();
    assert_eq!(changed, 300);
    story.until_count("select count(*) from engine.runs where state = 'completed'", 300).await;
    worker.stop().await;
    story.end().await;
}
