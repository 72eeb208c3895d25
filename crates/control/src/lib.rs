//! The control plane: keeps the workers on the plan.
//!
//! Owns the life of the process's data plane: start, probes, name resolution, the record of every backend's state, the
//! access log's writer, signals, the end. Decides nothing about health (`policy::health` does) and serialises nothing
//! (`admin` does). Runs on one thread of its own beside the workers; the binary drives it in this order:
//!
//! 1. load the configuration: a `policy::plan::Plan`;
//! 2. [`Signals::listen`]: from here on a signal stops it in order;
//! 3. `engine::listen::bind_all(&plan, workers)`: a taken port is an error before anything runs;
//! 4. `admin::bind(&plan.admin)`: the same for the admin addresses;
//! 5. [`Control::start`]: workers accept, the first round of probes begins;
//! 6. `admin::serve(bound, control.handle(), …)`;
//! 7. [`Control::run_until_stopped`], in any tokio runtime with I/O and time: returns when the process may exit.

mod access_log;
mod adaptive;
mod backends;
mod blocks;
mod certificates;
mod clock;
mod descriptors;
mod evidence;
mod failures;
mod lifecycle;
mod names;
mod passive;
mod probe;
mod reports;
#[cfg(test)]
#[path = "tests/samples.rs"]
mod samples;
mod shortage;
mod start;
mod status;

pub use backends::{Event, State};
pub use blocks::{BlockOrder, BlockStatus, BlocksFull};
pub use certificates::{CertificateStatus, TlsStatus};
pub use descriptors::{Descriptors, descriptors_wanted};
pub use engine::{CircuitFigures, QueueFigures};
pub use lifecycle::{End, GRACE, Signals};
pub use policy::breaker::Position;
pub use shortage::OverloadStatus;
pub use start::Control;
pub use status::{BackendStatus, Handle, ListenerStatus, PoolStatus, ProcessState, ProcessStatus, RouteStatus, Status};
