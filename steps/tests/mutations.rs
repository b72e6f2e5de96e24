//! Documents that were torn, patched and stirred: whatever comes of them is read or refused, and what is read
//! says the same after it was stored.

use std::path::Path;
use std::sync::LazyLock;

use engine::definition::{Definition, Format, Refusals, from_document, read};
use engine::step::Registry;
use proptest::prelude::*;
use tokio::runtime::Runtime;

use crate::support;

/// The step types want a runtime about them, for a database that is never asked.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let _inside = RUNTIME.enter();
    steps::registry(&support::services_without_database())
});
/// What is torn: the workflows that ship, and what people got wrong.
static SOURCES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["../workflows", "tests/definitions/broken", "../engine/tests/definitions/broken"]
    {
        let entries = std::fs::read_dir(here.join(folder)).unwrap();
        files.extend(entries.map(|entry| entry.unwrap().path()));
    }
    files.retain(|file| file.extension().is_some_and(|ending| ending == "toml"));
    files.sort();
    files.into_iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
});

/// Pieces that change what a document means.
const PIECES: [&str; 32] = [
    "\n[[steps]]\n",
    "\nid = \"a\"\n",
    "\nnext = \"intro\"\n",
    "type = \"wait\"\n",
    "when = \"true\"\n",
    "for = \"3 days\"\n",
    "\n[timing]\n",
    "\n[exit]\n",
    "{{ contact.first_name }}",
    "{% if 1 %}",
    "\"\"\"",
    "\"",
    "'",
    "[",
    "]",
    "{",
    "}",
    "=",
    "#",
    "\n",
    "\\",
    "\u{0}",
    "\u{feff}",
    "é",
    "1e999",
    "-1",
    "0x7f",
    "99999999999999999999",
    "2027-01-31",
    "nan",
    "steps.intro.clicked && ",
    "contact.custom.a + ",
];

/// One change of a document; places are shares of its length.
#[derive(Debug, Clone)]
enum Change {
    Cut { from: f64, length: usize },
    Repeat { from: f64, length: usize, to: f64 },
    Insert { piece: usize, to: f64 },
    Letter { letter: char, to: f64 },
}

fn change() -> impl Strategy<Value = Change> {
    let share = || 0.0..1.0_f64;
    prop_oneof![
        (share(), 1..80_usize).prop_map(|(from, length)| Change::Cut { from, length }),
        (share(), 1..400_usize, share()).prop_map(|(from, length, to)| Change::Repeat {
            from,
            length,
            to
        }),
        (0..PIECES.len(), share()).prop_map(|(piece, to)| Change::Insert { piece, to }),
        (any::<char>(), share()).prop_map(|(letter, to)| Change::Letter { letter, to }),
    ]
}

/// The nearest place before a share of a text where a letter begins.
fn at(text: &str, share: f64) -> usize {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length is a length"
    )]
    let place = (text.len() as f64 * share) as usize;
    (0..=place).rev().find(|&place| text.is_char_boundary(place)).unwrap_or(0)
}

fn end(text: &str, from: usize, length: usize) -> usize {
    let wanted = (from + length).min(text.len());
    (wanted..=text.len()).find(|&place| text.is_char_boundary(place)).unwrap_or(text.len())
}

fn apply(text: &mut String, change: &Change) {
    match change {
        Change::Cut { from, length } => {
            let from = at(text, *from);
            let end = end(text, from, *length);
            text.replace_range(from..end, "");
        }
        Change::Repeat { from, length, to } => {
            let from = at(text, *from);
            let piece = text[from..end(text, from, *length)].to_owned();
            text.insert_str(at(text, *to), &piece);
        }
        Change::Insert { piece, to } => text.insert_str(at(text, *to), PIECES[*piece]),
        Change::Letter { letter, to } => text.insert(at(text, *to), *letter),
    }
}

/// Reads a document; what is refused is drawn, what is read says the same once it was stored.
fn look(source: &str, format: Format) -> Result<Definition, Refusals> {
    let read = read("mutated", source, format, &REGISTRY);
    match &read {
        Ok(definition) => {
            let again = from_document(definition.canonical(), &REGISTRY)
                .unwrap_or_else(|refusals| panic!("it was read before: {refusals}"));
            assert_eq!(again.content_hash(), definition.content_hash());
        }
        Err(refusals) => {
            assert!(!refusals.problems.is_empty() && refusals.problems.len() <= 100);
            let drawn = refusals.render(true);
            assert!(drawn.contains("problem"), "{drawn}");
        }
    }
    read
}

proptest! {
    #[test]
    fn whatever_comes_of_a_document_is_read_or_refused(
        source in 0..1_000_usize,
        changes in prop::collection::vec(change(), 0..6),
    ) {
        let mut text = SOURCES[source % SOURCES.len()].clone();
        changes.iter().for_each(|change| apply(&mut text, change));
        if let Ok(definition) = look(&text, Format::Toml) {
            let json = definition.canonical().to_string();
            let same = look(&json, Format::Json).map(|same| same.content_hash());
            assert_eq!(same.ok(), Some(definition.content_hash()));
            let mut torn = json;
            changes.iter().for_each(|change| apply(&mut torn, change));
            let _looked = look(&torn, Format::Json);
        }
    }
}
