//! `salesos dev --demo`: three weeks of fifty contacts in about a minute, watched and moved from another
//! terminal.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::salesos::{Dev, Folder, until};

const STARTS_WITHIN: Duration = Duration::from_secs(60);
const ENDS_WITHIN: Duration = Duration::from_secs(180);

async fn rows(folder: &Folder, args: &[&str]) -> Vec<Value> {
    let args = [args, &["--json"]].concat();
    folder.run(&args).await.json().as_array().unwrap().clone()
}

async fn state(folder: &Folder, run: &str) -> String {
    let shown: Value =
        serde_json::from_str(&folder.run(&["runs", "show", run]).await.done()).unwrap();
    shown["state"].as_str().unwrap().to_owned()
}

async fn told(folder: &Folder, run: &str) -> Vec<(String, String)> {
    let rows = rows(folder, &["runs", "history", run]).await;
    let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
    rows.iter().map(|row| (text(row, "kind"), text(row, "actor"))).collect()
}

/// Whether the run's contact does no more than look at its first mail, by what lies ready to come in.
fn is_quiet(folder: &Folder, run: &str) -> bool {
    let names = ["new", "cur"].into_iter().flat_map(|state| {
        let there = fs::read_dir(folder.data().join("inbound").join(state));
        there.into_iter().flatten().map(|file| file.unwrap().file_name().into_string().unwrap())
    });
    let mut answers = names.filter(|name| name.contains(run));
    answers.all(|name| name.contains("-opened-") || name.contains("-clicked-"))
}

/// Runs that rest for days after their first mail, and whose contacts don't answer it.
async fn resting(folder: &Folder, dev: &Dev) -> Vec<String> {
    let settled =
        "select count(*) from engine.run_states where step = 'settle' and state = 'sleeping'";
    until("runs to rest", STARTS_WITHIN, || async {
        (dev.count(settled).await >= 20).then_some(())
    })
    .await;
    let listed = rows(folder, &["runs", "list", "--step", "settle", "--state", "sleeping"]).await;
    let runs = listed.iter().map(|run| run["id"].as_str().unwrap().to_owned());
    runs.filter(|run| is_quiet(folder, run)).collect()
}

/// Moves runs as a person does, each by a process of its own.
async fn moved_by_hand(folder: &Folder, dev: &Dev) {
    let runs = resting(folder, dev).await;
    let [paused, cancelled, answered] = [&runs[0], &runs[1], &runs[2]];
    folder.run(&["runs", "pause", paused]).await.done();
    assert_eq!(state(folder, paused).await, "paused");
    folder.run(&["runs", "cancel", cancelled]).await.done();
    assert_eq!(state(folder, cancelled).await, "cancelled");
    folder.run(&["runs", "signal", answered, "email.replied"]).await.done();
    until("the answer to end its run", STARTS_WITHIN, || async {
        (state(folder, answered).await == "exited").then_some(())
    })
    .await;
    let end = told(folder, answered).await.pop().unwrap();
    assert_eq!(end, ("run.exited".into(), "signal:email.replied".into()));
    let again = folder.run(&["runs", "signal", answered, "email.replied"]).await;
    assert_eq!((again.code, again.out.contains("it is exited")), (3, true), "{again:?}");
    // Days have passed for the others.
    assert_eq!(state(folder, paused).await, "paused");
    folder.run(&["runs", "resume", paused]).await.done();
    let kinds = told(folder, paused).await;
    let of_hand: Vec<&str> =
        kinds.iter().filter(|(_, actor)| actor == "cli").map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(of_hand, ["run.started", "run.paused", "run.resumed"]);
}

/// What can be read of runs while they are under way.
async fn looked_at(folder: &Folder) {
    let jobs = rows(folder, &["jobs", "list", "--limit", "5"]).await;
    assert_eq!(jobs.len(), 5);
    let sleeping = rows(folder, &["runs", "list", "--state", "sleeping"]).await;
    let run = sleeping[0]["id"].as_str().unwrap();
    let explained: Value =
        serde_json::from_str(&folder.run(&["runs", "explain", run]).await.done()).unwrap();
    for field in ["state", "step", "next_eligible_at", "rules", "would_change"] {
        assert!(explained.get(field).is_some(), "{explained} lacks {field}");
    }
    assert!(explained.to_string().contains("email.replied"), "{explained}");
    // A run may be named as the enrollment that it is, and a table is for people.
    let enrollment = run.replacen("run_", "enr_", 1);
    let table = folder.run(&["runs", "history", &enrollment]).await.done();
    assert!(table.contains("run.started") && table.contains("actor"), "{table}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_runs_fifty_contacts_to_many_ends_and_stays_up() {
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &["--demo"]).await;
    dev.says("login demo@salesos.example password ", STARTS_WITHIN).await;
    moved_by_hand(&folder, &dev).await;
    looked_at(&folder).await;
    dev.says("All 50 contacts have come to the end of `outbound-intro`", ENDS_WITHIN).await;

    let runs = rows(&folder, &["runs", "list", "--limit", "100"]).await;
    assert_eq!(runs.len(), 50);
    let ends: BTreeSet<&str> = runs.iter().filter_map(|run| run["reason"].as_str()).collect();
    for end in ["email.replied", "email.bounced.hard", "cancelled", "no answer after four mails"] {
        assert!(ends.contains(end), "{ends:?} lacks {end}");
    }
    let summary = dev.says("  ended     ", STARTS_WITHIN).await;
    assert!(summary.contains("email.replied") && summary.contains("no answer"), "{summary}");
    let mails = dev.says("  mails     ", STARTS_WITHIN).await;
    let mailbox = folder.data().join("mail/dana@demo-sales.example");
    let files = fs::read_dir(&mailbox).unwrap().count();
    let sent = "select count(*) from emails where sent_at is not null";
    assert_eq!(i64::try_from(files).unwrap(), dev.count(sent).await, "{mails}");

    dev.says("The clock now runs like yours. Ctrl-C ends everything.", STARTS_WITHIN).await;
    let slow = "select count(*) from engine.virtual_clock where scale = 1";
    until("the clock to run like ours", STARTS_WITHIN, || async {
        (dev.count(slow).await == 1).then_some(())
    })
    .await;
    dev.api().await.get("/readyz").await.with(200);
    assert_eq!(dev.errors(), Vec::<String>::new());
    assert!(dev.interrupt().await.success());
}
