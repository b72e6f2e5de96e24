//! Documents that want much work of their reader: none of 256 KiB makes it do more than a bound that is a
//! small multiple of its length.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use proptest::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Expression, Format, SOURCE_BYTES, read};
use crate::context::Context;
use crate::step::{
    Effect, FieldType, Outcome, Output, Reference, Registry, Step, StepError, StepType, Subject,
};
use crate::work;

/// Steps of work that a document may take: comparisons, letters and nodes that are looked at.
const BOUND: u64 = 30_000_000;

/// A step with every kind of key.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// A template's name.
    template: Option<String>,
    /// Where to go.
    then: Option<String>,
    /// A condition.
    asked: Option<Expression>,
    /// Tables.
    #[serde(default)]
    parts: Vec<Part>,
}

/// One of several.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Part {
    /// A step.
    to: String,
    /// One of three words.
    #[expect(dead_code, reason = "read for its shape only")]
    mood: Option<Mood>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Mood {
    Glad,
    Grim,
    Calm,
}

impl Step for Keys {
    fn run<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Outcome, StepError>> {
        Box::pin(async { Ok(Outcome::default()) })
    }

    fn references(&self) -> Vec<Reference> {
        let _moods = [Mood::Glad, Mood::Grim, Mood::Calm];
        let template = |name: &String| Reference::Template { key: "template", name: name.clone() };
        let target = |step: &String| Reference::Target { key: "then", step: step.clone() };
        let part = |part: &Part| Reference::Target { key: "parts", step: part.to.clone() };
        let asked = self
            .asked
            .as_ref()
            .map(|asked| Reference::Condition { key: "asked", source: asked.source().to_owned() });
        let named = [self.template.as_ref().map(template), self.then.as_ref().map(target), asked];
        named.into_iter().flatten().chain(self.parts.iter().map(part)).collect()
    }

    fn waits(&self) -> bool {
        true
    }
}

fn registry() -> Registry {
    const FIELDS: &[(&str, FieldType)] = &[("title", FieldType::Text), ("tags", FieldType::List)];
    const OUTPUTS: &[Output] = &[Output {
        name: "clicked",
        kind: FieldType::Bool,
        description: "Whether it was clicked.",
    }];
    Registry::new()
        .step(StepType {
            name: "act",
            effect: Effect::Pure,
            timeout: Duration::from_secs(1),
            windowed: false,
            limits: &[],
            outputs: OUTPUTS,
            example: "",
            schema: || schemars::schema_for!(Keys),
            parse: Arc::new(|keys| match serde_json::from_value::<Keys>(keys) {
                Ok(step) => Ok(Arc::new(step)),
                Err(error) => Err(error.to_string()),
            }),
        })
        .subject(Subject {
            name: "contact",
            fields: FIELDS,
            load: Arc::new(|_, _| Box::pin(async { Ok(None) })),
        })
        .signal("email.replied")
        .limit("mailbox")
}

/// A piece as often as it fits into a document, between what stands before and behind; `#` is its number.
fn filled(before: &str, piece: &str, behind: &str) -> String {
    let mut text = before.to_owned();
    for number in 0_usize.. {
        let piece = piece.replace('#', &number.to_string());
        if text.len() + piece.len() + behind.len() > SOURCE_BYTES {
            break;
        }
        text.push_str(&piece);
    }
    text + behind
}

/// The work of reading a document and of drawing what is wrong with it.
fn work_of(source: &str, format: Format) -> u64 {
    let _before = work::take();
    if let Err(refusals) = read("hostile", source, format, &registry()) {
        let drawn = refusals.render(false);
        assert!(drawn.contains("problem"), "{drawn}");
    }
    work::take()
}

const HEAD: &str = "name = \"a\"\nsubject = \"contact\"\n";

fn step(keys: &str) -> String {
    format!("{HEAD}[[steps]]\nid = \"s\"\ntype = \"act\"\n{keys}")
}

#[test]
fn no_document_full_of_one_thing_takes_more_work_than_the_bound() {
    let condition = vec!["contact.titel == 'x'"; 60].join(" || ");
    let conditions: String = (0..200)
        .map(|n| {
            format!("[[steps]]\nid = \"s{n}\"\ntype = \"act\"\nwhen = \"{}\"\n", &condition[..1180])
        })
        .collect();
    let wide = format!("{HEAD}[[steps]]\nid = \"s\"\ntype = \"act\"\nthen = \"");
    let documents = [
        filled(HEAD, "k# = 1\n", ""),
        filled(HEAD, "stpes# = 1\n", ""),
        filled(HEAD, "[x.y#]\n", ""),
        filled(&format!("{HEAD}[timing]\nzone = ["), "\"Europe/Viena#\",", "]\n"),
        filled(
            &format!("{HEAD}[timing.window]\nfrom = \"08:00\"\nto = \"9:00\"\ndays = ["),
            "\"munday\",",
            "]\n",
        ),
        filled(
            &format!("{HEAD}[timing.window]\nfrom = \"08:00\"\nto = \"09:00\"\nholidays = ["),
            "\"UX#\",",
            "]\n",
        ),
        filled(&format!("{HEAD}[exit]\non = ["), "\"email.repled\",", "]\n"),
        filled(HEAD, "[[steps]]\nid = \"s\"\ntype = \"act\"\n", ""),
        filled(HEAD, "[[steps]]\n", ""),
        filled(&step(""), "kye# = 1\n", ""),
        filled(&step("limits = ["), "\"mailbx\",", "]\n"),
        filled(&step("parts = ["), "{ too = 1 },", "]\n"),
        filled(&step("parts = ["), "{ to = \"s#\", mood = \"gald\" },", "]\n"),
        filled(&step("parts = ["), "{ to = \"nowhere\" },", "]\n"),
        filled(HEAD, "[templates.t#]\ntxt = \"x\"\n", ""),
        filled(&format!("{HEAD}title = \""), "x", "\"\n"),
        filled(HEAD, "x", " = 1\n"),
        filled(&wide, "x", "\"\n"),
        filled(&format!("{HEAD}[timing]\nzone = \""), "x", "\"\n"),
        filled(&step("when = \""), "x", "\"\n"),
        filled(&step("x = "), "[", ""),
        filled(&step("x = "), "{a=", ""),
        filled(HEAD, "[[a]]\n", ""),
        filled("", "\n", "name = "),
        filled("", "\"", ""),
        filled("", "é", ""),
        format!("{HEAD}{conditions}"),
    ];
    for document in documents {
        let start: String = document.chars().take(120).collect();
        let work = work_of(&document, Format::Toml);
        assert!(work < BOUND, "{work} steps of work for {} bytes: {start}", document.len());
    }
}

#[test]
fn nor_does_one_of_json() {
    let documents = [
        filled("{\"name\":\"a\"", ",\"k#\":1", "}"),
        filled("{\"steps\":[", "{},", "{}]}"),
        filled("{\"exit\":{\"on\":[", "\"email.repled\",", "1]}}"),
        filled("{\"timing\":{\"zone\":[", "\"Europe/Viena#\",", "1]}}"),
        filled("", "[", ""),
        filled("{\"a\":\"", "\\u0000", "\"}"),
        filled("", "{\"a\":", ""),
    ];
    for document in documents {
        let start: String = document.chars().take(120).collect();
        let work = work_of(&document, Format::Json);
        assert!(work < BOUND, "{work} steps of work for {} bytes: {start}", document.len());
    }
}

proptest! {
    // Each is as long as a document may be.
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn what_is_made_of_any_pieces_stays_below_the_bound(
        pieces in prop::collection::vec("[a-z\\[\\]{}\"'=.# \n]{1,12}", 1..40),
    ) {
        let document = filled(HEAD, &pieces.concat(), "");
        let work = work_of(&document, Format::Toml);
        prop_assert!(work < BOUND, "{} steps of work: {:?}", work, pieces);
    }
}
