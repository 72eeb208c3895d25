//! Starting the balancer from a plan and keeping it until it is stopped.

use std::io;
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;

use control::{Control, End, GRACE, Handle, Signals};
use policy::plan::Plan;
use tokio::runtime::{Builder, Runtime};

use crate::failure::{Done, Failure};

/// The admin socket of a process whose configuration does not name another.
pub(crate) const DEFAULT_SOCKET: &str = "/run/evenkeel/admin.sock";

/// A running balancer.
pub(crate) struct Process {
    /// Where signals are waited for.
    runtime: Runtime,
    signals: Signals,
    control: Control,
    /// Serves until it is dropped.
    _admin: admin::Server,
}

impl Process {
    /// Starts it: first everything that can be taken by somebody else is bound, so that an error leaves nothing behind.
    ///
    /// # Errors
    /// An address is taken or not allowed, or the system refuses threads or files.
    pub(crate) fn start(plan: Plan) -> Result<Self, Failure> {
        let plan = Arc::new(plan);
        let runtime = runtime()?;
        let signals = runtime.block_on(async { Signals::listen() }).map_err(|error| cannot_start(&error))?;
        let workers = workers(&plan);
        let groups = engine::listen::bind_all(&plan, workers)
            .map_err(|error| Failure::refused(error.to_string(), error.remedy()))?;
        make_socket_folder(&plan);
        let bound = admin::bind(&plan.admin).map_err(|error| Failure::refused(error.to_string(), error.remedy()))?;
        let control = Control::start(plan, groups, workers).map_err(|error| cannot_start(&error))?;
        let admin = bound.serve(control.handle()).map_err(|error| cannot_start(&error))?;
        Ok(Self { runtime, signals, control, _admin: admin })
    }

    /// The way to ask it.
    pub(crate) fn handle(&self) -> Handle {
        self.control.handle()
    }

    /// Runs it until a signal stops it. The admin interface answers to the end.
    ///
    /// # Errors
    /// Running exchanges had to be cut.
    pub(crate) fn run_until_stopped(self) -> Done {
        let end = self.runtime.block_on(self.control.run_until_stopped(self.signals, GRACE));
        // Whatever still waits in it must not hold up the end.
        self.runtime.shutdown_background();
        match end {
            End::Finished => Ok(()),
            // The log has told what was cut.
            End::Cut | End::Overdue => Err(Failure::Said),
        }
    }
}

/// Makes the folder of the default socket, which no package has made when the binary was simply copied. Only root may,
/// and only there; the admin interface tells when the socket cannot be made.
fn make_socket_folder(plan: &Plan) {
    let default = Path::new(DEFAULT_SOCKET);
    if plan.admin.socket.as_deref() == Some(default) {
        let _ = default.parent().map(std::fs::create_dir);
    }
}

fn workers(plan: &Plan) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
    if plan.workers == 0 { cores() } else { plan.workers }
}

/// A runtime on the caller's thread.
///
/// # Errors
/// The system refuses what it needs.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    Builder::new_current_thread().enable_all().build().map_err(|error| cannot_start(&error))
}

/// Something that the system refused at the start.
pub(crate) fn cannot_start(error: &io::Error) -> Failure {
    Failure::refused(format!("cannot start: {error}"), "")
}
