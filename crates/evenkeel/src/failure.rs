//! How a command ends: the exit status of the contract, and what is said for it.

use std::fmt;
use std::io;
use std::process::ExitCode;

use crate::output;

/// Exit status of a wrong use.
pub(crate) const USAGE: u8 = 2;
/// Exit status of failing or refusing.
const FAILED: u8 = 1;
/// Exit status when no process is reached.
const UNREACHABLE: u8 = 3;

/// What a command comes to.
pub(crate) type Done = Result<(), Failure>;

/// Why a command is not done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It failed or is refused: what happened, and what to do about it.
    Refused(Complaint),
    /// All has been said already.
    Said,
    /// Used wrongly; all has been said already.
    Usage,
    /// No process is reached.
    Unreachable(Complaint),
    /// Its output cannot be written.
    Output(io::Error),
}

/// What happened and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    pub(crate) message: String,
    /// Empty when there is nothing to say.
    pub(crate) remedy: String,
}

impl Complaint {
    pub(crate) fn new(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { message: message.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "\n  = {}", self.remedy) }
    }
}

impl Failure {
    pub(crate) fn refused(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Refused(Complaint::new(message, remedy))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Says what is left to be said and gives the exit status.
pub(crate) fn exit(done: Done) -> ExitCode {
    let Err(failure) = done else { return ExitCode::SUCCESS };
    match failure {
        Failure::Said => ExitCode::from(FAILED),
        Failure::Usage => ExitCode::from(USAGE),
        // The reader has seen enough (`evenkeel status | head`).
        Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Failure::Output(error) => {
            output::complain(&format!("error: cannot write the output: {error}"));
            ExitCode::from(FAILED)
        }
        Failure::Refused(complaint) => {
            output::complain(&complaint.to_string());
            ExitCode::from(FAILED)
        }
        Failure::Unreachable(complaint) => {
            output::complain(&complaint.to_string());
            ExitCode::from(UNREACHABLE)
        }
    }
}
