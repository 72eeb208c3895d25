//! Printing that survives a closed pipe: the only place that writes to standard output and error.

use std::io::{self, IsTerminal, Write};

use config::Paint;

/// Prints a text and a line end to standard output.
///
/// # Errors
/// It cannot be written; a broken pipe is one of the reasons.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Prints a line to standard error.
pub(crate) fn complain(text: &str) {
    // When nobody listens there either, the exit status is all that is left.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether diagnostics on standard error may have colours (the NO_COLOR convention).
pub(crate) fn error_paint() -> Paint {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if io::stderr().is_terminal() && !refused { Paint::Colours } else { Paint::Plain }
}
