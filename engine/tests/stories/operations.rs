//! Bulk commands: what a filter matches, page by page, with pace and stop.

use engine::operation::{self, NewOperation, Operation, Selection, Wish};
use engine::run::{self, Action};
use serde_json::json;
use uuid::Uuid;

use super::story::Story;

const NAP: &str = "[[steps]]\nid = \"nap\"\ntype = \"sleep\"\nminutes = 60\n";
const EAR: &str = "[[steps]]\nid = \"ear\"\ntype = \"listen\"\nsignal = \"ping\"\n";

async fn order(story: &Story, wish: Wish, selection: Selection, per_second: Option<f32>) -> Uuid {
    let total = operation::preview(&story.db, &selection, &wish).await.unwrap().matched;
    let (actor, reason) = ("user:test".into(), Some("as the test wants".into()));
    let new = NewOperation { wish, selection, actor, reason, per_second, reach: None, total };
    let mut tx = story.db.begin().await.unwrap();
    let id = operation::order(&mut tx, &new).await.unwrap();
    tx.commit().await.unwrap();
    id
}

fn of(story: &Story) -> Selection {
    Selection { customer_id: Some(story.customer), ..Selection::default() }
}

async fn find(story: &Story, id: Uuid) -> Operation {
    operation::find(&story.db, Some(story.customer), id).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_a_filter_matches_is_done_once_and_what_came_later_is_left() {
    let story = Story::begin().await;
    let nap = story.define_as("nap", NAP).await;
    let other = story.define_as("other", NAP).await;
    story.start_many(nap, 1_200).await;
    let left = story.start_many(other, 3).await;
    let worker = story.worker().await;
    story.until_count("select count(*) from engine.timers", 1_203).await;
    let selection = Selection { workflow: Some("nap".into()), ..of(&story) };
    let pause = Wish::Act(Action::Pause);
    let preview = operation::preview(&story.db, &selection, &pause).await.unwrap();
    assert_eq!((preview.matched, preview.more, preview.sample.len()), (1_200, false, 5));
    let id = order(&story, pause, selection, None).await;
    story.until_count("select count(*) from engine.operations where state = 'done'", 1).await;
    let done = find(&story, id).await;
    assert_eq!((done.total, done.done, done.changed, done.skipped), (1_200, 1_200, 1_200, 0));
    story.until_count("select count(*) from engine.runs where state = 'paused'", 1_200).await;
    let actors = "select count(*) from engine.history where kind = 'run.paused' and actor like 'user:test by op_%'";
    story.until_count(actors, 1_200).await;
    assert_eq!(story.run(left[0]).await.state, "sleeping");
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_resumes_each_run_by_what_it_waits_for() {
    let story = Story::begin().await;
    story.sql("update engine.virtual_clock set virtual_at = '2027-03-08T08:00:00Z'").await;
    let wait = |keys| format!("[[steps]]\nid = \"wait\"\ntype = \"delay\"\n{keys}\n");
    for (name, keys) in [
        ("weekday", "until = \"next tuesday 10:00\""),
        ("length", "length = \"25 hours\""),
        ("field", "until = \"thing.day 10:00\""),
    ] {
        *story.board.thing.lock().unwrap() = json!({ "name": "one", "day": "2027-03-09" });
        let definition = story.define_as(name, &wait(keys)).await;
        story.start_many(definition, 300).await;
    }
    let worker = story.worker().await;
    // All at 10:00 in Berlin on Tuesday.
    let due = "select count(*) from engine.timers where due_at = '2027-03-09T09:00:00Z'";
    story.until_count(due, 900).await;
    order(&story, Wish::Act(Action::Pause), of(&story), None).await;
    story.until_count("select count(*) from engine.runs where state = 'paused'", 900).await;
    story.pass(22.0 * 60.0).await;
    *story.board.thing.lock().unwrap() = json!({ "name": "one", "day": "2027-03-10" });
    order(&story, Wish::Act(Action::Resume), of(&story), None).await;
    story.until_count(due, 300).await;
    for (name, due) in [
        ("weekday", "2027-03-09T09:00:00Z"),
        ("length", "2027-03-10T07:00:00Z"),
        ("field", "2027-03-10T09:00:00Z"),
    ] {
        let count = format!(
            "select count(*) from engine.timers t join engine.runs r on r.id = t.run_id
             join engine.definitions d on d.id = r.definition_id
             where d.name = '{name}' and t.due_at = '{due}' and r.next_at = t.due_at"
        );
        story.until_count(&count, 300).await;
    }
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paced_operation_takes_its_time_and_can_be_stopped() {
    let story = Story::begin().await;
    let nap = story.define(NAP).await;
    story.start_many(nap, 1_100).await;
    let worker = story.worker().await;
    story.until_count("select count(*) from engine.timers", 1_100).await;
    // One every ten seconds: a page holds no more than its pace allows.
    let id = order(&story, Wish::Act(Action::Cancel), of(&story), Some(0.1)).await;
    story.until_count("select done from engine.operations", 1).await;
    assert!(operation::stop(&story.db, Some(story.customer), id).await.unwrap());
    assert!(!operation::stop(&story.db, Some(story.customer), id).await.unwrap());
    assert_eq!(find(&story, id).await.status, "stopped");
    story.until_count("select count(*) from engine.runs where ended_at is null", 1_099).await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_runs_are_retried_by_their_reason_and_signals_go_to_each_run() {
    let story = Story::begin().await;
    let refused = story.start("[[steps]]\nid = \"a\"\ntype = \"act\"\ndoes = \"refuse\"\n").await;
    let worker = story.worker().await;
    story.until(refused, "held").await;
    let selection = |reason: &str| Selection {
        state: Some("held".into()),
        reason: Some(run::reason_glob(reason).unwrap()),
        ..of(&story)
    };
    let matched = |reason: &'static str| {
        let (selection, db) = (selection(reason), story.db.clone());
        let retry = Wish::Act(Action::Retry);
        async move { operation::preview(&db, &selection, &retry).await.unwrap().matched }
    };
    let counts = (matched("nev*").await, matched("ev").await, matched("ev*").await);
    assert_eq!(counts, (1, 1, 0));
    order(&story, Wish::Act(Action::Retry), selection("nev*"), None).await;
    story.until_count("select count(*) from engine.history where kind = 'run.retried'", 1).await;
    let ear = story.define_as("ear", EAR).await;
    story.start_many(ear, 5).await;
    story.until_count("select count(*) from engine.runs where place = 'signal'", 5).await;
    let signal = Wish::Signal { name: "ping".into(), data: json!({}) };
    let selection = Selection { workflow: Some("ear".into()), ..of(&story) };
    order(&story, signal, selection, None).await;
    story.until_count("select count(*) from engine.runs where state = 'completed'", 5).await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_for_somebody_changes_nothing_where_nobody_knows_whom_they_reach() {
    let story = Story::begin().await;
    let nap = story.define(NAP).await;
    story.start_many(nap, 3).await;
    let worker = story.worker().await;
    story.until_count("select count(*) from engine.timers", 3).await;
    let new = NewOperation {
        wish: Wish::Act(Action::Cancel),
        selection: of(&story),
        actor: "user:test".into(),
        reason: None,
        per_second: None,
        reach: Some(json!({ "user_id": null })),
        total: 3,
    };
    let mut tx = story.db.begin().await.unwrap();
    let id = operation::order(&mut tx, &new).await.unwrap();
    tx.commit().await.unwrap();
    story.until_count("select count(*) from engine.operations where state = 'failed'", 1).await;
    assert!(find(&story, id).await.error.unwrap().contains("nobody here knows"));
    story.until_count("select count(*) from engine.runs where ended_at is null", 3).await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_binary_that_knows_no_reach_sees_no_operation_of_it_due() {
    let story = Story::begin().await;
    let new = NewOperation {
        wish: Wish::Act(Action::Cancel),
        selection: of(&story),
        actor: "user:test".into(),
        reason: None,
        per_second: None,
        reach: Some(json!({})),
        total: 0,
    };
    let mut tx = story.db.begin().await.unwrap();
    operation::order(&mut tx, &new).await.unwrap();
    tx.commit().await.unwrap();
    let due = "select count(*) from engine.operations where ended_at is null
      and coalesce(migrates_at, next_at) <= clock_timestamp()";
    story.until_count(due, 0).await;
    story.end().await;
}
