//! What sales operations see of a sequence before anybody is enrolled: its scenarios, and a look ahead.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::salesos::{Dev, Folder, until};

const SOON: Duration = Duration::from_secs(30);

/// Two mails with a wait between them, and a scenario that expects the second when it says.
fn workflow(second_at: &str) -> String {
    format!(
        r#"
name = "short"
subject = "contact"
[timing.window]
from = "09:00"
to = "17:00"
[exit]
on = ["email.replied"]
[[steps]]
id = "intro"
type = "email.send"
template = "t"
[[steps]]
id = "settle"
type = "wait"
for = "2 business days"
[[steps]]
id = "bump"
type = "email.send"
template = "t"
[templates.t]
subject = "Hello"
text = "Hello"
[[scenario]]
name = "nobody answers"
start = "2026-03-06 18:00"
zone = "Europe/Vienna"
[[scenario.then]]
step = "bump"
at = "{second_at}"
"#
    )
}

#[tokio::test]
async fn scenarios_pass_or_say_what_came_instead() {
    let folder = Folder::bare();
    let file = folder.root().join("short.toml");
    fs::write(&file, workflow("2026-03-11 09:00")).unwrap();
    let test = ["workflows", "test", "short.toml"];
    let told = folder.run(&test).await.done();
    assert!(told.ends_with("  passed  nobody answers\n1 passed, 0 failed\n"), "{told}");

    fs::write(&file, workflow("2026-03-10 09:00")).unwrap();
    let said = folder.run(&test).await;
    assert_eq!(said.code, 1, "{said:?}");
    let words = "`bump` was to be done at 2026-03-10 09:00 +01:00 Europe/Vienna, \
                 and did at 2026-03-11 09:00 +01:00 Europe/Vienna";
    for part in [words, "FAILED  nobody answers", "settle", "0 passed, 1 failed"] {
        assert!(said.out.contains(part), "{said:?}");
    }

    fs::write(&file, workflow("next moon")).unwrap();
    let said = folder.run(&test).await;
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("2026-03-04 10:00"), "{said:?}");
}

#[tokio::test]
async fn what_ships_passes_its_scenarios() {
    let folder = Folder::bare();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("workflows");
    let files = fs::read_dir(shipped).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
    let files: Vec<String> = files.map(|path| path.display().to_string()).collect();
    let args: Vec<&str> = ["workflows", "test", "--json"]
        .into_iter()
        .chain(files.iter().map(String::as_str))
        .collect();
    let rows = folder.run(&args).await.json();
    for file in &files {
        let of = rows.as_array().unwrap().iter().filter(|row| row["file"] == *file);
        assert!(of.count() > 0, "{file} has no scenario");
    }
}

#[tokio::test]
async fn a_look_ahead_counts_mails_by_day_within_the_caps_of_the_mailboxes() {
    let folder = Folder::bare();
    fs::write(folder.root().join("short.toml"), workflow("2026-03-11 09:00")).unwrap();
    let ahead = |more: &[&str]| {
        let args = [
            "workflows",
            "simulate",
            "short.toml",
            "--people",
            "1000",
            "--start",
            "2026-03-02 09:00",
        ];
        [&args[..], more].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let free = folder.run(&ahead(&["--json"])).await.json();
    assert_eq!(mails(&free), [("2026-03-02", 1_000), ("2026-03-04", 1_000)]);
    assert_eq!(free["ends"][0]["runs"], 1_000);

    let svg = folder.root().join("chart.svg");
    let capped = [
        "--json",
        "--mailboxes",
        "2",
        "--daily-cap",
        "200",
        "--replied",
        "5%",
        "--svg",
        "chart.svg",
    ];
    let capped = folder.run(&ahead(&capped)).await.json();
    let days = mails(&capped);
    assert!(days.iter().all(|(_, mails)| *mails <= 400), "{days:?}");
    assert!(days.len() >= 5, "{days:?}");
    for day in capped["days"].as_array().unwrap() {
        assert!(day["by"].as_object().unwrap().values().all(|n| n.as_u64() <= Some(200)), "{day}");
    }
    let replied = capped["ends"].as_array().unwrap().iter().find(|end| end["state"] == "exited");
    let replied = replied.unwrap()["runs"].as_u64().unwrap();
    assert!(
        (20..=90).contains(&replied),
        "{replied} of 1000 answered the first of two mails at 5 %"
    );
    let drawn = fs::read_to_string(svg).unwrap();
    assert!(drawn.starts_with("<svg") && drawn.contains("2026-03-02"), "{drawn}");

    let trace = folder.run(&ahead(&["--trace", "1"])).await.done();
    assert!(trace.contains("      1  2026-03-02 09:00 +00:00 UTC  intro"), "{trace}");
    let said = folder.run(&ahead(&["--replied", "300%"])).await;
    assert!(said.err.contains("as in `3%`"), "{said:?}");
}

/// Mails by day.
fn mails(forecast: &Value) -> Vec<(&str, u64)> {
    let count =
        |day: &Value| day["steps"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    let days = forecast["days"].as_array().unwrap();
    days.iter().map(|day| (day["date"].as_str().unwrap(), count(day))).collect()
}

const NAP: &str = "name = \"nap\"\ntitle = \"Nap\"\nsubject = \"contact\"\n\
    [[steps]]\nid = \"rest\"\ntype = \"wait\"\nfor = \"3 days\"\n\
    [[steps]]\nid = \"note\"\ntype = \"activity.log\"\ntitle = \"Awake\"\n";

#[tokio::test]
async fn a_wait_that_an_update_of_the_tz_database_moved_is_listed() {
    let folder = Folder::new().await;
    let dev = Dev::start(&folder, &[]).await;
    folder.run(&["seed"]).await.done();
    let file = folder.write("nap.toml", NAP);
    folder.run(&["workflows", "apply", file.to_str().unwrap()]).await.done();
    folder.write("one.csv", "Email,Time Zone\nada@lead.example,Europe/Vienna\n");
    folder.run(&["enroll", "one.csv", "--sequence", "nap"]).await.done();
    let asleep = "select count(*) from engine.run_states where state = 'sleeping'";
    until("the wait", SOON, || async { (dev.count(asleep).await == 1).then_some(()) }).await;
    assert_eq!(folder.run(&["runs", "replanned"]).await.code, 3, "nothing has moved yet");
    // As if an older database had taken Vienna to lie an hour further west.
    let older = "update engine.runs set meant = meant || jsonb_build_object('tz', '2025b', 'local',
        to_char((meant ->> 'local')::timestamp - interval '1 hour', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')) where meant is not null";
    sqlx::query(older).execute(&dev.db).await.unwrap();
    sqlx::query("delete from engine.tz_versions").execute(&dev.db).await.unwrap();
    dev.interrupt().await;
    let dev = Dev::start(&folder, &[]).await;
    let moved = until("the wait to move", SOON, || async {
        let said = folder.run(&["runs", "replanned", "--json"]).await;
        (said.code == 0).then(|| said.json())
    })
    .await;
    assert_eq!((&moved[0]["step"], &moved[0]["zone"]), (&"rest".into(), &"Europe/Vienna".into()));
    assert_eq!(moved[0]["tz_from"], "2025b");
    let instant = |field: &str| {
        moved[0][field].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap()
    };
    assert_eq!(instant("due_from") - instant("due_to"), chrono::TimeDelta::hours(1));
    let listed = folder.run(&["runs", "replanned"]).await.done();
    assert!(listed.contains("2025b to ") && listed.contains("Europe/Vienna"), "{listed}");
    dev.interrupt().await;
}
