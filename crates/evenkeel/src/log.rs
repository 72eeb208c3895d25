//! The log: one line an event, to standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::failure::Failure;
use crate::output;

/// Starts logging what `level` lets through.
///
/// # Errors
/// The level is not one.
pub(crate) fn start(level: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(level).map_err(|error| {
        output::complain(&format!(
            "error: `{level}` is not a log level: {error}\n  = use error, warn, info or debug (--log, EVENKEEL_LOG)"
        ));
        Failure::Usage
    })?;
    tracing_subscriber::fmt()
        .compact()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        // Standard error may be closed; to complain about it there would end the process.
        .log_internal_errors(false)
        .init();
    Ok(())
}
