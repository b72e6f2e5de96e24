//! Contacts in `outbound-intro`, and what must hold of the records of all that became of them.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use crate::salesos::{Dev, Folder, until};

/// How long the runs may take to their end once nobody disturbs them.
const ENDS_WITHIN: Duration = Duration::from_secs(180);

/// Contacts on three continents, as a CSV.
fn contacts(numbers: Range<usize>) -> String {
    let zones = ["America/New_York", "Europe/Berlin", "Asia/Tokyo", "America/Los_Angeles"];
    let mut csv = String::from("First Name,Last Name,Email,Company,Time Zone\n");
    for number in numbers {
        let (company, zone) = (number % 97, zones[number % zones.len()]);
        let mail = format!("p{number}@lead{company}.example");
        writeln!(csv, "Pat{number},Doe,{mail},Lead {company},{zone}").unwrap();
    }
    csv
}

pub(super) async fn enroll(folder: &Folder, numbers: Range<usize>) {
    let count = numbers.len();
    folder.write("contacts.csv", &contacts(numbers));
    let enroll = ["enroll", "contacts.csv", "--sequence", "outbound-intro", "--json"];
    assert_eq!(folder.run(&enroll).await.json()["enrolled"], count);
}

/// The send keys of all mails of a folder, each as often as there is a mail of it.
fn send_keys(mail: &Path) -> Vec<String> {
    let mut keys = Vec::new();
    for mailbox in fs::read_dir(mail).unwrap() {
        for file in fs::read_dir(mailbox.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "eml") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let key = text.lines().find_map(|line| line.strip_prefix("X-Send-Key: "));
            keys.push(key.unwrap_or_else(|| panic!("{} has no key", path.display())).to_owned());
        }
    }
    keys
}

/// Waits until every run has ended, and every event was told.
pub(super) async fn all_has_ended(dev: &Dev) {
    let going = "select count(*) from engine.runs where state in ('live', 'paused')";
    until("all runs to end", ENDS_WITHIN, || async { (dev.count(going).await == 0).then_some(()) })
        .await;
    // Answers to the last mails go on coming in, so that there are always newer events.
    let last = dev.count("select coalesce(max(seq), 0) from engine.outbox").await;
    until("all events to be told", ENDS_WITHIN, || async {
        let untold = "select count(*) from engine.untold where seq <= $1";
        let untold: i64 = sqlx::query_scalar(untold).bind(last).fetch_one(&dev.db).await.unwrap();
        (untold == 0).then_some(())
    })
    .await;
}

/// Every run that was started has ended, in one way, and its history has no gap.
pub(super) async fn nothing_is_lost(dev: &Dev, enrolled: usize) {
    let states: Vec<(String, i64)> = sqlx::query_as(
        "select concat_ws(': ', state, reason), count(*) from engine.runs group by 1 order by 1",
    )
    .fetch_all(&dev.db)
    .await
    .unwrap();
    let all = i64::try_from(enrolled).unwrap();
    for statement in [
        "select count(*) from engine.runs where state in ('completed', 'exited')",
        "select count(*) from enrollments",
        "select count(*) from engine.history where kind = 'run.started'",
        "select count(*) from engine.history where kind in ('run.completed', 'run.exited', 'run.cancelled')",
        "select count(distinct run_id) from engine.history
         where kind in ('run.completed', 'run.exited', 'run.cancelled')",
        "select count(*) from (select run_id from engine.history group by run_id having count(*) = max(seq) + 1) whole",
    ] {
        assert_eq!(dev.count(statement).await, all, "{statement}: {states:?}");
    }
    let unheard = "select count(*) from engine.outbox o
      where not exists (select from engine.untold u where u.seq = o.seq) and not exists (
        select from processed_events p where p.event_id = o.id and p.consumer = 'activities')";
    assert_eq!(dev.count(unheard).await, 0, "events were not applied");
    let left = "select (select count(*) from engine.jobs) + (select count(*) from engine.timers)
      + (select count(*) from engine.inbox) + (select count(*) from engine.parked)";
    assert_eq!(dev.count(left).await, 0, "something is left of runs that ended");
}

/// No step is recorded twice, no mail left twice, and what left is what the records say.
pub(super) async fn nothing_is_done_twice(folder: &Folder, dev: &Dev) {
    let twice = "select count(*) from (
      select from engine.history where kind in ('step.done', 'step.skipped')
      group by run_id, step, iteration having count(*) > 1) twice";
    assert_eq!(dev.count(twice).await, 0, "steps are recorded twice");

    let mails = send_keys(&folder.data().join("mail"));
    let left: BTreeSet<&str> = mails.iter().map(String::as_str).collect();
    assert_eq!(left.len(), mails.len(), "mails left twice");
    let sent: Vec<String> = sqlx::query_scalar(
        "select send_key from emails where sent_at is not null or status = 'bounced'",
    )
    .fetch_all(&dev.db)
    .await
    .unwrap();
    let sent: BTreeSet<&str> = sent.iter().map(String::as_str).collect();
    let unsent: Vec<&&str> = sent.difference(&left).collect();
    let unknown: Vec<&&str> = left.difference(&sent).collect();
    assert!(unsent.is_empty(), "the records hold mails that never left: {unsent:?}");
    assert!(unknown.is_empty(), "mails left of which the records know nothing: {unknown:?}");
    let enrolled = dev.count("select count(*) from enrollments").await;
    assert!(sent.len() > usize::try_from(enrolled).unwrap(), "only {} mails left", sent.len());
}
