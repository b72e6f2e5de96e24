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

#[tokio::test]
async fn a_broken_text_of_a_step_is_refused_where_it_stands() {
    let registry = steps::registry(&support::services_without_database());
    let texts = [
        ("activity.log", "title = \"{{ contact.\"", 7),
        ("activity.log", "title = \"fine\"\nbody = \"{% if %}\"", 8),
        ("task.create", "title = \"{{ contact.\"", 7),
        ("event.publish", "topic = \"lead.warm\"\ndata = { name = \"{{ }}\" }", 8),
        ("email.send", "template = \"t\"\nvariants = [{ id = \"a\", subject = \"{{ 1 + }}\" }]", 8),
    ];
    for (kind, keys, line) in texts {
        let source = format!(
            "name = \"w\"\ntitle = \"W\"\nsubject = \"contact\"\n[[steps]]\nid = \"a\"\ntype = \"{kind}\"\n{keys}\n\
             [templates.t]\nsubject = \"s\"\ntext = \"t\"\n"
        );
        let refusals = read("w.toml", &source, Format::Toml, &registry).err().unwrap();
        let problem = &refusals.problems[0];
        assert!(problem.message.contains("this text is no template"), "{refusals}");
        assert_eq!(problem.line, line, "{refusals}");
    }
}
