//! Any text as a JSON document.
#![no_main]

use engine::definition::Format;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|source: &str| fuzz::look(source, Format::Json));
