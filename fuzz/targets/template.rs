//! Any text as a template.
#![no_main]

libfuzzer_sys::fuzz_target!(|source: &str| fuzz::template(source));
