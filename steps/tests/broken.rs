//! What sales operations get wrong with the step types that ship: each error says what to write instead.
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

const NUDGE: &str = "[templates.nudge]\nsubject = \"Still there?\"\ntext = \"Hello\"\n";

/// Steps that loop until a score: a wait, a mail in the thread of a step, another mail.
fn looped(thread: &str) -> String {
    format!(
        "[[steps]]\nid = \"rest\"\ntype = \"wait\"\nfor = \"3 days\"\n\
         [[steps]]\nid = \"nudge\"\ntype = \"email.send\"\ntemplate = \"nudge\"\nthread = \"{thread}\"\n\
         [[steps]]\nid = \"later\"\ntype = \"email.send\"\ntemplate = \"nudge\"\nthread = \"nudge\"\n\
         [[steps]]\nid = \"again\"\ntype = \"branch\"\nwhen = \"contact.score < 50\"\nthen = \"rest\"\n"
    )
}

#[tokio::test]
async fn a_mail_in_a_loop_may_answer_its_own_earlier_mail_or_that_of_a_later_step() {
    let services = support::services_without_database();
    for thread in ["nudge", "later"] {
        support::definition(&services, &format!("{}{NUDGE}", looped(thread)));
        // The first one has nothing to answer.
        let bare = NUDGE.replace("subject = \"Still there?\"\n", "");
        let refusal = support::refusal(&format!("{}{bare}", looped(thread)));
        let message = "the first time, step `nudge` has nothing to refer back to, and its template `nudge` has no \
                       subject of its own";
        assert!(refusal.contains(message), "{refusal}");
        assert!(refusal.contains("1 problem"), "{refusal}");
    }
    let once = looped("nudge").replace("then = \"rest\"", "then = \"end\"");
    let end = "[[steps]]\nid = \"end\"\ntype = \"exit\"\n";
    let refusal = support::refusal(&format!("{once}{end}{NUDGE}"));
    assert!(refusal.contains("step `nudge` can't refer back to itself"), "{refusal}");
}

#[tokio::test]
async fn a_subject_of_comments_and_blanks_is_refused_as_an_empty_one() {
    let mail = |variants: &str, template: &str| {
        support::refusal(&format!(
            "[[steps]]\nid = \"intro\"\ntype = \"email.send\"\ntemplate = \"intro\"\n{variants}\n\
             [templates.intro]\ntext = \"Hello\"\n{template}\n"
        ))
    };
    for subject in ["{# later #}", " {% if false %}x{% endif %} ", "{{ '' }}"] {
        let refusal = mail("", &format!("subject = \"{subject}\""));
        assert!(refusal.contains("the template `intro` has no subject"), "{refusal}");
        assert!(refusal.contains("`subject` is always empty"), "{refusal}");
        let variants = format!("variants = [{{ id = \"a\", subject = \"{subject}\" }}]");
        let refusal = mail(&variants, "");
        assert!(refusal.contains("the subject of `a` is empty"), "{refusal}");
    }
    let refusal = mail("", "subject = \"Hello\"\nhtml = \"{# later #}\"");
    assert!(refusal.contains("`html` is always empty"), "{refusal}");
}
