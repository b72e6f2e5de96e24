//! Any text as a condition.
#![no_main]

libfuzzer_sys::fuzz_target!(|source: &str| fuzz::condition(source));
