//! What the data plane tells the control plane.
//!
//! Owns the closed list of events, and nothing of what follows from them: workers send, `control` decides.

use policy::outlier::Trial;
use policy::plan::PoolId;

/// An event for `control`. Sent without waiting: when the channel is full it is dropped and counted.
#[derive(Debug)]
pub enum Report {
    /// No connection to a backend could be made; it deserves a probe at once.
    ConnectFailed {
        /// The pool.
        pool: PoolId,
        /// Index of the backend in the pool.
        backend: usize,
    },
    /// A backend has failed so often in a row, over all workers, that it may have to be ejected.
    Failing {
        /// The pool.
        pool: PoolId,
        /// Index of the backend in the pool.
        backend: usize,
    },
    /// News of a request that tries an ejected backend.
    Trial {
        /// The pool.
        pool: PoolId,
        /// Index of the backend in the pool.
        backend: usize,
        /// How it goes.
        trial: Trial,
    },
    /// The circuit of a pool opened, closed, or opened again.
    Circuit {
        /// The pool.
        pool: PoolId,
    },
    /// An exchange failed or was answered by us with an error: its access log line (one JSON object) for the ring of
    /// `evenkeel errors`.
    Failure(String),
    /// Whole access log lines, each ended by a line feed, to be written where the plan says.
    LogLines(Vec<u8>),
}

/// The way to `control`; bounded.
pub type Reports = tokio::sync::mpsc::Sender<Report>;
