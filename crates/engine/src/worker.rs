//! Workers: a thread with a runtime for each core, and the handle that `control` holds.
//!
//! Owns what all connections of a worker share, the commands that reach it, and its end.

use std::cell::{Cell, RefCell};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use policy::balance::Standing;
use policy::plan::{ClientTimeouts, Plan, PoolId};
use policy::rng::Rng;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use wire::h1::Limits;
use wire::head::{Answer, Request};

use crate::accept::{self, Accepted};
use crate::backends::WorkerPool;
use crate::buffers::Buffers;
use crate::counters::WorkerCounters;
use crate::gate::{self, Gate};
use crate::listen::{Group, Sockets};
use crate::report::{Report, Reports};
use crate::seam::Peer;
use crate::shared::Shared;
use crate::timers::Timers;

/// Bytes of a bulk buffer: an answer of 64 KiB fits with its head, and is then one read.
const BULK_BYTES: usize = 72 * 1024;
/// Smallest buffer for request heads: an upload of 16 KiB fits with its head.
const HEAD_BYTES: usize = 36 * 1024;
/// Bytes of log lines that are gathered before they go to the log's thread.
const LOG_BATCH_BYTES: usize = 32 * 1024;
/// How often idle connections are looked at and gathered log lines sent.
const HOUSEKEEPING: Duration = Duration::from_millis(500);

/// At most one complaint about accepting in so many milliseconds.
const COMPLAINT_MS: u64 = 10_000;

/// What the control plane and other workers ask of a worker.
#[derive(Debug)]
pub(crate) enum Command {
    /// A backend's standing changed.
    BackendChanged { pool: PoolId, backend: usize },
    /// Another worker has too many connections: serve this one.
    Take(Accepted),
    /// Another worker seeks a connection to a backend: let it have one that is idle.
    FindIdle { pool: PoolId, backend: usize },
    /// Take no new connections, end idle ones, finish what runs within this time.
    Finish { grace: Duration },
}

/// The running data plane.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    commands: Vec<UnboundedSender<Command>>,
    threads: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Starts one thread for each worker; the number of workers is that for which `groups` was bound.
    ///
    /// # Errors
    /// A thread or runtime could not be made.
    pub fn start(plan: Arc<Plan>, groups: Vec<Group>, workers: usize, reports: Reports) -> io::Result<Self> {
        let shared = Shared::new(&plan, workers);
        let (commands, inboxes): (Vec<_>, Vec<_>) = (0..workers).map(|_| unbounded_channel()).unzip();
        let mut threads = Vec::new();
        for (id, (commands_in, doors)) in inboxes.into_iter().zip(doors(groups, workers)).enumerate() {
            let seed = Seed {
                id,
                plan: Arc::clone(&plan),
                shared: Arc::clone(&shared),
                peers: commands.clone(),
                reports: reports.clone(),
            };
            let thread = std::thread::Builder::new().name(format!("worker-{id}"));
            threads.push(thread.spawn(move || seed.run(commands_in, doors))?);
        }
        Ok(Self { shared, commands, threads })
    }

    /// The state shared with the workers: standings to write, counters to read.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Tells the workers that a backend's standing changed (after [`crate::PoolShared::set_standing`]): exchanges
    /// that wait for the first byte of a backend that went out are tried elsewhere at once, its idle connections close.
    pub fn backend_changed(&self, pool: PoolId, backend: usize) {
        self.tell(|| Command::BackendChanged { pool, backend });
    }

    /// Stops accepting (what the kernel has queued is still served), ends idle connections and lets running exchanges
    /// finish; what still runs after `grace` is cut.
    pub fn finish(&self, grace: Duration) {
        self.shared.stopping.store(true, Ordering::Release);
        self.tell(|| Command::Finish { grace });
    }

    /// Waits until all workers have ended (after [`Engine::finish`]).
    pub fn join(self) {
        for thread in self.threads {
            // A worker that panicked has said so on standard error.
            let _ = thread.join();
        }
    }

    fn tell(&self, command: impl Fn() -> Command) {
        for worker in &self.commands {
            // A worker that has ended needs to hear nothing.
            let _ = worker.send(command());
        }
    }
}

/// The sockets of each worker.
fn doors(groups: Vec<Group>, workers: usize) -> Vec<Vec<accept::Door>> {
    let mut doors: Vec<Vec<accept::Door>> = (0..workers).map(|_| Vec::new()).collect();
    for group in groups {
        let listener = group.listener;
        match group.sockets {
            Sockets::Tcp(sockets) => {
                for (doors, socket) in doors.iter_mut().zip(sockets) {
                    doors.push(accept::Door::Tcp(listener, socket));
                }
            }
            Sockets::Unix(sockets) => {
                for (doors, socket) in doors.iter_mut().zip(sockets) {
                    doors.push(accept::Door::Unix(listener, socket));
                }
            }
        }
    }
    doors
}

/// What a worker's thread begins with.
pub(crate) struct Seed {
    pub(crate) id: usize,
    pub(crate) plan: Arc<Plan>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) peers: Vec<UnboundedSender<Command>>,
    pub(crate) reports: Reports,
}

impl Seed {
    fn run(self, commands: UnboundedReceiver<Command>, doors: Vec<accept::Door>) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        match builder.enable_io().enable_time().build_local(tokio::runtime::LocalOptions::default()) {
            Ok(runtime) => runtime.block_on(Worker::new(self).run(commands, doors)),
            Err(error) => tracing::error!("worker {} cannot start: {error}", self.id),
        }
    }
}

/// Heads kept for reuse.
pub(crate) struct Spare<T>(RefCell<Vec<Box<T>>>);

impl<T: Default> Spare<T> {
    /// Spares kept; more are given back to the allocator.
    const KEPT: usize = 128;

    pub(crate) fn take(&self) -> Box<T> {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    pub(crate) fn put(&self, spare: Box<T>) {
        let mut spares = self.0.borrow_mut();
        if spares.len() < Self::KEPT {
            spares.push(spare);
        }
    }
}

/// What all connections of a worker share.
pub(crate) struct Worker {
    pub(crate) id: usize,
    pub(crate) plan: Arc<Plan>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) timers: Rc<Timers>,
    pub(crate) buffers: Buffers,
    pub(crate) requests: Spare<Request>,
    pub(crate) answers: Spare<Answer>,
    pub(crate) rng: RefCell<Rng>,
    pub(crate) head_limits: Limits,
    pub(crate) stopping: Cell<bool>,
    pub(crate) gate: Gate,
    /// Client connections that wait for their next request without having folded up.
    pub(crate) warm: Cell<usize>,
    /// Told once when the worker stops.
    pub(crate) stop: tokio::sync::Notify,
    pub(crate) peers: Vec<UnboundedSender<Command>>,
    pools: Vec<WorkerPool>,
    started: Instant,
    reports: Reports,
    log: RefCell<Vec<u8>>,
    complained_ms: Cell<u64>,
}

impl Worker {
    pub(crate) fn new(seed: Seed) -> Rc<Self> {
        let limits = &seed.plan.limits;
        let head_limits =
            Limits { head_bytes: limits.header_bytes, fields: limits.header_fields, target_bytes: limits.target_bytes };
        let random = RandomState::new().hash_one(seed.id);
        let head_bytes = HEAD_BYTES.max(limits.header_bytes);
        Rc::new(Self {
            id: seed.id,
            timers: Timers::new(),
            buffers: Buffers::new(head_bytes, BULK_BYTES.max(head_bytes + 1)),
            requests: Spare(RefCell::default()),
            answers: Spare(RefCell::default()),
            rng: RefCell::new(Rng::new(random)),
            head_limits,
            stopping: Cell::new(false),
            gate: Gate::new(),
            warm: Cell::new(0),
            stop: tokio::sync::Notify::new(),
            peers: seed.peers,
            pools: WorkerPool::all(&seed.shared, &seed.plan, random),
            started: Instant::now(),
            reports: seed.reports,
            log: RefCell::default(),
            complained_ms: Cell::new(0),
            plan: seed.plan,
            shared: seed.shared,
        })
    }

    async fn run(self: Rc<Self>, mut commands: UnboundedReceiver<Command>, doors: Vec<accept::Door>) {
        tokio::task::spawn_local(Rc::clone(&self.timers).run());
        tokio::task::spawn_local(Rc::clone(&self).housekeep());
        tokio::task::spawn_local(gate::pulse(Rc::clone(&self)));
        let accepting: Vec<_> =
            doors.into_iter().map(|door| tokio::task::spawn_local(accept::run(Rc::clone(&self), door))).collect();
        while let Some(command) = commands.recv().await {
            match command {
                Command::BackendChanged { pool, backend } => self.backend_changed(pool, backend),
                Command::Take(accepted) => accept::take(&self, accepted),
                Command::FindIdle { pool, backend } => self.find_idle(pool, backend),
                Command::Finish { grace } => {
                    self.stopping.set(true);
                    self.stop.notify_waiters();
                    self.timers.wake_all();
                    let last = tokio::time::timeout(grace, self.finished(accepting, commands));
                    // What is still running after the grace is cut.
                    let _ = last.await;
                    break;
                }
            }
        }
        self.flush_log();
    }

    /// Waits for the acceptors, which empty the kernel's queues first, and then for the last connection.
    async fn finished(
        self: &Rc<Self>,
        accepting: Vec<tokio::task::JoinHandle<()>>,
        mut commands: UnboundedReceiver<Command>,
    ) {
        for acceptor in accepting {
            let _ = acceptor.await;
        }
        let connections = &self.shared.workers[self.id].connections;
        while connections.load(Ordering::Relaxed) > 0 {
            self.timers.wake_all();
            let soon = tokio::time::timeout(Duration::from_millis(20), commands.recv());
            match soon.await {
                Ok(Some(Command::Take(accepted))) => accept::take(self, accepted),
                Ok(Some(Command::FindIdle { pool, backend })) => self.find_idle(pool, backend),
                Ok(Some(Command::Finish { .. })) => return,
                _ => {}
            }
        }
    }

    pub(crate) fn backend_changed(&self, pool: PoolId, backend: usize) {
        let standing = self.shared.pools[pool.0 as usize].backends[backend].standing();
        if !matches!(standing, Standing::Ready | Standing::Unknown) {
            let counters = &self.counters().pools[pool.0 as usize][backend];
            self.pool(pool).close_idle(backend, counters);
            self.timers.wake_backend(self.pool(pool).number(backend));
        }
    }

    async fn housekeep(self: Rc<Self>) {
        let mut ticks = tokio::time::interval(HOUSEKEEPING);
        loop {
            ticks.tick().await;
            self.flush_log();
            let now = Instant::now();
            for (index, pool) in self.pools.iter().enumerate() {
                pool.reap(now, self.plan.pools[index].idle_timeout, &self.counters().pools[index]);
            }
        }
    }

    /// Gives descriptors back when the system has no more: idle connections to backends are a luxury then.
    pub(crate) fn close_all_idle(&self) {
        for (index, pool) in self.pools.iter().enumerate() {
            for (backend, counters) in self.counters().pools[index].iter().enumerate() {
                pool.close_idle(backend, counters);
            }
        }
    }

    pub(crate) fn pool(&self, id: PoolId) -> &WorkerPool {
        &self.pools[id.0 as usize]
    }

    pub(crate) fn counters(&self) -> &WorkerCounters {
        &self.shared.workers[self.id].counters
    }

    pub(crate) fn client_timeouts(&self, peer: &Peer) -> &ClientTimeouts {
        &self.plan.listeners[usize::from(peer.listener.0)].timeouts
    }

    /// Milliseconds since the worker started, for `policy`.
    pub(crate) fn now_ms(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }

    /// Tells the control plane, unless it is far behind.
    pub(crate) fn report(&self, report: Report) {
        self.try_report(report);
    }

    /// As [`Self::report`]; whether it was heard.
    pub(crate) fn try_report(&self, report: Report) -> bool {
        let heard = self.reports.try_send(report).map_err(|error| {
            let lost = match error.into_inner() {
                Report::LogLines(lines) => lines.iter().filter(|&&byte| byte == b'\n').count() as u64,
                _ => 1,
            };
            self.counters().log_dropped.add(lost);
        });
        heard.is_ok()
    }

    /// Says, seldom enough, that the system could not give us a connection.
    pub(crate) fn accept_failed(&self, error: &io::Error) {
        // Never 0, which means that there was no complaint yet.
        let now = self.now_ms(Instant::now()) + 1;
        let last = self.complained_ms.get();
        if last == 0 || now.saturating_sub(last) > COMPLAINT_MS {
            self.complained_ms.set(now);
            tracing::warn!(
                "cannot accept connections: {error}; raise the descriptor limit (LimitNOFILE=) or lower limits.connections"
            );
        }
    }

    /// Takes a line for the access log.
    pub(crate) fn log(&self, line: &str) {
        let mut log = self.log.borrow_mut();
        log.extend_from_slice(line.as_bytes());
        log.push(b'\n');
        if log.len() >= LOG_BATCH_BYTES {
            drop(log);
            self.flush_log();
        }
    }

    fn flush_log(&self) {
        let lines = std::mem::take(&mut *self.log.borrow_mut());
        if !lines.is_empty() {
            self.report(Report::LogLines(lines));
        }
    }
}

#[cfg(test)]
mod tests;
