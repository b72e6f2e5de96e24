//! What a process tells of itself: lines on standard error, as RUST_LOG asks for.

use anyhow::{Result, anyhow};
use tracing_subscriber::EnvFilter;

/// Begins to tell what the filter lets through.
pub(crate) fn start(filter: &str) -> Result<()> {
    let told = EnvFilter::try_new(filter).map_err(|error| {
        anyhow!("RUST_LOG is `{filter}`: {error}; write such as `info,engine=debug`")
    })?;
    tracing_subscriber::fmt().with_env_filter(told).with_writer(std::io::stderr).init();
    Ok(())
}
