//! How `salesos dev` begins, ends, is killed, and begins again.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use tokio::process::Command;

use crate::salesos::{Dev, Folder, gone, signal, until};

/// How long Ctrl-C may take to end everything.
const ENDS_WITHIN: Duration = Duration::from_secs(3);
const COMES_BACK_WITHIN: Duration = Duration::from_secs(30);

const CONTACTS: &str = "select count(*) from contacts";

#[tokio::test]
async fn dev_begins_on_an_empty_folder_and_other_commands_find_it() {
    let folder = Folder::new().await;
    let dev = Dev::start(&folder, &[]).await;

    let url = folder.run(&["db", "--print-url"]).await.done();
    assert!(url.starts_with("postgres://salesos:") && url.contains("/salesos?host=/"), "{url}");
    let owner: String =
        sqlx::query_scalar("select current_user::text").fetch_one(&dev.db).await.unwrap();
    assert_eq!(owner, "salesos");
    // Who knows no sockets goes by the port.
    let port = url.split_once('?').unwrap().0;
    for (way, by_socket) in [(url.trim(), true), (port, false)] {
        let mut db = PgConnection::connect(way).await.unwrap();
        let asked = sqlx::query_scalar::<_, bool>("select inet_client_addr() is null");
        assert_eq!(asked.fetch_one(&mut db).await.unwrap(), by_socket, "{way}");
    }

    let status = folder.run(&["migrate", "--status"]).await.done();
    let files = fs::read_dir(crate::salesos::repository().join("migrations")).unwrap().count();
    assert_eq!(status.lines().count(), files, "{status}");
    assert!(status.lines().all(|line| line.starts_with("applied ")), "{status}");

    let findings = folder.run(&["doctor", "--json"]).await.json();
    let findings = findings.as_array().unwrap();
    let named: Vec<&str> = findings.iter().filter_map(|found| found["what"].as_str()).collect();
    assert_eq!(named, ["Postgres programs", "data folder", "database"]);
    assert!(findings.iter().all(|found| found["right"] == true), "{findings:?}");
    assert_eq!(dev.errors(), Vec::<String>::new());
    dev.interrupt().await;
}

#[tokio::test]
async fn a_second_dev_on_a_folder_is_refused_and_told_of_the_first() {
    let folder = Folder::new().await;
    let dev = Dev::start(&folder, &[]).await;
    let line = folder.run(&["dev", "--port", "0"]).await.refused(1);
    let first = format!("another `salesos dev` (process {}) runs on", dev.process());
    assert!(line.starts_with(&first) && line.contains("--data-dir"), "{line}");
    // The first one does not notice.
    folder.run(&["migrate", "--status"]).await.done();
    dev.interrupt().await;
}

#[tokio::test]
async fn ctrl_c_ends_dev_and_its_postgres_within_three_seconds() {
    let folder = Folder::new().await;
    let dev = Dev::start(&folder, &["--time-scale", "86400"]).await;
    folder.run(&["seed", "--enroll"]).await.done();
    let sent = "select count(*) from emails where sent_at is not null";
    until("runs to be under way", COMES_BACK_WITHIN, || async {
        (dev.count(sent).await > 0).then_some(())
    })
    .await;
    let postgres = folder.postgres().expect("its Postgres runs");

    let began = Instant::now();
    let status = dev.interrupt().await;
    let took = began.elapsed();
    assert!(status.success() && took < ENDS_WITHIN, "{status}, after {took:?}");
    assert!(crate::salesos::command_line(postgres).is_empty(), "its Postgres is still there");

    let line = folder.run(&["runs", "list"]).await.refused(1);
    assert!(line.starts_with("no `salesos dev` runs on"), "{line}");

    // What was there is there again.
    let dev = Dev::start(&folder, &[]).await;
    assert_eq!(dev.count(CONTACTS).await, 50);
    dev.interrupt().await;
}

#[tokio::test]
async fn a_dev_that_was_killed_leaves_postgres_running_and_the_next_one_takes_it_over() {
    let folder = Folder::new().await;
    let dev = Dev::start(&folder, &[]).await;
    folder.run(&["seed"]).await.done();
    let postgres = folder.postgres().expect("its Postgres runs");
    dev.kill().await;
    assert_eq!(folder.postgres(), Some(postgres));
    let line = folder.run(&["runs", "list"]).await.refused(1);
    assert!(line.starts_with("no `salesos dev` runs on"), "{line}");

    let dev = Dev::start(&folder, &[]).await;
    assert_eq!(folder.postgres(), Some(postgres));
    assert_eq!(dev.count(CONTACTS).await, 50);
    dev.interrupt().await;
    gone(postgres).await;
}

#[tokio::test]
async fn a_dev_and_its_postgres_that_were_both_killed_come_back_with_their_data() {
    let folder = Folder::new().await;
    let dev = Dev::start(&folder, &[]).await;
    folder.run(&["seed"]).await.done();
    let postgres = folder.postgres().expect("its Postgres runs");
    dev.kill().await;
    signal(postgres, "KILL");
    gone(postgres).await;
    let stale = folder.cluster().join("postmaster.pid");
    assert!(stale.exists(), "a killed Postgres leaves its file");

    let dev = Dev::start(&folder, &[]).await;
    assert_ne!(folder.postgres(), Some(postgres));
    assert_eq!(dev.count(CONTACTS).await, 50);
    dev.interrupt().await;
}

#[tokio::test]
async fn a_file_that_names_a_process_that_is_no_postgres_does_not_stop_a_start() {
    let folder = Folder::new().await;
    Dev::start(&folder, &[]).await.interrupt().await;
    // As after a restart of the machine, where the number is another process's of the same user. Whom
    // Postgres may not signal, it does not take for a Postgres anyway.
    let cluster = folder.cluster();
    let user = fs::metadata(&cluster).unwrap().uid();
    let mut other = Command::new("sleep").arg("300").uid(user).kill_on_drop(true).spawn().unwrap();
    let process = other.id().unwrap();
    let stale = format!("{process}\n{}\n1700000000\n1\n\n127.0.0.1\n\nready\n", cluster.display());
    fs::write(cluster.join("postmaster.pid"), stale).unwrap();
    Dev::start(&folder, &[]).await.interrupt().await;
    assert_eq!(other.try_wait().unwrap(), None, "a process that is not ours was ended");
}

#[tokio::test]
async fn a_postgres_that_dies_under_dev_is_started_again() {
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &[]).await;
    let api = dev.api().await;
    api.get("/readyz").await.with(200);
    let postgres = folder.postgres().expect("its Postgres runs");
    signal(postgres, "KILL");
    until("another Postgres to run", COMES_BACK_WITHIN, || async {
        folder.postgres().filter(|process| *process != postgres)
    })
    .await;
    until("the API to be ready again", COMES_BACK_WITHIN, || async {
        (api.get("/readyz").await.status == 200).then_some(())
    })
    .await;
    dev.interrupt().await;
}
