//! Schedules by the command line: added, previewed, fired by a running `dev`, paused and removed; and fired once
//! each by a `dev` that is killed again and again.

use std::time::Duration;

use crate::salesos::{Dev, Folder, until};

const SOON: Duration = Duration::from_secs(30);

const REVIEW: &str = "name = \"review\"\ntitle = \"Review\"\nsubject = \"contact\"\n\
    [[steps]]\nid = \"note\"\ntype = \"activity.log\"\ntitle = \"Look at {{ contact.email }}\"\n";

#[tokio::test]
async fn a_schedule_starts_runs_about_a_contact_as_the_clock_passes() {
    let folder = Folder::new().await;
    let dev = Dev::start(&folder, &["--time-scale", "3600"]).await;
    folder.run(&["seed"]).await.done();
    let file = folder.write("review.toml", REVIEW);
    folder.run(&["workflows", "apply", file.to_str().unwrap()]).await.done();
    let contact: uuid::Uuid =
        sqlx::query_scalar("select id from contacts limit 1").fetch_one(&dev.db).await.unwrap();
    let contact = shown("con", contact);

    let add = ["schedules", "add", "hourly", "--cron", "0 * * * *", "--zone", "Europe/Vienna"];
    let wrong = [&add[..4], &["0 25 * * *"]].concat();
    let said = folder.run(&wrong).await.refused(1);
    assert_eq!(
        said,
        "--cron '0 25 * * *': `25` is no hour; write 0 to 23, where 0 is midnight (column 3)"
    );
    let start = ["--workflow", "review", "--contact", &contact, "--overlap", "allow", "--json"];
    let added = folder.run(&[&add[..], &start].concat()).await.json();
    assert_eq!(
        (&added["workflow"], &added["contact"]),
        (&"review".into(), &contact.as_str().into())
    );
    let said = folder.run(&add).await.refused(1);
    assert!(said.contains("there is a schedule `hourly` already"), "{said}");

    let fired = "select count(*) from engine.schedule_fires where outcome = 'started'";
    until("three fires", SOON, || async { (dev.count(fired).await >= 3).then_some(()) }).await;
    let paused = folder.run(&["schedules", "pause", "hourly"]).await.done();
    assert_eq!(paused, "hourly: paused\n");
    assert_eq!(folder.run(&["schedules", "pause", "hourly"]).await.code, 3);
    let count = dev.count(fired).await;
    let done = "select count(*) from engine.runs where state = 'completed'";
    until("its runs to end", SOON, || async { (dev.count(done).await == count).then_some(()) })
        .await;
    let fires = folder.run(&["schedules", "fires", "hourly", "--json"]).await.json();
    let fires = fires.as_array().unwrap();
    let started: Vec<&str> = fires.iter().filter_map(|fire| fire["run"].as_str()).collect();
    assert_eq!(i64::try_from(started.len()).unwrap(), count, "{fires:?}");
    let history = folder.run(&["runs", "history", started[0], "--json"]).await.json();
    let actor = history[0]["actor"].as_str().unwrap();
    assert_eq!(actor, format!("schedule:{}", added["id"].as_str().unwrap()));

    let listed = folder.run(&["schedules", "list"]).await.done();
    assert!(listed.contains("hourly") && listed.contains("paused"), "{listed}");
    let unknown = folder.run(&["schedules", "show", "hurly"]).await.refused(3);
    assert_eq!(unknown, "there is no schedule `hurly`; did you mean `hourly`?");
    let resumed = folder.run(&["schedules", "resume", "hourly"]).await.done();
    assert!(
        resumed.starts_with("hourly: fires next ") && resumed.ends_with("Europe/Vienna\n"),
        "{resumed}"
    );
    folder.run(&["schedules", "fire", "hourly"]).await.done();
    until("a fire by hand", SOON, || async { (dev.count(fired).await > count).then_some(()) })
        .await;
    assert_eq!(folder.run(&["schedules", "remove", "hourly"]).await.done(), "hourly: removed\n");
    assert_eq!(folder.run(&["schedules", "list"]).await.code, 3);
    dev.interrupt().await;
}

#[tokio::test]
async fn a_process_that_is_killed_again_and_again_fires_every_occurrence_once() {
    const DAY_A_SECOND: [&str; 2] = ["--time-scale", "86400"];
    const FIRES: &str = "select count(*) from engine.schedule_fires";
    let folder = Folder::new().await;
    let dev = Dev::start(&folder, &DAY_A_SECOND).await;
    folder.run(&["seed"]).await.done();
    let file = folder.write("review.toml", REVIEW);
    folder.run(&["workflows", "apply", file.to_str().unwrap()]).await.done();
    let contact: uuid::Uuid =
        sqlx::query_scalar("select id from contacts limit 1").fetch_one(&dev.db).await.unwrap();
    let contact = shown("con", contact);
    for name in ["one", "two", "three", "four"] {
        let add = ["schedules", "add", name, "--cron", "@hourly", "--zone", "UTC"];
        let start = ["--workflow", "review", "--contact", &contact, "--overlap", "allow"];
        folder.run(&[&add[..], &start].concat()).await.done();
    }
    dev.kill().await;
    let mut least = 0;
    for _ in 0..5 {
        let dev = Dev::start(&folder, &DAY_A_SECOND).await;
        least = least.max(dev.count(FIRES).await) + 40;
        until("more fires", SOON, || async { (dev.count(FIRES).await >= least).then_some(()) })
            .await;
        dev.kill().await;
    }
    let dev = Dev::start(&folder, &DAY_A_SECOND).await;
    for name in ["one", "two", "three", "four"] {
        folder.run(&["schedules", "pause", name]).await.done();
    }
    let hours = "select sum(n)::bigint from (select (extract(epoch from max(occurrence_at) - min(occurrence_at)) / 3600)
      ::bigint + 1 as n from engine.schedule_fires group by schedule_id) s";
    let count = dev.count(FIRES).await;
    assert!(count >= least, "{count} fires");
    assert_eq!(dev.count(hours).await, count, "an hour was left out");
    let started =
        "select count(distinct run_id) from engine.schedule_fires where outcome = 'started'";
    assert_eq!(dev.count(started).await, count);
    assert_eq!(dev.count("select count(*) from engine.runs").await, count);
    let told = "select count(*) from engine.outbox where topic = 'schedule.fired'";
    assert_eq!(dev.count(told).await, count);
    let open = "select count(*) from engine.runs where state <> 'completed'";
    until("all runs to end", SOON, || async { (dev.count(open).await == 0).then_some(()) }).await;
    dev.interrupt().await;
}

#[tokio::test]
async fn a_preview_of_an_expression_needs_no_database() {
    let folder = Folder::bare();
    let preview = ["schedules", "preview", "--cron", "30 2 * * sun", "--zone", "Europe/Berlin"];
    let from = ["--from", "2026-03-27T00:00:00Z", "--limit", "2"];
    let said = folder.run(&[&preview[..], &from].concat()).await.done();
    let expected = "Sun 2026-03-29 03:00 +02:00 Europe/Berlin, moved from 2026-03-29 02:30:00, which the clock skips\n\
        Sun 2026-04-05 02:30 +02:00 Europe/Berlin\n";
    assert_eq!(said, expected);
    let wrong = ["schedules", "preview", "--cron", "@daily", "--zone", "Europe/Viena"];
    let said = folder.run(&[&wrong[..], &from].concat()).await.refused(1);
    assert!(said.ends_with("did you mean `Europe/Vienna`?"), "{said}");
}

/// An id as it is shown, by its kind and number alone: the letters of base 32 without i, l, o and u.
fn shown(prefix: &str, id: uuid::Uuid) -> String {
    const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let letter =
        |at: u32| char::from(LETTERS[usize::try_from(id.as_u128() >> (5 * at) & 31).unwrap()]);
    format!("{prefix}_{}", (0..26).rev().map(letter).collect::<String>())
}
