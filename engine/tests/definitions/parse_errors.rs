//! What a step type itself refuses, where its schema says too little: told in plain words, at the key.

use std::sync::Arc;
use std::time::Duration;

use engine::context::Context;
use engine::definition::{self, Format};
use engine::step::{Effect, Outcome, Step, StepError, StepType};
use futures_util::future::BoxFuture;
use serde::Deserialize;

use super::registry::registry;

/// Takes a few keys and tells a schema nothing of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Loose {
    #[expect(dead_code, reason = "read for its shape only")]
    text: String,
    #[expect(dead_code, reason = "read for its shape only")]
    mood: Option<Mood>,
    #[serde(default)]
    count: u8,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mood {
    Glad,
    Grim,
}

impl Step for Loose {
    fn run<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        let _moods = [Mood::Glad, Mood::Grim];
        Box::pin(async { Ok(Outcome::default()) })
    }
}

fn loose() -> StepType {
    StepType {
        name: "loose",
        effect: Effect::Pure,
        timeout: Duration::from_secs(1),
        windowed: false,
        limits: &[],
        outputs: &[],
        example: "",
        schema: || schemars::json_schema!({}),
        parse: Arc::new(|value| {
            let step: Loose = serde_json::from_value(value).map_err(|error| error.to_string())?;
            match step.count {
                7 => Err("count: seven is taken; write eight".into()),
                8 => Err("eight is not to be had either".into()),
                9 => Err("the text `so` does not go with it".into()),
                _ => Ok(Arc::new(step)),
            }
        }),
    }
}

#[test]
fn what_a_step_type_refuses_is_told_in_plain_words_at_its_key() {
    // The keys of the step, the message, its column and a part of the help.
    let cases = [
        ("txt = \"so\"", "step `one` has no key `txt` here", 1, "did you mean `text`?"),
        ("count = 1", "step `one` has no `text`", 6, "add `text = …`"),
        ("text = \"so\"\nmood = \"gald\"", "`gald` is none of what can", 8, "did you mean `glad`?"),
        ("text = 3", "here stands the number `3`, which can't be", 8, "write a text"),
        ("text = \"so\"\ncount = 7", "seven is taken", 9, "write eight"),
        ("text = \"so\"\ncount = 8", "eight is not to be had either", 6, "look at step `one`"),
        ("text = \"so\"\ncount = 9", "the text `so` does not go with it", 8, "look at step `one`"),
    ];
    let registry = registry().step(loose());
    for (keys, message, column, help) in cases {
        let source = format!(
            "name = \"a\"\nsubject = \"contact\"\n[[steps]]\nid = \"one\"\ntype = \"loose\"\n{keys}\n"
        );
        let read = definition::read("a.toml", &source, Format::Toml, &registry);
        let refusals = read.err().unwrap_or_else(|| panic!("{keys} was not refused"));
        let [problem] = refusals.problems.as_slice() else { panic!("{refusals}") };
        assert!(problem.message.starts_with(message), "{refusals}");
        assert_eq!(problem.column, column, "{refusals}");
        assert!(problem.help.as_deref().is_some_and(|given| given.contains(help)), "{refusals}");
    }
}
