//! The pools of one worker: picking a backend, its idle connections, and opening new ones.
//!
//! Owns what a worker knows of backends for itself (its balancer, idle connections, retry budget). Standings, weights
//! and addresses come from [`crate::Shared`] and are read anew whenever a pool's epoch has moved.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use policy::balance::{self, Balancer, Pick, Standing};
use policy::plan::{Address, PoolId};
use policy::retry::Budget;
use policy::rng::Rng;
use tokio::net::{TcpStream, UnixStream};

use crate::counters::BackendCounters;
use crate::exchange::Tried;
use crate::passive::{Risk, SKIP, Trial};
use crate::queue::Capped;
use crate::shared::{BackendShared, PoolShared, Shared, WHOLE_WEIGHT};
use crate::stream::Stream;
use crate::worker::Worker;

/// One pool in one worker.
pub(crate) struct WorkerPool {
    epoch: Cell<u64>,
    balancer: RefCell<Box<dyn Balancer>>,
    backends: Vec<WorkerBackend>,
    pub(crate) budget: RefCell<Budget>,
    /// Backends that may be tried although they are ejected.
    trials: RefCell<Vec<usize>>,
    /// Whether any backend is skipped.
    skips: Cell<bool>,
}

struct WorkerBackend {
    /// Number of the backend in the whole plan, for [`crate::timers`].
    number: u32,
    standing: Cell<Standing>,
    permille: Cell<u16>,
    /// Until when this worker leaves it alone, having failed to connect.
    skipped: Cell<Option<Instant>>,
    address: Cell<Option<SocketAddr>>,
    idle: RefCell<Vec<Idle>>,
}

struct Idle {
    stream: Stream,
    since: Instant,
}

impl WorkerPool {
    pub(crate) fn all(shared: &Shared, plan: &policy::plan::Plan, seed: u64) -> Vec<Self> {
        let mut number = 0;
        let workers = u32::try_from(shared.workers.len()).unwrap_or(u32::MAX);
        let mut pools = Vec::new();
        for (index, pool) in plan.pools.iter().enumerate() {
            let backend = |_| {
                number += 1;
                WorkerBackend {
                    number: number - 1,
                    standing: Cell::default(),
                    permille: Cell::new(WHOLE_WEIGHT),
                    skipped: Cell::default(),
                    address: Cell::default(),
                    idle: RefCell::default(),
                }
            };
            pools.push(Self {
                epoch: Cell::new(0),
                balancer: RefCell::new(balance::new(pool.policy, &pool.backends, seed)),
                backends: (0..shared.pools[index].backends.len()).map(backend).collect(),
                budget: RefCell::new(Budget::for_share_of(workers)),
                trials: RefCell::default(),
                skips: Cell::new(false),
            });
        }
        pools
    }

    /// Reads standings, weights and addresses anew if any has changed.
    fn refresh(&self, shared: &PoolShared) {
        let epoch = shared.epoch.load(Ordering::Acquire);
        if self.epoch.replace(epoch) == epoch {
            return;
        }
        let mut trials = self.trials.borrow_mut();
        trials.clear();
        for (index, (backend, shared)) in self.backends.iter().zip(&shared.backends).enumerate() {
            backend.address.set(shared.resolved());
            let permille = shared.permille();
            if backend.permille.replace(permille) != permille {
                self.balancer.borrow_mut().weight_changed(index, permille);
            }
            self.set_standing(index, shared.standing());
            if shared.passive.has_trial() {
                trials.push(index);
            }
        }
    }

    /// What this worker's balancer believes. A skipped backend comes after those that take work.
    fn set_standing(&self, index: usize, standing: Standing) {
        let backend = &self.backends[index];
        let standing = match (standing, backend.skipped.get()) {
            (Standing::Ready | Standing::Unknown, Some(_)) => Standing::Ejected,
            (standing, _) => standing,
        };
        if backend.standing.replace(standing) != standing {
            self.balancer.borrow_mut().backend_changed(index, standing);
        }
    }

    /// Leaves a backend alone for a moment: one failed connection says what the next would say.
    pub(crate) fn skip(&self, index: usize) {
        self.backends[index].skipped.set(Some(Instant::now() + SKIP));
        self.skips.set(true);
        self.set_standing(index, self.backends[index].standing.get());
    }

    fn end_skips(&self, shared: &PoolShared) {
        let now = Instant::now();
        let mut left = false;
        for (index, backend) in self.backends.iter().enumerate() {
            match backend.skipped.get() {
                Some(until) if until <= now => {
                    backend.skipped.set(None);
                    self.set_standing(index, shared.backends[index].standing());
                }
                Some(_) => left = true,
                None => {}
            }
        }
        self.skips.set(left);
    }

    /// A backend whose trial this exchange makes.
    fn take_trial(&self, shared: &PoolShared, risk: Risk) -> Option<usize> {
        let trials = self.trials.borrow();
        let takes = |&backend: &usize| {
            shared.backends[backend].standing() == Standing::Ejected && shared.backends[backend].passive.take(risk)
        };
        trials.iter().copied().find(takes)
    }

    /// What an exchange that waits for room avoids: what it has tried, and what this worker leaves alone.
    pub(crate) fn avoided(&self, mut tried: Tried) -> Tried {
        if self.skips.get() {
            let skipped = self.backends.iter().enumerate().filter(|(_, backend)| backend.skipped.get().is_some());
            skipped.for_each(|(index, _)| tried.push(index));
        }
        tried
    }

    /// Picks a backend and counts the attempt there.
    fn pick(&self, worker: &Worker, shared: &PoolShared, wish: &Wish<'_>) -> Option<usize> {
        let rng: &mut Rng = &mut worker.rng.borrow_mut();
        let mut pick = Pick { client: wish.client, tried: wish.tried, rng, loads: shared };
        let backend = self.balancer.borrow_mut().pick(&mut pick)?;
        shared.backends[backend].begin();
        Some(backend)
    }

    /// Picks a backend that has room, unless others wait already, and takes a place at it.
    fn take_place(&self, worker: &Worker, capped: Capped<'_>, wish: &Wish<'_>) -> Result<usize, NoAttempt> {
        if capped.has_waiting() {
            return Err(NoAttempt::Busy);
        }
        let rng: &mut Rng = &mut worker.rng.borrow_mut();
        let mut pick = Pick { client: wish.client, tried: wish.tried, rng, loads: capped.loads() };
        let mut balancer = self.balancer.borrow_mut();
        // Another worker may take the last place between the look and the taking; then that backend is full.
        while let Some(backend) = balancer.pick_with_room(&mut pick, &|backend| capped.has_room(backend)) {
            if capped.take(backend) {
                return Ok(backend);
            }
        }
        let none = self.backends.iter().all(|backend| backend.standing.get() == Standing::Excluded);
        Err(if none { NoAttempt::NoBackend } else { NoAttempt::Busy })
    }

    /// Number of a backend in the whole plan.
    pub(crate) fn number(&self, backend: usize) -> u32 {
        self.backends[backend].number
    }

    /// Closes a backend's idle connections.
    pub(crate) fn close_idle(&self, backend: usize, counters: &BackendCounters) {
        let closed = std::mem::take(&mut *self.backends[backend].idle.borrow_mut());
        counters.idle.sub(closed.len() as u64);
    }

    /// Closes idle connections that are older than `timeout` or that the backend has closed.
    pub(crate) fn reap(&self, now: Instant, timeout: Option<Duration>, counters: &[BackendCounters]) {
        for (backend, counters) in self.backends.iter().zip(counters) {
            let mut idle = backend.idle.borrow_mut();
            let before = idle.len();
            idle.retain(|idle| timeout.is_none_or(|t| now.duration_since(idle.since) < t) && idle.stream.is_quiet());
            counters.idle.sub((before - idle.len()) as u64);
        }
    }

    fn take_idle(&self, backend: usize, counters: &BackendCounters) -> Option<Stream> {
        let mut idle = self.backends[backend].idle.borrow_mut();
        while let Some(Idle { stream, .. }) = idle.pop() {
            counters.idle.sub(1);
            if stream.is_quiet() {
                return Some(stream);
            }
        }
        None
    }
}

/// What a pick may depend on, of one exchange.
pub(crate) struct Wish<'a> {
    pub(crate) client: std::net::IpAddr,
    pub(crate) tried: &'a [u16],
    /// Whether it may be a trial.
    pub(crate) risk: Risk,
}

/// One attempt at a backend: counted as running until dropped.
pub(crate) struct Attempt {
    worker: Rc<Worker>,
    pub(crate) pool: PoolId,
    pub(crate) backend: usize,
    /// The attempt tries an ejected backend.
    pub(crate) trial: Option<Trial>,
}

/// Why there is no attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAttempt {
    /// Every backend is out by the operator's wish.
    NoBackend,
    /// Every backend that could take it is at its cap, or others wait for one already.
    Busy,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// The backend refused or cannot be reached.
    Failed,
    /// It is our fault: no port, descriptor or memory.
    Local,
    /// The name has no address yet.
    Unresolved,
}

impl Attempt {
    /// Picks a backend and counts the attempt.
    pub(crate) fn begin(worker: &Rc<Worker>, pool: PoolId, wish: &Wish<'_>) -> Result<Self, NoAttempt> {
        let (local, shared) = (worker.pool(pool), &worker.shared.pools[pool.0 as usize]);
        local.refresh(shared);
        if local.skips.get() {
            local.end_skips(shared);
        }
        if !local.trials.borrow().is_empty()
            && let Some(attempt) = Self::begin_trial(worker, pool, wish.risk)
        {
            return Ok(attempt);
        }
        let backend = match Capped::new(shared) {
            Some(capped) => local.take_place(worker, capped, wish)?,
            None => local.pick(worker, shared, wish).ok_or(NoAttempt::NoBackend)?,
        };
        Ok(Self::taken(worker, pool, backend))
    }

    /// Tries an ejected backend, if that is offered and there is room. A trial waits for nobody: those in the queue wait
    /// for others.
    fn begin_trial(worker: &Rc<Worker>, pool: PoolId, risk: Risk) -> Option<Self> {
        let (local, shared) = (worker.pool(pool), &worker.shared.pools[pool.0 as usize]);
        let backend = local.take_trial(shared, risk)?;
        // Dropped where there is no room, it may be made again.
        let trial = Trial::new(worker, pool, backend);
        match Capped::new(shared) {
            Some(capped) if !capped.take(backend) => return None,
            Some(_) => {}
            None => shared.backends[backend].begin(),
        }
        let mut attempt = Self::taken(worker, pool, backend);
        attempt.trial = Some(trial);
        Some(attempt)
    }

    /// An attempt at a backend of a pool with caps, at which a place is held for it.
    pub(crate) fn at(worker: &Rc<Worker>, pool: PoolId, backend: usize) -> Self {
        worker.pool(pool).refresh(&worker.shared.pools[pool.0 as usize]);
        Self::taken(worker, pool, backend)
    }

    /// An attempt that the backend counts already.
    fn taken(worker: &Rc<Worker>, pool: PoolId, backend: usize) -> Self {
        let (local, shared) = (worker.pool(pool), &worker.shared.pools[pool.0 as usize]);
        local.balancer.borrow_mut().taken(backend, shared);
        let attempt = Self { worker: Rc::clone(worker), pool, backend, trial: None };
        attempt.counters().attempts.add(1);
        attempt
    }

    pub(crate) fn counters(&self) -> &BackendCounters {
        &self.worker.counters().pools[self.pool.0 as usize][self.backend]
    }

    pub(crate) fn shared(&self) -> &BackendShared {
        &self.worker.shared.pools[self.pool.0 as usize].backends[self.backend]
    }

    /// Number of the backend in the whole plan.
    pub(crate) fn number(&self) -> u32 {
        self.worker.pool(self.pool).number(self.backend)
    }

    /// Whether the backend is out by evidence, while others may not be.
    pub(crate) fn is_down(&self) -> bool {
        matches!(self.shared().standing(), Standing::Ejected | Standing::Out)
    }

    /// An idle connection, if there is one that still lives.
    pub(crate) fn reuse(&self) -> Option<Stream> {
        self.worker.pool(self.pool).take_idle(self.backend, self.counters())
    }

    /// Opens a connection. The caller bounds the time.
    pub(crate) async fn connect(&self) -> Result<Stream, ConnectError> {
        self.counters().connects.add(1);
        let backend = &self.worker.plan.pool(self.pool).backends[self.backend];
        let connected = match &backend.address {
            Address::Unix(path) => connect_unix(path).await,
            Address::Ip(_) | Address::Name(..) => {
                let local = &self.worker.pool(self.pool).backends[self.backend];
                let Some(address) = local.address.get() else { return Err(ConnectError::Unresolved) };
                connect_tcp(address).await
            }
        };
        connected.map_err(ConnectError::from)
    }

    /// Gives a connection back for reuse, unless the pool has enough or the backend is out.
    #[inline]
    pub(crate) fn give_back(&self, stream: Stream, since: Instant) {
        let plan = self.worker.plan.pool(self.pool);
        let mut idle = self.worker.pool(self.pool).backends[self.backend].idle.borrow_mut();
        let wanted = matches!(self.shared().standing(), Standing::Ready | Standing::Unknown);
        if wanted && plan.send_proxy.is_none() && idle.len() < plan.idle_connections && !self.worker.stopping.get() {
            idle.push(Idle { stream, since });
            self.counters().idle.add(1);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let shared = &self.worker.shared.pools[self.pool.0 as usize];
        match Capped::new(shared) {
            None => shared.backends[self.backend].end(),
            Some(capped) => capped.give_back(self.backend),
        }
        self.worker.pool(self.pool).balancer.borrow_mut().returned(self.backend, shared);
    }
}

async fn connect_unix(path: &Path) -> io::Result<Stream> {
    // Here EAGAIN says that the backend's queue is full, which is no lack of ours.
    let refused = |error: io::Error| match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::ConnectionRefused.into(),
        _ => error,
    };
    UnixStream::connect(path).await.map(Stream::Unix).map_err(refused)
}

async fn connect_tcp(address: SocketAddr) -> io::Result<Stream> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    Ok(Stream::Tcp(tcp))
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        const OURS: [i32; 6] =
            [libc::EADDRNOTAVAIL, libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::EAGAIN];
        if error.raw_os_error().is_some_and(|code| OURS.contains(&code)) { Self::Local } else { Self::Failed }
    }
}

#[cfg(test)]
mod tests;
