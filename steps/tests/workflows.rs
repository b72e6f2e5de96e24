//! The workflows that ship can be read by the step types that ship.

use std::path::{Path, PathBuf};

use engine::definition::{Format, read};

use crate::support;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows")
}

/// Name and text of every workflow that ships.
fn workflows() -> Vec<(String, String)> {
    let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|file| file.extension().is_some_and(|ending| ending == "toml"));
    files
        .map(|file| {
            let name = file.file_stem().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&file).unwrap())
        })
        .collect()
}

#[tokio::test]
async fn every_workflow_that_ships_can_be_read_is_called_as_its_file_and_is_listed() {
    let registry = steps::registry(&support::services_without_database());
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let workflows = workflows();
    assert_eq!(workflows.len(), 8);
    for (name, source) in workflows {
        let definition = read(&name, &source, Format::Toml, &registry)
            .unwrap_or_else(|refusals| panic!("{refusals}"));
        assert_eq!(definition.name, name);
        assert!(source.starts_with("#:schema workflow.schema.json\n"), "{name}");
        assert!(readme.contains(&format!("]({name}.toml)")), "the list lacks {name}");
    }
}

#[tokio::test]
async fn editors_that_go_by_the_schema_find_nothing_wrong_with_what_ships() {
    let registry = steps::registry(&support::services_without_database());
    let schema = engine::definition::schema(&registry);
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut documents = workflows();
    let examples = registry.step_names().filter_map(|name| registry.step_type(name));
    documents.extend(examples.map(|kind| {
        let head = "name = \"example\"\nsubject = \"contact\"\n";
        (kind.name.to_owned(), format!("{head}{}", kind.example))
    }));
    for (name, source) in documents {
        let read = read(&name, &source, Format::Toml, &registry);
        let definition = read.unwrap_or_else(|refusals| panic!("{refusals}"));
        let wrong: Vec<String> = validator
            .iter_errors(definition.canonical())
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
    }
    let wrong = serde_json::json!({ "name": "a", "subject": "contact", "steps": [{ "id": "a", "type": "wiat" }] });
    assert!(!validator.is_valid(&wrong), "the schema refuses nothing");
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
