//! Starting: the data plane, the control thread, the first round of probes.
//!
//! Owns the order in which the parts are made and tied together. The binary calls it once; the end is `lifecycle`'s.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use engine::listen::Group;
use engine::{Engine, Report, Reports};
use policy::plan::{LogWrite, Plan};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{Receiver, channel};

use crate::access_log::{AccessLog, Closed};
use crate::adaptive::Caps;
use crate::backends::Backends;
use crate::clock::{Clock, dice};
use crate::descriptors;
use crate::failures::Ring;
use crate::names::{LOOKUPS_AT_ONCE, follow};
use crate::passive::Passive;
use crate::probe::post::{Desk, PROBES_AT_ONCE, announce_weights, unchecked};
use crate::probe::roster::Roster;
use crate::reports::{Clerk, QUEUE};
use crate::shortage::{self, Watch};
use crate::status::{Handle, ProcessRecord};

/// What the access log's target gets at the end to take what is queued.
const LOG_PATIENCE: Duration = Duration::from_secs(2);

/// The running process behind the front door. Dropping it leaves everything running; see
/// [`Control::run_until_stopped`].
#[derive(Debug)]
pub struct Control {
    pub(crate) handle: Handle,
    pub(crate) engine: Arc<Mutex<Option<Engine>>>,
    /// Keeps the reports' channel open until the data plane has ended.
    pub(crate) reports: Reports,
    pub(crate) thread: JoinHandle<()>,
}

impl Control {
    /// Starts the workers on the groups that were bound for them, and one thread that keeps them on the plan. Raises
    /// the limit of open files first, and warns if the plan does not fit under it.
    ///
    /// # Errors
    /// The access log cannot be opened, or a thread or runtime cannot be made.
    pub fn start(plan: Arc<Plan>, groups: Vec<Group>, workers: usize) -> io::Result<Self> {
        let clock = Clock::start();
        let descriptors = descriptors::raise(&plan);
        if let Some(shortfall) = descriptors.shortfall() {
            tracing::warn!("{shortfall}");
        }
        let log = match plan.access_log.write {
            LogWrite::Off => None,
            LogWrite::Errors | LogWrite::Sampled | LogWrite::All => Some(AccessLog::open(&plan.access_log.to)?),
        };
        let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(LOOKUPS_AT_ONCE).build()?;
        let addresses = groups.iter().map(|group| (group.listener, group.address.clone())).collect();
        let (reports, taken) = channel(QUEUE);
        let engine = Engine::start(Arc::clone(&plan), groups, workers, reports.clone())?;
        let shared = Arc::clone(engine.shared());
        shared.connection_limit.store(descriptors.connections(plan.limits.connections), Ordering::Relaxed);
        let engine = Arc::new(Mutex::new(Some(engine)));
        let record = ProcessRecord {
            engine: Arc::clone(&engine),
            blocks: Mutex::default(),
            backends: Arc::new(Backends::new(Arc::clone(&plan), Arc::clone(&shared))),
            failures: Mutex::new(Ring::default()),
            losses: log.as_ref().map(|log| Arc::clone(log.losses())),
            shortage: Arc::default(),
            plan,
            shared,
            addresses,
            clock,
        };
        let handle = Handle { record: Arc::new(record) };
        let limit = shortage::for_connections(descriptors.allowed);
        let watch = handle.watch(limit);
        let plane = Plane { handle: handle.clone(), engine: Arc::clone(&engine), log, reports: taken, watch };
        let thread = plane.spawn(runtime)?;
        handle.tell_addresses();
        Ok(Self { handle, engine, reports, thread })
    }

    /// The way to ask.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Handle {
    fn watch(&self, descriptors: Option<u64>) -> Watch {
        let record = &self.record;
        Watch::new(&record.plan, Arc::clone(&record.shared), Arc::clone(&record.shortage), descriptors)
    }

    fn tell_addresses(&self) {
        for (name, address) in self.addresses() {
            tracing::info!(listener = name, "listening on {address}");
        }
    }
}

/// The control thread before it runs.
struct Plane {
    handle: Handle,
    engine: Arc<Mutex<Option<Engine>>>,
    log: Option<AccessLog>,
    reports: Receiver<Report>,
    watch: Watch,
}

impl Plane {
    fn spawn(self, runtime: Runtime) -> io::Result<JoinHandle<()>> {
        let mut roster = Roster::new(&self.handle.record.plan);
        let desk = self.desk();
        for seat in roster.unwatched.drain(..) {
            desk.judge(seat, &unchecked());
            desk.stands(seat, unchecked().standing);
        }
        desk.backends.expect_first_looks(roster.posts.len());
        std::thread::Builder::new().name("control".to_owned()).spawn(move || self.run(&runtime, roster, &desk))
    }

    fn desk(&self) -> Arc<Desk> {
        let record = &self.handle.record;
        Arc::new(Desk {
            backends: Arc::clone(&record.backends),
            engine: Arc::clone(&self.engine),
            shared: Arc::clone(&record.shared),
            turns: Semaphore::new(PROBES_AT_ONCE),
            untried_told_ms: AtomicU64::new(0),
            passive: Passive::new(&record.plan, record.clock),
        })
    }

    fn run(self, runtime: &Runtime, roster: Roster, desk: &Arc<Desk>) {
        let lookups = Arc::new(Semaphore::new(LOOKUPS_AT_ONCE));
        let record = &self.handle.record;
        let caps = Caps::new(&record.plan, Arc::clone(&record.shared), record.clock);
        let clerk = Clerk::new(self.handle, roster.bells, self.log, Arc::clone(desk));
        let log = runtime.block_on(async {
            for (n, (name, answers)) in roster.names.into_iter().enumerate() {
                tokio::spawn(follow(name, answers, Arc::clone(&lookups), dice(n)));
            }
            tokio::spawn(announce_weights(Arc::clone(desk)));
            tokio::spawn(self.watch.keep());
            tokio::spawn(caps.keep());
            for round in roster.agents {
                tokio::spawn(round.keep(Arc::clone(desk)));
            }
            for post in roster.posts {
                tokio::spawn(post.keep(Arc::clone(desk)));
            }
            clerk.serve(self.reports).await
        });
        if let Some(log) = log
            && log.close(LOG_PATIENCE) == Closed::Cut
        {
            tracing::warn!("the access log's last lines were not taken in time");
        }
    }
}

#[cfg(test)]
mod tests;
