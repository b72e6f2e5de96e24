//! What `docs/events` promised once holds still: every schema there is held against all that its file said before under
//! the same `$id`, by the history of git.

mod compatible;
mod compatible_tests;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::salesos::repository;

const FOLDER: &str = "docs/events";

/// What git says of this repository; nothing where it has none, or not git.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).current_dir(repository()).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    output.status.success().then_some(said)
}

/// Whether this folder's history can be read, and is not that of a folder around it.
fn has_history() -> bool {
    let place = git(&["rev-parse", "--show-prefix"]);
    place.is_some_and(|place| place.trim().is_empty()) && git(&["rev-parse", "HEAD"]).is_some()
}

/// The files that ever were schemas of events.
fn files_of_all_times() -> BTreeSet<String> {
    let pattern = format!("{FOLDER}/*.json");
    let listed = git(&["log", "--format=", "--name-only", "--no-renames", "--", &pattern]);
    let listed = listed.expect("there is a history");
    listed.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// What a file said at each commit that changed it; one that took it away left nothing.
fn earlier(file: &str) -> Vec<(String, Value)> {
    let commits = git(&["log", "--format=%H", "--no-renames", "--", file]);
    let commits = commits.expect("there is a history");
    let at = |commit: &str| {
        let text = git(&["show", &format!("{commit}:{file}")])?;
        Some((commit.to_owned(), serde_json::from_str(&text).ok()?))
    };
    commits.lines().filter_map(at).collect()
}

#[test]
fn the_schemas_of_events_keep_what_they_promised() {
    if !has_history() {
        assert!(std::env::var_os("CI").is_none(), "there is no history of git to compare with");
        eprintln!("there is no history of git; the schemas of events are compared with nothing");
        return;
    }
    let mut broken = Vec::new();
    for file in files_of_all_times() {
        let Ok(text) = fs::read_to_string(repository().join(&file)) else {
            broken.push(format!("{file} is gone; a topic that was told once stays described"));
            continue;
        };
        let now: Value = serde_json::from_str(&text).unwrap();
        for (commit, before) in earlier(&file) {
            if before["$id"] != now["$id"] {
                continue;
            }
            for found in compatible::breaks(&before, &now) {
                broken.push(format!("{file} since {}: {found}", &commit[..12]));
            }
        }
    }
    let next = "give the topic its next version";
    assert!(
        broken.is_empty(),
        "these changes break who reads events; {next}:\n{}",
        broken.join("\n")
    );
}
