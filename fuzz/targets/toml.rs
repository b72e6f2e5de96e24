//! Any text as a TOML document.
#![no_main]

use engine::definition::Format;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|source: &str| fuzz::look(source, Format::Toml));
