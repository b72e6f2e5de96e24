//! Runs that people pause and resume while they wait: at which instant their next step acts.

use chrono::{DateTime, Utc};
use engine::clock;
use engine::explain;
use engine::run::{self, Action, NewRun, Priority};
use serde_json::{Value, json};
use uuid::Uuid;

use super::story::{Story, Working};

pub(super) const WINDOW: &str = "[timing.window]\ndays = [\"mon\", \"tue\", \"wed\", \"thu\", \"fri\"]\n\
                      from = \"09:00\"\nto = \"17:00\"\nholidays = [\"DE\"]\n";
pub(super) const ACT: &str = "[[steps]]\nid = \"act\"\ntype = \"act\"\n";
pub(super) const WINDOWED: &str = "[[steps]]\nid = \"act\"\ntype = \"act\"\nwindowed = true\n";

/// A wait, and a step that acts once it is over. Runs of stories are in Berlin.
fn wait(keys: &str) -> String {
    format!("[[steps]]\nid = \"wait\"\ntype = \"delay\"\n{keys}\n{ACT}")
}

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A story that begins on Monday, 8 March 2027, at 09:00 in Berlin.
pub(super) async fn monday() -> (Story, Working) {
    let story = Story::begin().await;
    story.sql("update engine.virtual_clock set virtual_at = '2027-03-08T08:00:00Z'").await;
    let worker = story.worker().await;
    (story, worker)
}

/// A run of these steps, once it sleeps.
async fn sleeping(story: &Story, steps: &str) -> Uuid {
    let run = story.start(steps).await;
    story.until(run, "sleeping").await;
    run
}

/// Moves the clock to an instant, and lets the workers look.
pub(super) async fn at(story: &Story, text: &str) {
    clock::jump(&story.db, instant(text)).await.unwrap();
    assert_eq!(clock::now(&story.db).await.unwrap(), instant(text), "the clock went back");
    story.sql("select pg_notify('engine', '')").await;
}

/// Pauses a run from one instant to another.
async fn pause(story: &Story, run: Uuid, from: &str, until: &str) {
    at(story, from).await;
    story.ask(run, Action::Pause).await;
    at(story, until).await;
    assert_eq!(story.run(run).await.state, "paused");
    story.ask(run, Action::Resume).await;
}

/// Waits until a run waits until this instant.
pub(super) async fn waits_until(story: &Story, run: Uuid, text: &str) {
    let wanted = instant(text);
    let mut look = tokio::time::interval(std::time::Duration::from_millis(5));
    for _ in 0..600 {
        look.tick().await;
        if story.run(run).await.next_at == Some(wanted) {
            return;
        }
    }
    panic!("not {text}: {:?}, {}", story.run(run).await, story.told(run).await);
}

/// The run waits until this instant, and its next step acts then, not before.
async fn acts_at(story: &Story, run: Uuid, text: &str) {
    waits_until(story, run, text).await;
    assert_eq!(acted(story), None);
    at(story, text).await;
    story.until(run, "completed").await;
    assert_eq!(acted(story), Some(instant(text)));
}

/// When the last step of type `act` acted.
fn acted(story: &Story) -> Option<DateTime<Utc>> {
    story.board.acted.lock().unwrap().last().copied()
}

/// What the history says of the last resume.
async fn resumed(story: &Story, run: Uuid) -> Value {
    let rows = story.history(run).await;
    let last = rows.into_iter().rfind(|row| row.kind == "run.resumed").unwrap();
    last.data.unwrap_or(Value::Null)
}

/// By which local time, and as which instant, an update of the tz database finds a run.
async fn meant(story: &Story, run: Uuid) -> [Value; 2] {
    let meant: Value = sqlx::query_scalar("select meant from engine.runs where id = $1")
        .bind(run)
        .fetch_one(&story.db)
        .await
        .unwrap();
    [meant["local"].clone(), meant["until"].clone()]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_until_a_weekday_ends_at_its_own_instant_however_long_it_was_paused() {
    let (story, worker) = monday().await;
    let run = sleeping(&story, &wait("until = \"next tuesday 10:00\"")).await;
    pause(&story, run, "2027-03-08T10:00:00Z", "2027-03-09T08:00:00Z").await;
    assert_eq!(resumed(&story, run).await, json!({ "until": "2027-03-09T09:00:00Z" }));
    acts_at(&story, run, "2027-03-09T09:00:00Z").await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_whose_instant_passed_during_a_pause_is_over_at_once_and_the_history_says_so() {
    let (story, worker) = monday().await;
    let run = sleeping(&story, &wait("until = \"next tuesday 10:00\"")).await;
    pause(&story, run, "2027-03-08T10:00:00Z", "2027-03-11T22:00:00Z").await;
    story.until(run, "completed").await;
    assert_eq!(acted(&story), Some(instant("2027-03-11T22:00:00Z")));
    let told = resumed(&story, run).await;
    assert_eq!(told, json!({ "until": "2027-03-09T09:00:00Z", "passed": true }));
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_wait_that_passed_during_a_pause_a_windowed_step_acts_inside_its_window() {
    let (story, worker) = monday().await;
    let steps = format!(
        "{WINDOW}[[steps]]\nid = \"wait\"\ntype = \"delay\"\nuntil = \"next tuesday 10:00\"\n{WINDOWED}"
    );
    let run = sleeping(&story, &steps).await;
    // Resumed on Friday night: the window opens on Monday.
    pause(&story, run, "2027-03-08T10:00:00Z", "2027-03-12T22:00:00Z").await;
    acts_at(&story, run, "2027-03-15T08:00:00Z").await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn business_days_that_a_pause_left_continue_as_business_days_around_a_holiday() {
    let (story, worker) = monday().await;
    at(&story, "2027-03-22T09:00:00Z").await;
    let steps = format!("{WINDOW}{}", wait("length = \"4 business days\""));
    let run = sleeping(&story, &steps).await;
    waits_until(&story, run, "2027-03-30T08:00:00Z").await;
    // On Tuesday Wednesday, Thursday and, after Easter, the 30th are left; from Saturday on these are the 30th, the
    // 31st and the 1st, by summer time.
    pause(&story, run, "2027-03-23T12:00:00Z", "2027-03-27T12:00:00Z").await;
    acts_at(&story, run, "2027-04-01T08:00:00Z").await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_that_a_pause_left_end_at_the_same_local_time_also_across_a_change_of_the_clock() {
    let (story, worker) = monday().await;
    at(&story, "2027-03-26T09:00:00Z").await;
    let run = sleeping(&story, &wait("length = \"1 day\"")).await;
    // The clock goes forward in the night to Sunday, the 28th.
    pause(&story, run, "2027-03-26T12:00:00Z", "2027-03-28T01:30:00Z").await;
    acts_at(&story, run, "2027-03-29T08:00:00Z").await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_length_of_time_keeps_its_rest_through_two_pauses() {
    let (story, worker) = monday().await;
    let run = sleeping(&story, &wait("length = \"5 hours\"")).await;
    pause(&story, run, "2027-03-08T10:00:00Z", "2027-03-09T08:30:00Z").await;
    waits_until(&story, run, "2027-03-09T11:30:00Z").await;
    pause(&story, run, "2027-03-09T11:00:00Z", "2027-03-12T20:00:00Z").await;
    acts_at(&story, run, "2027-03-12T20:30:00Z").await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_until_stays_where_it_is_through_two_pauses() {
    let (story, worker) = monday().await;
    let run = sleeping(&story, &wait("until = \"next friday 10:00\"")).await;
    pause(&story, run, "2027-03-08T10:00:00Z", "2027-03-09T08:30:00Z").await;
    pause(&story, run, "2027-03-10T10:00:00Z", "2027-03-11T20:00:00Z").await;
    acts_at(&story, run, "2027-03-12T09:00:00Z").await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_in_the_future_stays_where_it_is() {
    let (story, worker) = monday().await;
    let definition_id = story.define(ACT).await;
    let id = clock::new_id();
    let run = NewRun {
        id,
        customer_id: story.customer,
        definition_id,
        subject_id: id,
        zone: "Europe/Berlin".into(),
        actor: "cli".into(),
        start_at: Some(instant("2027-03-10T09:00:00Z")),
        limit_keys: json!({}),
        priority: Priority::Normal,
        parent: None,
    };
    let mut tx = story.db.begin().await.unwrap();
    run::start(&mut tx, &[run]).await.unwrap();
    tx.commit().await.unwrap();
    pause(&story, id, "2027-03-08T10:00:00Z", "2027-03-09T20:00:00Z").await;
    acts_at(&story, id, "2027-03-10T09:00:00Z").await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_waited_for_its_window_acts_in_the_window_in_which_it_is_resumed() {
    let (story, worker) = monday().await;
    at(&story, "2027-03-12T20:00:00Z").await;
    let run = sleeping(&story, &format!("{WINDOW}{WINDOWED}")).await;
    waits_until(&story, run, "2027-03-15T08:00:00Z").await;
    // What was left of the delay would end on Wednesday morning.
    pause(&story, run, "2027-03-13T12:00:00Z", "2027-03-15T12:00:00Z").await;
    story.until(run, "completed").await;
    assert_eq!(acted(&story), Some(instant("2027-03-15T12:00:00Z")));
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_waited_for_its_window_waits_for_the_next_one_when_it_is_resumed_outside() {
    let (story, worker) = monday().await;
    at(&story, "2027-03-12T20:00:00Z").await;
    let run = sleeping(&story, &format!("{WINDOW}{WINDOWED}")).await;
    waits_until(&story, run, "2027-03-15T08:00:00Z").await;
    pause(&story, run, "2027-03-13T12:00:00Z", "2027-03-15T18:00:00Z").await;
    let told = resumed(&story, run).await;
    assert_eq!(told, json!({ "until": "2027-03-16T08:00:00Z", "rule": "window" }));
    acts_at(&story, run, "2027-03-16T08:00:00Z").await;
    worker.stop().await;
    story.end().await;
}

const UNTIL_THE_DAY: &str = "until = \"thing.day - 14 days 09:00\"";

/// Writes the date of the things that runs are about.
fn set_day(story: &Story, day: Value) {
    *story.board.thing.lock().unwrap() = json!({ "name": "one", "day": day });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_until_a_date_goes_by_the_date_as_it_is_at_the_resume() {
    for (day, acts) in [
        ("2027-04-01", "2027-03-18T08:00:00Z"),
        ("2027-03-27", "2027-03-13T08:00:00Z"),
        ("2027-06-01", "2027-05-18T07:00:00Z"),
    ] {
        let (story, worker) = monday().await;
        set_day(&story, json!("2027-04-01"));
        let run = sleeping(&story, &wait(UNTIL_THE_DAY)).await;
        waits_until(&story, run, "2027-03-18T08:00:00Z").await;
        at(&story, "2027-03-08T10:00:00Z").await;
        story.ask(run, Action::Pause).await;
        set_day(&story, json!(day));
        at(&story, "2027-03-10T10:00:00Z").await;
        story.ask(run, Action::Resume).await;
        assert_eq!(resumed(&story, run).await, json!({ "field": "thing.day" }));
        acts_at(&story, run, acts).await;
        worker.stop().await;
        story.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_until_a_date_that_passed_or_went_missing_during_a_pause_is_over_or_held() {
    let (story, worker) = monday().await;
    set_day(&story, json!("2027-04-01"));
    let definition = story.define(&wait(UNTIL_THE_DAY)).await;
    let runs = story.start_many(definition, 2).await;
    for run in &runs {
        story.until(*run, "sleeping").await;
        story.ask(*run, Action::Pause).await;
    }
    at(&story, "2027-03-20T10:00:00Z").await;
    story.ask(runs[0], Action::Resume).await;
    story.until(runs[0], "completed").await;
    assert_eq!(acted(&story), Some(instant("2027-03-20T10:00:00Z")));
    let rows = story.history(runs[0]).await;
    let over = rows.into_iter().find(|row| row.kind == "step.done").unwrap().data.unwrap();
    assert_eq!((&over["until"], &over["passed"]), (&json!("2027-03-18T08:00:00Z"), &json!(true)));
    set_day(&story, Value::Null);
    story.ask(runs[1], Action::Resume).await;
    let held = story.until(runs[1], "held").await;
    assert_eq!(held.reason.as_deref(), Some("`thing.day` is empty"));
    set_day(&story, json!("2027-04-20"));
    story.ask(runs[1], Action::Retry).await;
    waits_until(&story, runs[1], "2027-04-06T07:00:00Z").await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_that_its_condition_let_in_stays_a_wait_through_a_pause() {
    let (story, worker) = monday().await;
    set_day(&story, json!("2027-04-01"));
    let steps = wait(&format!("{UNTIL_THE_DAY}\nwhen = \"thing.name == 'one'\""));
    let run = sleeping(&story, &steps).await;
    story.ask(run, Action::Pause).await;
    *story.board.thing.lock().unwrap() = json!({ "name": "two", "day": "2027-04-01" });
    at(&story, "2027-03-10T10:00:00Z").await;
    story.ask(run, Action::Resume).await;
    acts_at(&story, run, "2027-03-18T08:00:00Z").await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_for_a_signal_keeps_its_business_days_and_still_hears_the_signal() {
    let (story, worker) = monday().await;
    let steps = format!("{WINDOW}{}", wait("length = \"2 business days\"\nsignal = \"ping\""));
    let definition = story.define(&steps).await;
    let runs = story.start_many(definition, 2).await;
    for run in &runs {
        story.until(*run, "waiting").await;
    }
    // From Tuesday to Saturday: one day is left, which is Monday.
    at(&story, "2027-03-09T12:00:00Z").await;
    for run in &runs {
        story.ask(*run, Action::Pause).await;
    }
    at(&story, "2027-03-13T12:00:00Z").await;
    for run in &runs {
        story.ask(*run, Action::Resume).await;
        waits_until(&story, *run, "2027-03-15T08:00:00Z").await;
    }
    story.signal(runs[1], "ping", "1").await;
    story.until(runs[1], "completed").await;
    assert_eq!(story.run(runs[0]).await.state, "waiting");
    at(&story, "2027-03-15T08:00:00Z").await;
    story.until(runs[0], "completed").await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_failed_attempt_put_off_keeps_its_rest() {
    let (story, worker) = monday().await;
    let steps = "[retry]\nattempts = 5\nfirst = \"1h\"\nfactor = 1.0\nmax = \"1h\"\njitter = 0.0\n\
                 [[steps]]\nid = \"act\"\ntype = \"act\"\ndoes = \"fail_twice\"\n";
    let run = sleeping(&story, steps).await;
    pause(&story, run, "2027-03-08T08:20:00Z", "2027-03-10T12:00:00Z").await;
    waits_until(&story, run, "2027-03-10T12:40:00Z").await;
    assert_eq!(story.run(run).await.attempt, 1);
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_that_waits_for_its_window_is_not_put_off_by_a_pause() {
    let (story, worker) = monday().await;
    at(&story, "2027-03-12T15:30:00Z").await;
    let retry = "[retry]\nattempts = 5\nfirst = \"1h\"\nfactor = 1.0\nmax = \"1h\"\njitter = 0.0\n";
    let steps = format!("{WINDOW}{retry}{}does = \"fail_twice\"\n", WINDOWED);
    let run = sleeping(&story, &steps).await;
    at(&story, "2027-03-12T16:30:00Z").await;
    waits_until(&story, run, "2027-03-15T08:00:00Z").await;
    pause(&story, run, "2027-03-13T12:00:00Z", "2027-03-14T12:00:00Z").await;
    waits_until(&story, run, "2027-03-15T08:00:00Z").await;
    assert_eq!(story.run(run).await.attempt, 1);
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_stops_to_wait_after_its_run_was_paused_waits_by_the_same_rules() {
    for (keys, resumed_at, acts) in [
        ("until = \"next tuesday 10:00\"", "2027-03-08T20:00:00Z", "2027-03-09T09:00:00Z"),
        ("length = \"2 days\"", "2027-03-10T20:00:00Z", "2027-03-12T08:00:00Z"),
        ("length = \"5 hours\"", "2027-03-10T20:00:00Z", "2027-03-11T01:00:00Z"),
    ] {
        let (story, worker) = monday().await;
        let run = story.start(&wait(&format!("{keys}\ndoes = \"block\""))).await;
        story.board.blocked.acquire().await.unwrap().forget();
        story.ask(run, Action::Pause).await;
        story.board.gate.add_permits(1);
        story
            .until_count("select count(*) from engine.history where kind = 'step.waiting'", 1)
            .await;
        assert_eq!(story.told(run).await, "started paused waiting:wait");
        at(&story, resumed_at).await;
        story.ask(run, Action::Resume).await;
        acts_at(&story, run, acts).await;
        worker.stop().await;
        story.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_that_another_tz_database_resolved_ends_by_the_rules_of_its_resume() {
    let (story, worker) = monday().await;
    let definition = story.define(&wait("until = \"next tuesday 10:00\"")).await;
    let run = story.start_many(definition, 1).await[0];
    story.until(run, "sleeping").await;
    story.ask(run, Action::Pause).await;
    // As a version leaves it by which Berlin was an hour further west.
    story
        .sql(
            "update engine.runs set remaining = remaining + interval '1 hour',
               data = jsonb_set(data, '{waiting,until}', '\"2027-03-09T10:00:00Z\"'),
               meant = meant || '{\"tz\": \"2025b\", \"until\": \"2027-03-09T10:00:00Z\"}'",
        )
        .await;
    at(&story, "2027-03-09T08:00:00Z").await;
    story.ask(run, Action::Resume).await;
    assert_eq!(meant(&story, run).await, ["2027-03-09T10:00:00", "2027-03-09T09:00:00Z"]);
    acts_at(&story, run, "2027-03-09T09:00:00Z").await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_that_an_older_version_moved_is_put_right_by_the_next_pause() {
    let (story, worker) = monday().await;
    let run = sleeping(&story, &wait("until = \"next friday 10:00\"")).await;
    // That version put the timer off for as long as the pause was, and said nothing more of it.
    story
        .sql(
            "with moved as (update engine.runs set next_at = next_at + interval '22 hours')
             update engine.timers set due_at = due_at + interval '22 hours'",
        )
        .await;
    pause(&story, run, "2027-03-09T10:00:00Z", "2027-03-10T08:00:00Z").await;
    acts_at(&story, run, "2027-03-12T09:00:00Z").await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_counts_business_days_anew_with_what_a_pause_added() {
    let steps =
        |days: u32| format!("{WINDOW}{}", wait(&format!("length = \"{days} business days\"")));
    let (story, worker) = monday().await;
    let definition = story.define(&steps(3)).await;
    let run = story.start_many(definition, 1).await[0];
    story.until(run, "sleeping").await;
    // Tuesday to Wednesday: Friday instead of Thursday.
    pause(&story, run, "2027-03-09T12:00:00Z", "2027-03-10T12:00:00Z").await;
    waits_until(&story, run, "2027-03-12T08:00:00Z").await;
    story.apply(&steps(4)).await;
    waits_until(&story, run, "2027-03-15T08:00:00Z").await;
    story.ask(run, Action::Pause).await;
    story.apply(&steps(5)).await;
    at(&story, "2027-03-11T12:00:00Z").await;
    story.ask(run, Action::Resume).await;
    acts_at(&story, run, "2027-03-17T08:00:00Z").await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_to_an_until_leaves_out_what_a_pause_added() {
    let (story, worker) = monday().await;
    let definition = story.define(&wait("length = \"30 hours\"")).await;
    let run = story.start_many(definition, 1).await[0];
    story.until(run, "sleeping").await;
    pause(&story, run, "2027-03-08T12:00:00Z", "2027-03-09T12:00:00Z").await;
    waits_until(&story, run, "2027-03-10T14:00:00Z").await;
    story.apply(&wait("until = \"next friday 10:00\"")).await;
    assert_eq!(meant(&story, run).await, ["2027-03-12T10:00:00", "2027-03-12T09:00:00Z"]);
    acts_at(&story, run, "2027-03-12T09:00:00Z").await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_run_has_no_next_instant_and_tells_when_it_would_continue() {
    let (story, worker) = monday().await;
    let run = sleeping(&story, &wait("until = \"next tuesday 10:00\"")).await;
    at(&story, "2027-03-08T10:00:00Z").await;
    story.ask(run, Action::Pause).await;
    let explained = async || {
        let row = story.run(run).await;
        explain::explain(&story.db, &story.definitions(), &row).await.unwrap()
    };
    let before = explained().await;
    assert_eq!(before.next_eligible_at, None);
    assert_eq!(
        before.would_change[0],
        "resume: it continues 2027-03-09 10:00 +01:00 Europe/Berlin"
    );
    at(&story, "2027-03-10T10:00:00Z").await;
    assert_eq!(
        explained().await.would_change[0],
        "resume: it continues at once, as 2027-03-09 10:00 +01:00 Europe/Berlin has passed"
    );
    worker.stop().await;
    story.end().await;
}
