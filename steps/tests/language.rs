//! The pages that tell the language say the truth: every example in them is read.

use std::path::Path;

use engine::definition::{Format, read};
use engine::step::Registry;

use crate::support;

fn page(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    std::fs::read_to_string(file).unwrap()
}

/// The fenced blocks of a page, each with what stands behind its opening fence.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else { continue };
        let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        blocks.push((kind.to_owned(), text.join("\n") + "\n"));
    }
    blocks
}

/// An example as a document: one without a name gets one, and a step where it has none.
fn document(example: &str) -> String {
    let head = "name = \"example\"\nsubject = \"contact\"\n";
    let step = "[[steps]]\nid = \"end\"\ntype = \"exit\"\n";
    match (
        example.contains("\nname = ") || example.starts_with("name = "),
        example.contains("[[steps]]"),
    ) {
        (true, _) => example.to_owned(),
        (false, true) => format!("{head}{example}"),
        (false, false) => format!("{head}{example}{step}"),
    }
}

fn right(example: &str, registry: &Registry) {
    if let Err(refusals) = read("language.toml", &document(example), Format::Toml, registry) {
        panic!("{refusals}\n\n{example}");
    }
}

#[tokio::test]
async fn every_example_of_the_language_is_read_and_every_broken_one_gives_the_error_shown() {
    let registry = steps::registry(&support::services_without_database());
    let page = page("language.md");
    let blocks = blocks(&page);
    let mut counts = (0, 0, 0);
    for (index, (kind, text)) in blocks.iter().enumerate() {
        match kind.as_str() {
            "toml" => {
                counts.0 += 1;
                right(text, &registry);
            }
            "toml broken" => {
                counts.1 += 1;
                let refusals = read("language.toml", text, Format::Toml, &registry).err().unwrap();
                let (shown, error) = &blocks[index + 1];
                assert_eq!(
                    (shown.as_str(), error.trim_end()),
                    ("text", refusals.to_string().as_str())
                );
            }
            "cel" => {
                for condition in text.lines() {
                    counts.2 += 1;
                    right(&conditional(condition), &registry);
                }
            }
            "text" | "sh" => {}
            other => panic!("a block of `{other}` is looked at by nobody"),
        }
    }
    assert!(counts.0 >= 8 && counts.1 >= 3 && counts.2 >= 10, "{counts:?}");
}

/// A document with a condition after the steps that the examples name.
fn conditional(condition: &str) -> String {
    format!(
        "[[steps]]\nid = \"intro\"\ntype = \"email.send\"\ntemplate = \"t\"\n\
         [[steps]]\nid = \"call\"\ntype = \"task.create\"\ntitle = \"Call\"\n\
         [[steps]]\nid = \"asked\"\ntype = \"exit\"\nwhen = \"\"\"{condition}\"\"\"\n\
         [templates.t]\nsubject = \"s\"\ntext = \"t\"\n"
    )
}

#[tokio::test]
async fn every_step_type_has_an_example_that_can_be_read_and_stands_in_the_reference() {
    let registry = steps::registry(&support::services_without_database());
    let reference = page("steps.md");
    for kind in registry.step_names().filter_map(|name| registry.step_type(name)) {
        assert!(kind.example.contains(&format!("type = \"{}\"", kind.name)), "{}", kind.name);
        assert!(reference.contains(kind.example), "the reference lacks {}", kind.name);
        right(kind.example, &registry);
        let schema = (kind.schema)().to_value();
        let keys = schema["properties"].as_object().into_iter().flatten();
        for (key, _) in keys {
            assert!(reference.contains(&format!("| `{key}` |")), "{} {key}", kind.name);
        }
        for output in kind.outputs {
            assert!(reference.contains(&format!("| `{}` |", output.name)), "{}", output.name);
        }
    }
}
