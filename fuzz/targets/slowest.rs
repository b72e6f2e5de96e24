//! What of the corpus takes longest, of each target: the least of three times in a build with optimisation, as no
//! instrumented one can tell. Fails where anything under 256 KiB takes over 100 ms.

#![expect(clippy::disallowed_macros, reason = "the ban is about the commands of the product")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The most that a document may take.
const MOST: Duration = Duration::from_millis(100);
/// The largest document.
const LARGEST: usize = 256 * 1024;

fn main() -> ExitCode {
    let corpus = std::env::args().nth(1).unwrap_or_else(|| "fuzz/corpus".into());
    let mut is_slow = false;
    for (name, look) in fuzz::LOOKS {
        let mut slowest = (Duration::ZERO, String::new());
        let mut files = 0;
        for file in std::fs::read_dir(format!("{corpus}/{name}")).into_iter().flatten().flatten() {
            let Ok(text) = std::fs::read_to_string(file.path()) else { continue };
            if text.len() > LARGEST {
                continue;
            }
            files += 1;
            let time = || {
                let began = Instant::now();
                look(&text);
                began.elapsed()
            };
            let took = (0..3).map(|_| time()).min().unwrap_or_default();
            if took > slowest.0 {
                slowest = (took, file.path().display().to_string());
            }
        }
        println!("{name}: {files} inputs, the slowest {:?} {}", slowest.0, slowest.1);
        is_slow |= slowest.0 > MOST;
    }
    if is_slow { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
