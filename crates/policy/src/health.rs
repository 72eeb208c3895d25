//! Health: the state machine of one backend under active checks.

use crate::balance::Standing;

/// Why a probe failed; shown to people as the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeFailure {
    /// The name does not resolve.
    Resolve(String),
    /// The connection was refused or failed.
    Connect(String),
    /// No answer in time.
    Timeout,
    /// A bad status.
    Status(u16),
    /// Bytes that are not HTTP, or an early end.
    Malformed(String),
}

impl std::fmt::Display for ProbeFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Resolve(why) => write!(f, "name does not resolve: {why}"),
            Self::Connect(why) => write!(f, "cannot connect: {why}"),
            Self::Timeout => write!(f, "no answer in time"),
            Self::Status(code) => write!(f, "status {code}"),
            Self::Malformed(why) => write!(f, "bad answer: {why}"),
        }
    }
}

/// Fall and rise (to be completed).
#[derive(Clone, Debug)]
pub struct Health {
    /// Standing.
    pub standing: Standing,
}
