//! Documents as people write them: what is right is read, what is wrong is told in words that help.

mod parse_errors;
mod registry;

use std::path::{Path, PathBuf};

use engine::definition::{self, Definition, Enroll, Format, OnFailure, Refusals};
use registry::registry;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/definitions").join(name)
}

fn source(path: &str) -> String {
    std::fs::read_to_string(folder(path)).expect("the file stands beside this test")
}

fn toml(source: &str) -> Result<Definition, Refusals> {
    definition::read("test.toml", source, Format::Toml, &registry())
}

fn outbound() -> Definition {
    toml(&source("valid/outbound.toml")).unwrap_or_else(|refusals| panic!("{refusals}"))
}

#[test]
fn every_broken_file_is_told_what_to_write_instead() {
    let mut names: Vec<String> = std::fs::read_dir(folder("broken"))
        .expect("the folder stands beside this test")
        .map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert!(names.len() >= 20);
    for name in names {
        let source = source(&format!("broken/{name}"));
        let read = definition::read(&name, &source, Format::Toml, &registry());
        let refusals = read.err().unwrap_or_else(|| panic!("{name} was not refused"));
        for problem in &refusals.problems {
            assert!(problem.help.is_some(), "{name}: no help for {problem:?}");
        }
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(name.trim_end_matches(".toml"), refusals.render(false));
        });
    }
}

#[test]
fn toml_and_json_that_say_the_same_have_the_same_hash() {
    let from_toml = outbound();
    let json = source("valid/outbound.json");
    let from_json = definition::read("outbound.json", &json, Format::Json, &registry())
        .unwrap_or_else(|refusals| panic!("{refusals}"));
    assert_eq!(from_toml.canonical(), from_json.canonical());
    assert_eq!(from_toml.content_hash(), from_json.content_hash());
    let other = source("valid/outbound.toml").replace("3 days", "4 days");
    let other = toml(&other).unwrap_or_else(|refusals| panic!("{refusals}"));
    assert_ne!(from_toml.content_hash(), other.content_hash());
}

#[test]
fn a_stored_document_is_read_back_as_it_was() {
    let first = outbound();
    let again = definition::from_document(first.canonical(), &registry())
        .unwrap_or_else(|refusals| panic!("{refusals}"));
    assert_eq!(first.content_hash(), again.content_hash());
    assert_eq!(first.steps.len(), again.steps.len());
}

#[test]
fn what_the_document_says_stands_in_the_definition() {
    let definition = outbound();
    let step = |id: &str| &definition.steps[definition.index_of(id).expect("it has this step")];
    assert_eq!(definition.enroll, Enroll::AfterDays(90));
    assert_eq!(definition.exit_on, ["email.replied", "meeting.booked"]);
    assert!(definition.timing.window.is_some());
    assert_eq!((step("intro").windowed, step("bump").windowed), (true, false));
    assert_eq!((step("intro").retry.attempts, step("intro").retry.first.as_secs()), (5, 10));
    assert_eq!(step("intro").next, Some(1));
    assert_eq!(step("answer").next, definition.index_of("last"));
    assert_eq!(step("answer").timeout.as_secs(), 60, "`timeout` is the step type's own key there");
    assert_eq!(step("bump").on_failure, OnFailure::Continue);
    assert_eq!(step("last").on_failure, OnFailure::Goto(3));
    assert_eq!((step("last").next, step("warm").next), (None, None));
    assert_eq!(step("bump").when.as_ref().map(|when| when.source()), Some("contact.score > 3"));
    assert!(step("warm").when.is_none(), "`when` is the step type's own key there");
    assert_eq!(definition.index_of("nowhere"), None);
}

#[test]
fn an_exit_that_may_be_skipped_or_passed_over_goes_on_to_the_step_below() {
    let first_of_two = |key: &str| {
        toml(&format!(
            "name = \"a\"\nsubject = \"contact\"\n[[steps]]\nid = \"over\"\ntype = \"exit\"\n{key}\n\
             [[steps]]\nid = \"below\"\ntype = \"exit\"\n"
        ))
    };
    for key in ["when = \"contact.score > 3\"", "on_failure = \"continue\""] {
        let definition = first_of_two(key).unwrap_or_else(|refusals| panic!("{refusals}"));
        assert_eq!(definition.steps[0].next, Some(1), "{key}");
    }
    let refusals = first_of_two("").err().expect("nothing leads below");
    assert_eq!(refusals.problems[0].message, "no run ever comes to step `below`");
}

#[test]
fn a_document_has_at_most_200_steps_and_256_kib() {
    let step = |n: usize| format!("[[steps]]\nid = \"s{n}\"\ntype = \"exit\"\nwhen = \"true\"\n");
    let many = |n: usize| {
        let steps: String = (0..n).map(step).collect();
        toml(&format!("name = \"many\"\nsubject = \"contact\"\n{steps}"))
    };
    assert!(many(200).is_ok());
    let refusals = many(201).err().expect("201 are too many");
    assert_eq!(refusals.problems[0].message, "these are 201 steps; a sequence has at most 200");
    assert_eq!(refusals.problems.len(), 1);
    let large = format!("# {}\n", "x".repeat(definition::SOURCE_BYTES));
    let refusals = toml(&large).err().expect("it is too large");
    assert_eq!(refusals.problems[0].message, "this document has 257 KiB; 256 KiB is the most");
}

#[test]
fn no_more_than_100_problems_are_listed() {
    let lines: String = (0..150).map(|n| format!("wrong_{n} = 1\n")).collect();
    let refusals = toml(&lines).err().expect("nothing of it is known");
    assert_eq!(refusals.problems.len(), 100);
    assert!(refusals.unlisted >= 50);
}

#[test]
fn problems_are_given_to_programs_with_line_and_column() {
    let read = definition::read("a.json", "{\"name\": \"a\"}", Format::Json, &registry());
    let refusals = read.err().expect("much is missing");
    let json = serde_json::to_value(&refusals).expect("it is plain data");
    assert_eq!(json["file"], "a.json");
    assert_eq!(json["problems"][0]["line"], 1);
    assert_eq!(json["problems"][0]["column"], 1);
    assert!(json["problems"][0]["help"].is_string() && json["problems"][0]["message"].is_string());
}

#[test]
fn a_problem_points_to_its_part_of_the_document_in_either_format() {
    let toml_source = "name = \"a\"\nsubject = \"contact\"\n[timing.windw]\nfrom = \"9\"\n\
        [[steps]]\nid = \"one\"\ntype = \"email.send\"\nvariants = [{ id = \"a\", weight = \"1\" }]\n\
        [[steps]]\nid = \"two\"\ntype = \"branch\"\nwhen = \"contact.titel == 'x'\"\n\
        [templates.\"a/b~c\"]\nsubject = \"s\"\n";
    let json = serde_json::json!({
        "name": "a", "subject": "contact", "timing": { "windw": { "from": "9" } },
        "steps": [
            { "id": "one", "type": "email.send", "variants": [{ "id": "a", "weight": "1" }] },
            { "id": "two", "type": "branch", "when": "contact.titel == 'x'" },
        ],
        "templates": { "a/b~c": { "subject": "s" } },
    });
    let pointers = |source: &str, format: Format| {
        let read = definition::read("a", source, format, &registry());
        let refusals = read.err().expect("much is wrong");
        let mut pointers: Vec<String> =
            refusals.problems.into_iter().map(|problem| problem.pointer).collect();
        pointers.sort();
        pointers
    };
    let expected = [
        "/steps/0",
        "/steps/0/variants/0/weight",
        "/steps/1/when",
        "/templates/a~1b~0c",
        "/timing/windw",
    ];
    assert_eq!(pointers(toml_source, Format::Toml), expected);
    assert_eq!(pointers(&format!("{json:#}"), Format::Json), expected);
    assert_eq!(pointers("{}", Format::Json), ["", "", ""]);
    assert_eq!(pointers("name = ", Format::Toml), [""]);
}

#[test]
fn broken_json_is_told_at_its_place() {
    let nested = format!("{{\"name\": {}1{}}}", "[".repeat(5000), "]".repeat(5000));
    let cases = [
        ("{\"name\": \"a\",}", "this is no JSON"),
        ("{\"name\": \"a\", \"name\": \"b\"}", "the key `name` stands here twice"),
        ("", "the document is empty"),
        ("[]", "`the document` is a table, but here stands a list"),
        (nested.as_str(), "this is nested more than 32 deep"),
    ];
    for (source, message) in cases {
        let read = definition::read("a.json", source, Format::Json, &registry());
        let refusals = read.err().unwrap_or_else(|| panic!("{source} was not refused"));
        let told = refusals.problems.iter().any(|problem| problem.message.starts_with(message));
        assert!(told, "{refusals}");
    }
}

#[test]
fn color_adds_escapes_and_nothing_else() {
    let refusals = toml("name = 3").err().expect("a name is a text");
    assert!(refusals.render(true).contains('\u{1b}'));
    assert!(!refusals.to_string().contains('\u{1b}'));
}

#[test]
fn the_schema_names_every_step_type_with_its_keys() {
    let schema = definition::schema(&registry());
    let steps = schema["properties"]["steps"]["items"]["oneOf"].as_array().expect("one per type");
    let titles: Vec<&str> = steps.iter().filter_map(|step| step["title"].as_str()).collect();
    assert_eq!(titles, ["branch", "email.send", "exit", "split", "wait", "wait.signal"]);
    let mail = &steps[1];
    assert_eq!(mail["properties"]["type"]["const"], "email.send");
    assert_eq!(mail["required"], serde_json::json!(["id", "type", "template"]));
    assert_eq!(mail["properties"]["windowed"]["default"], true);
    assert_eq!(mail["properties"]["thread"]["description"], "The step whose mail it answers.");
    let reference = mail["properties"]["variants"]["items"]["$ref"].as_str().expect("a reference");
    let name = reference.strip_prefix("#/$defs/").expect("it points into the document");
    assert!(schema["$defs"][name].is_object());
}

proptest::proptest! {
    #[test]
    fn any_document_is_read_or_refused(source in "[a-z=\"\\[\\]{}.,\n# 0-9']{0,200}") {
        let _read = toml(&source);
        let _read = definition::read("a.json", &source, Format::Json, &registry());
    }

    #[test]
    fn a_right_document_with_a_piece_cut_out_never_panics(from in 0_usize..1500, length in 1_usize..80) {
        let mut source = source("valid/outbound.toml");
        let end = (from + length).min(source.len());
        source.replace_range(from.min(end)..end, "");
        if let Err(refusals) = toml(&source) {
            let _drawn = refusals.render(true);
        }
    }
}
