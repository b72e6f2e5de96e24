//! Commands in a pipe: a reader that goes away silences them, and what only a terminal understands stays out.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use crate::salesos::{Dev, Folder, repository};

const BOUND: Duration = Duration::from_secs(60);

/// Commands that name nothing of this database.
const PLAIN: [&[&str]; 26] = [
    &["runs", "list"],
    &["runs", "list", "--json"],
    &["runs", "list", "--watch"],
    &["runs", "list", "--json", "--watch"],
    &["runs", "list", "--state", "held"],
    &["runs", "replanned"],
    &["jobs", "list"],
    &["operations", "list"],
    &["operations", "list", "--json"],
    &["outbox", "lag"],
    &["outbox", "parked"],
    &["workflows", "schema"],
    &["workflows", "reference"],
    &["workflows", "list"],
    &["workflows", "show", "outbound-intro"],
    &["workflows", "versions", "outbound-intro"],
    &["events", "schemas"],
    &["events", "reference"],
    &["openapi"],
    &["migrate", "--status"],
    &["doctor"],
    &["db", "--print-url"],
    &["users", "create", "rita@acme.example", "--role", "rep"],
    &["users", "deactivate", "nobody@acme.example"],
    &["--help"],
    &["--version"],
];

/// Runs a command whose standard output nobody reads; how it ended, and what it said of it.
async fn unread(folder: &Folder, args: &[&str]) -> (ExitStatus, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = folder.command(args);
    let child = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    // The command keeps an end of the pipe that it is written to; this process must not.
    drop(command);
    let output = tokio::time::timeout(BOUND, child.wait_with_output()).await;
    let output = output.unwrap_or_else(|_| panic!("{args:?} does not end")).unwrap();
    (output.status, String::from_utf8(output.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_ends_quietly_once_nobody_reads_what_it_prints() {
    let folder = Folder::new().await;
    let dev = Dev::start(&folder, &[]).await;
    folder.run(&["seed", "--enroll"]).await.done();
    let file = repository().join("workflows/outbound-intro.toml");
    let file = file.to_str().unwrap();
    let runs = folder.run(&["runs", "list", "--json", "--limit", "2"]).await.json();
    let run = runs[0]["id"].as_str().unwrap();
    let other = runs[1]["id"].as_str().unwrap();
    let contacts = folder.write("contacts.csv", "Email\na@lead.example\n");
    let contacts = contacts.to_str().unwrap();
    let contact = runs[0]["contact"].as_str().unwrap();
    let simulated =
        ["workflows", "simulate", file, "--people", "50", "--start", "2026-03-02 09:00"];
    let traced = [&simulated[..], &["--trace", "20"]].concat();
    let add = ["schedules", "add", "weekly", "--cron", "0 9 * * mon"];
    let commands: Vec<Vec<&str>> = vec![
        vec!["runs", "show", run],
        vec!["runs", "history", run],
        vec!["runs", "history", run, "--json"],
        vec!["runs", "explain", run],
        vec!["runs", "pause", run, other],
        vec!["runs", "resume", run, other, "--json"],
        vec!["runs", "pause", "--sequence", "outbound-intro", "--dry-run"],
        vec!["runs", "pause", "--sequence", "outbound-intro", "--yes"],
        vec!["runs", "resume", "--sequence", "outbound-intro", "--yes", "--json"],
        add.to_vec(),
        vec!["schedules", "list"],
        vec!["schedules", "show", "weekly"],
        vec!["schedules", "fires", "weekly"],
        vec!["schedules", "preview", "weekly"],
        vec!["schedules", "pause", "weekly"],
        vec!["workflows", "validate", file],
        vec!["workflows", "plan", file],
        vec!["workflows", "plan", file, "--json"],
        vec!["workflows", "test", file],
        vec!["workflows", "test", file, "--json"],
        simulated.to_vec(),
        traced,
        vec!["import", contacts],
        vec!["enroll", contacts, "--sequence", "outbound-intro", "--dry-run"],
        vec!["runs", "signal", run, "email.replied"],
    ];
    assert!(contact.starts_with("con_"));
    for args in PLAIN.into_iter().chain(commands.iter().map(Vec::as_slice)) {
        let (status, said) = unread(&folder, args).await;
        let panicked = said.contains("panicked") || said.contains("Broken pipe");
        assert!(!panicked, "{args:?}: {said}");
        assert!(status.code().is_some_and(|code| code != 101), "{args:?}: {status} {said}");
    }
    // What they were asked for is done all the same, for all of the ids.
    let paused = folder.run(&["runs", "pause", run, other]).await;
    assert!(paused.code == 0 || paused.code == 3, "{paused:?}");
    for args in [["runs", "list", "--json"].as_slice(), &["events", "reference"], &["openapi"]] {
        let (status, said) = unread(&folder, args).await;
        assert_eq!((status.code(), said.as_str()), (Some(0), ""), "{args:?}");
    }
    // They end as they would have with a reader, whatever they found.
    let nonsense: &[&str] = &["workflows", "validate", contacts];
    let validate: &[&str] = &["workflows", "validate", file];
    let plan: &[&str] = &["workflows", "plan", file];
    let none: &[&str] =
        &["runs", "pause", "--sequence", "outbound-intro", "--state", "held", "--dry-run"];
    for args in PLAIN[4..10].iter().copied().chain([nonsense, validate, plan, none, &["doctor"]]) {
        let read = folder.run(args).await;
        let (status, said) = unread(&folder, args).await;
        assert_eq!(status.code(), Some(read.code), "{args:?}: {read:?}, {said}");
    }
    assert_eq!(folder.run(none).await.code, 3);
    assert_eq!(dev.errors(), Vec::<String>::new());
    dev.interrupt().await;
}

#[tokio::test]
async fn doctor_says_by_its_exit_status_what_it_found_though_nobody_reads_it() {
    let folder = Folder::bare();
    for args in [["doctor", "--json"].as_slice(), &["doctor"], &["doctor", "--watch"]] {
        let (status, said) = unread(&folder, args).await;
        assert_eq!(status.code(), Some(1), "{args:?}: {said}");
    }
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_no_panic() {
    let folder = Folder::bare();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = folder.command(&["openapi"]);
    let child = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    let output = child.wait_with_output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("error: standard output can't be written"), "{said}");
}

#[tokio::test]
async fn a_closed_standard_error_is_no_panic_either() {
    let folder = Folder::bare();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = folder.command(&["runs", "list"]);
    let mut child = command.stdout(Stdio::null()).stderr(writer).spawn().unwrap();
    drop(command);
    let ended = tokio::time::timeout(BOUND, child.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(1), "it refused, though nobody reads why");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watching_into_a_pipe_writes_no_terminal_escapes_and_ends_with_its_reader() {
    use tokio::io::AsyncReadExt;
    let folder = Folder::new().await;
    let dev = Dev::start(&folder, &[]).await;
    for args in [["operations", "list", "--watch"], ["runs", "list", "--watch"]] {
        let mut command = folder.command(&args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        let mut text = Vec::new();
        // Two looks of it.
        while text.iter().filter(|byte| **byte == b'\n').count() < 2 {
            let mut some = [0; 512];
            let count = tokio::time::timeout(BOUND, out.read(&mut some)).await.unwrap().unwrap();
            assert!(count > 0, "{args:?} ended after {:?}", String::from_utf8_lossy(&text));
            text.extend_from_slice(&some[..count]);
        }
        assert!(!text.contains(&0x1b), "{args:?}: {:?}", String::from_utf8_lossy(&text));
        drop(out);
        let output = tokio::time::timeout(BOUND, child.wait_with_output()).await.unwrap().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.as_str()), (Some(0), ""), "{args:?}");
    }
    dev.interrupt().await;
}
