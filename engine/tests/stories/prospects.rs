//! What a paused run says that it will do once it is resumed, and that it then does it.

use engine::explain;
use engine::run::Action;
use serde_json::json;
use uuid::Uuid;

use super::paused::{ACT, WINDOW, WINDOWED, at, monday, waits_until};
use super::story::Story;

const NAP: &str = "[[steps]]\nid = \"nap\"\ntype = \"sleep\"\nminutes = 60\n";

/// A step `wait` with these keys.
fn wait(kind: &str, keys: &str) -> String {
    format!("[[steps]]\nid = \"wait\"\ntype = \"{kind}\"\n{keys}\n")
}

/// A run of these steps that was paused at the first, and then moved on.
async fn moved(story: &Story, steps: &str, action: Action) -> Uuid {
    let run = story.start(steps).await;
    story.until(run, "sleeping").await;
    story.ask(run, Action::Pause).await;
    story.ask(run, action).await;
    assert_eq!(story.run(run).await.state, "paused");
    run
}

/// What a run says of being resumed.
async fn resume(story: &Story, run: Uuid) -> String {
    let row = story.run(run).await;
    let explained = explain::explain(&story.db, &story.definitions(), &row).await.unwrap();
    explained.would_change[0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_run_that_was_moved_to_a_wait_says_until_when_it_will_wait_and_does() {
    for (keys, until, says) in [
        (
            "length = \"3 hours\"",
            "2027-03-08T11:00:00Z",
            "waits until 2027-03-08 12:00 +01:00 Europe/Berlin",
        ),
        (
            "length = \"2 business days\"",
            "2027-03-10T08:00:00Z",
            "waits until 2027-03-10 09:00 +01:00 Europe/Berlin",
        ),
        (
            "until = \"next tuesday 10:00\"",
            "2027-03-09T09:00:00Z",
            "waits until 2027-03-09 10:00 +01:00 Europe/Berlin",
        ),
        (
            "length = \"3 hours\"\nsignal = \"ping\"",
            "2027-03-08T11:00:00Z",
            "waits for ping until 2027-03-08 12:00 +01:00 Europe/Berlin",
        ),
        (
            "until = \"thing.day - 14 days 09:00\"",
            "2027-03-18T08:00:00Z",
            "waits until the date that `thing.day` then holds",
        ),
        (
            "length = \"3 hours\"\nwhen = \"thing.name == 'one'\"",
            "2027-03-08T11:00:00Z",
            "waits until 2027-03-08 12:00 +01:00 Europe/Berlin if its condition holds",
        ),
    ] {
        for action in [Action::Skip, Action::Jump { step: "wait".into() }] {
            let (story, worker) = monday().await;
            *story.board.thing.lock().unwrap() = json!({ "name": "one", "day": "2027-04-01" });
            let steps = format!("{NAP}{}{ACT}", wait("delay", keys));
            let run = moved(&story, &steps, action).await;
            let said = resume(&story, run).await;
            assert_eq!(said, format!("resume: it enters step `wait`, which {says}"));
            story.ask(run, Action::Resume).await;
            waits_until(&story, run, until).await;
            worker.stop().await;
            story.end().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_run_that_waits_for_a_signal_says_so_until_the_signal_has_come() {
    let (story, worker) = monday().await;
    let steps = format!("{NAP}{}{ACT}", wait("listen", "signal = \"ping\""));
    let run = moved(&story, &steps, Action::Jump { step: "wait".into() }).await;
    let said = resume(&story, run).await;
    assert_eq!(said, "resume: it enters step `wait`, which waits for ping");
    story.ask(run, Action::Resume).await;
    story.until(run, "waiting").await;
    story.ask(run, Action::Pause).await;
    assert_eq!(resume(&story, run).await, "resume: it waits for ping");
    assert!(story.signal(run, "ping", "one").await);
    assert_eq!(resume(&story, run).await, "resume: it continues at once");
    story.ask(run, Action::Resume).await;
    story.until(run, "completed").await;
    worker.stop().await;
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_run_that_was_moved_to_a_windowed_step_says_when_its_window_opens() {
    let (story, worker) = monday().await;
    let steps = format!("{WINDOW}{NAP}{WINDOWED}");
    let run = moved(&story, &steps, Action::Skip).await;
    assert_eq!(resume(&story, run).await, "resume: it continues at once");
    at(&story, "2027-03-08T20:00:00Z").await;
    let said = resume(&story, run).await;
    assert_eq!(said, "resume: it continues 2027-03-09 09:00 +01:00 Europe/Berlin");
    story.ask(run, Action::Resume).await;
    waits_until(&story, run, "2027-03-09T08:00:00Z").await;
    worker.stop().await;
    story.end().await;
}
