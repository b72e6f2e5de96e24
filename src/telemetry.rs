//! What a process tells of itself: lines on standard error, as RUST_LOG asks for.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

/// Begins to tell; warnings only where RUST_LOG says nothing. Colours are for terminals alone.
pub(crate) fn start() {
    // A pool that is busy for a while is no news; one that gives up is an error of whoever asked it.
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,sqlx::pool=error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(stderr().is_terminal())
        .with_writer(stderr)
        .init();
}
