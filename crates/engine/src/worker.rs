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
use std::time::Duration;

use policy::balance::Standing;
use policy::plan::{ClientTimeouts, Plan, PoolId};
use policy::rng::Rng;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use wire::h1::Limits;
use wire::head::{Answer, Request};

use crate::accept::{self, Accepted};
use crate::backends::WorkerPool;
use crate::blocks::BlockView;
use crate::buffers::{Buffers, Most};
use crate::clock::Instant;
use crate::counters::WorkerCounters;
use crate::date::Calendar;
use crate::gate::{self, Gate};
use crate::listen::{Group, Sockets};
use crate::report::{Report, Reports};
use crate::room::{Asked, Room};
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

/// What the control plane and other workers ask of a worker.
#[derive(Debug)]
pub(crate) enum Command {
    /// A backend's standing changed.
    BackendChanged { pool: PoolId, backend: usize },
    /// More networks are blocked: whoever is in from there must go.
    BlocksChanged,
    /// Another worker has too many connections: serve this one.
    Take(Accepted),
    /// Another worker seeks a connection to a backend: let it have one that is idle.
    FindIdle { pool: PoolId, backend: usize },
    /// Something of the system's is short: give up what is idle.
    MakeRoom,
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
    /// A thread or runtime could not be made. Those that had started have ended by then.
    pub fn start(plan: Arc<Plan>, groups: Vec<Group>, workers: usize, reports: Reports) -> io::Result<Self> {
        let shared = Shared::new(&plan, workers);
        let (commands, inboxes): (Vec<_>, Vec<_>) = (0..workers).map(|_| unbounded_channel()).unzip();
        let mut engine = Self { shared: Arc::clone(&shared), commands: commands.clone(), threads: Vec::new() };
        let (ready, started) = std::sync::mpsc::channel();
        let mut outcome = Ok(());
        for (id, (commands_in, doors)) in inboxes.into_iter().zip(doors(groups, workers)).enumerate() {
            let seed = Seed {
                id,
                plan: Arc::clone(&plan),
                shared: Arc::clone(&shared),
                peers: commands.clone(),
                reports: reports.clone(),
            };
            let (thread, ready) = (std::thread::Builder::new().name(format!("worker-{id}")), ready.clone());
            match thread.spawn(move || seed.run(commands_in, doors, &ready)) {
                Ok(thread) => engine.threads.push(thread),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        drop(ready);
        outcome = started.iter().take(engine.threads.len()).fold(outcome, Result::and);
        if let Err(error) = outcome {
            engine.finish(Duration::ZERO);
            engine.join();
            return Err(error);
        }
        Ok(engine)
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

    /// Tells the workers that more is blocked (after [`crate::blocks::Blocks::publish`]): whoever is in from there goes.
    pub fn blocks_changed(&self) {
        self.tell(|| Command::BlocksChanged);
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
    /// Says whether it can, and then works to the end.
    fn run(
        self,
        commands: UnboundedReceiver<Command>,
        doors: Vec<accept::Door>,
        ready: &std::sync::mpsc::Sender<io::Result<()>>,
    ) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = match builder.enable_io().enable_time().build_local(tokio::runtime::LocalOptions::default()) {
            Ok(runtime) => runtime,
            Err(error) => return drop(ready.send(Err(error))),
        };
        // Whoever started it waits for this.
        let _ = ready.send(Ok(()));
        runtime.block_on(Worker::new(self).run(commands, doors));
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
    pub(crate) calendar: Calendar,
    pub(crate) head_limits: Limits,
    pub(crate) stopping: Cell<bool>,
    pub(crate) gate: Gate,
    /// Client connections that wait for their next request without having folded up.
    pub(crate) warm: Cell<usize>,
    /// Told once when the worker stops.
    pub(crate) stop: tokio::sync::Notify,
    pub(crate) peers: Vec<UnboundedSender<Command>>,
    pub(crate) block_view: BlockView,
    pools: Vec<WorkerPool>,
    started: Instant,
    reports: Reports,
    log: RefCell<Vec<u8>>,
    pub(crate) room: Room,
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
            buffers: Buffers::lending(
                head_bytes,
                BULK_BYTES.max(head_bytes + 1),
                Most::for_one_of(seed.shared.workers.len()),
            ),
            requests: Spare(RefCell::default()),
            answers: Spare(RefCell::default()),
            rng: RefCell::new(Rng::new(random)),
            calendar: Calendar::new(),
            head_limits,
            stopping: Cell::new(false),
            gate: Gate::new(),
            warm: Cell::new(0),
            stop: tokio::sync::Notify::new(),
            peers: seed.peers,
            block_view: BlockView::default(),
            pools: WorkerPool::all(&seed.shared, &seed.plan, random),
            started: seed.shared.started,
            reports: seed.reports,
            log: RefCell::default(),
            room: Room::default(),
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
                Command::BlocksChanged => self.timers.wake_all(),
                Command::Take(accepted) => accept::take(&self, accepted),
                Command::FindIdle { pool, backend } => self.find_idle(pool, backend),
                Command::MakeRoom => self.room.give_up(&self, Asked::ByAnother),
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
        } else {
            // Those who wait for others that are out may have somewhere to go now.
            self.timers.wake_backends(&self.pool(pool).numbers());
        }
    }

    /// A backend has sent what nobody asked for: none of its connections is used again for a while.
    pub(crate) fn distrust(&self, pool: PoolId, backend: usize) {
        if self.pool(pool).distrust(backend, &self.counters().pools[pool.0 as usize][backend]) {
            let pool = self.plan.pool(pool);
            let (name, pool) = (&pool.backends[backend].name, &pool.name);
            tracing::warn!(
                "backend {name} of pool {pool} has sent bytes that nobody asked for, as an answer too many or a body behind \
                 one that has none; for a while each of its connections serves one request only"
            );
        }
    }

    async fn housekeep(self: Rc<Self>) {
        let mut ticks = tokio::time::interval(HOUSEKEEPING);
        loop {
            ticks.tick().await;
            self.calendar.refresh();
            self.flush_log();
            self.room.relax();
            let now = Instant::now();
            for (index, pool) in self.pools.iter().enumerate() {
                let talking = pool.reap(now, self.plan.pools[index].idle_timeout, &self.counters().pools[index]);
                for backend in talking {
                    self.distrust(PoolId(u32::try_from(index).unwrap_or(0)), backend);
                }
            }
        }
    }

    /// Closes idle connections to backends.
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

    /// Milliseconds since the workers started, for `policy`.
    pub(crate) fn now_ms(&self, at: Instant) -> u64 {
        at.ms_since(self.started)
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
