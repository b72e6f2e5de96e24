//! What the engine promises, through every fault that the suite can play on a machine of its own: `make
//! chaos`, or two minutes of it among all tests. Workers are processes of their own, which this program starts
//! of itself.
//!
//! `SALESOS_CHAOS_SECONDS` (120) is how long faults are played; `SALESOS_CHAOS_SEED` plays those of another
//! run again; with `SALESOS_CHAOS_HOLD` Postgres stays up after a failure, to be looked at.

#![expect(clippy::unwrap_used, reason = "it is a test, though it brings a harness of its own")]
#![expect(clippy::disallowed_macros, reason = "it says what it plays to whoever runs it")]

mod cluster;
mod crew;
mod dice;
mod disk;
mod faults;
mod invariants;
mod load;
mod outside;
mod place;
mod proxy;
mod steps;
mod suite;
mod tell;
mod verify;
mod worker;

use std::process::ExitCode;
use std::time::Duration;

const NAME: &str = "what_was_promised_holds_through_every_fault";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, orders] = arguments.as_slice()
        && word == "worker"
    {
        let orders = serde_json::from_str(orders).expect("the suite's own orders");
        runtime().block_on(worker::work(orders));
        return ExitCode::SUCCESS;
    }
    if arguments.iter().any(|argument| argument == "--list") {
        println!("{NAME}: test");
        return ExitCode::SUCCESS;
    }
    if !wanted(&arguments) {
        println!("\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out\n");
        return ExitCode::SUCCESS;
    }
    let number = |name| setting(name).and_then(|text| text.parse::<u64>().ok());
    let seed = number("SALESOS_CHAOS_SEED").unwrap_or_else(|| {
        // The last digits of a fresh id are as good as drawn, and short enough to be typed.
        engine::clock::new_id().as_u128() as u64 % 1_000_000
    });
    let length = Duration::from_secs(number("SALESOS_CHAOS_SECONDS").unwrap_or(120));
    println!("\nrunning 1 test\nchaos for {} s, SALESOS_CHAOS_SEED={seed}", length.as_secs());
    let broken = runtime().block_on(suite::run(seed, length));
    let (word, passed) = if broken == 0 { ("ok", 1) } else { ("FAILED", 0) };
    println!("test {NAME} ... {word}\n");
    println!(
        "test result: {word}. {passed} passed; {} failed; 0 ignored; 0 measured; 0 filtered out\n",
        1 - passed
    );
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

/// Whether the filters among the arguments of a test program, if there are any, name this test.
fn wanted(arguments: &[String]) -> bool {
    let filters: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    filters.is_empty() || filters.iter().any(|filter| NAME.contains(filter.as_str()))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "they are settings of this suite alone")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}
