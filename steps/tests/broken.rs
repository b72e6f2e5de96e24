//! What sales operations get wrong with the step types that ship: each mistake is told in words that help.
//! `engine/tests/definitions` holds the mistakes that have nothing to do with a step type.

use std::path::{Path, PathBuf};

use engine::definition::{Format, read};

use crate::support;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/definitions/broken")
}

#[tokio::test]
async fn every_broken_file_is_told_what_to_write_instead() {
    let registry = steps::registry(&support::services_without_database());
    let entries = std::fs::read_dir(folder()).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    assert!(names.len() >= 50, "{} files", names.len());
    for name in names {
        let source = std::fs::read_to_string(folder().join(&name)).unwrap();
        let read = read(&name, &source, Format::Toml, &registry);
        let refusals = read.err().unwrap_or_else(|| panic!("{name} was not refused"));
        for problem in &refusals.problems {
            assert!(problem.help.is_some(), "{name}: no help for {problem:?}");
        }
        insta::with_settings!({
            omit_expression => true,
            prepend_module_to_snapshot => false,
            snapshot_path => "definitions/snapshots",
        }, {
            insta::assert_snapshot!(name.trim_end_matches(".toml"), refusals.render(false));
        });
    }
}
