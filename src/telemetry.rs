//! What a process tells of itself: lines on standard error, as RUST_LOG asks for.

use tracing_subscriber::EnvFilter;

/// Begins to tell; warnings only where RUST_LOG says nothing.
pub(crate) fn start() {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,sqlx_core::pool=error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
