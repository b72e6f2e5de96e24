//! Any text as a template: checked with a document, and filled in.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|source: &str| {
    if let Some(definition) = fuzz::with_step(&json!({ "title": source })) {
        let _filled = fuzz::run(definition);
    }
});
