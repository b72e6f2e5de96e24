//! Any text as a condition: checked with a document, and decided over a contact.
#![no_main]

use engine::definition::Expression;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|source: &str| {
    let _checked = fuzz::with_step(&json!({ "when": source }));
    if let Ok(condition) = Expression::parse(source) {
        let _decided = condition.evaluate(&json!({ "contact": fuzz::contact(), "steps": {} }));
    }
});
