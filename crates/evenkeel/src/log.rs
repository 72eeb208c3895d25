//! The log: one line an event, to standard error.

use std::io::{self, IsTerminal};

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;
use crate::output;

/// Logging, until dropped: then what is queued is written, if that takes no longer than a second.
#[must_use]
pub(crate) struct Logging {
    _writing: WorkerGuard,
}

/// Starts logging what `level` lets through.
///
/// # Errors
/// The level is not one.
pub(crate) fn start(level: &str) -> Result<Logging, Failure> {
    let filter = EnvFilter::try_new(level).map_err(|error| {
        output::complain(&format!(
            "error: `{level}` is not a log level: {error}\n  = use error, warn, info or debug (--log, EVENKEEL_LOG)"
        ));
        Failure::Usage
    })?;
    // A reader of standard error that has got stuck costs lines, never a probe or a stop.
    let (writer, writing) = NonBlockingBuilder::default().lossy(true).thread_name("log").finish(io::stderr());
    tracing_subscriber::fmt()
        .compact()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        // Standard error may be closed; to complain about it there would end the process.
        .log_internal_errors(false)
        .init();
    Ok(Logging { _writing: writing })
}
