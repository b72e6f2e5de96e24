//! The workflows that ship can be read by the step types that ship.

use std::path::Path;

use engine::definition::{Format, read};

use crate::support;

#[tokio::test]
async fn every_workflow_that_ships_can_be_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows");
    let registry = steps::registry(&support::services_without_database());
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        if let Err(refusals) = read(&path.to_string_lossy(), &source, Format::Toml, &registry) {
            panic!("{refusals}");
        }
        count += 1;
    }
    assert!(count > 0, "no workflow ships");
}
