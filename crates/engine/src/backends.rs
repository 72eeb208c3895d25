//! The pools of one worker: picking a backend, its idle connections, and opening new ones.
//!
//! Owns what a worker knows of backends for itself (its balancer, idle connections, retry budget). Standings, weights
//! and addresses come from [`crate::Shared`] and are read anew whenever a pool's epoch has moved.

use std::cell::{Cell, RefCell, RefMut};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use policy::balance::{self, Balancer, NodeShare, Pick, Standing, Terms};
use policy::hedge::Latencies;
use policy::plan::{Address, Panic, Pool, PoolId, Subset};
use policy::retry::Budget;
use policy::rng::{self, Rng};

use crate::clock::Instant;
use crate::connect::{self, ConnectError};
use crate::connections::{Connections, Found, Hold};
use crate::counters::BackendCounters;
use crate::exchange::Tried;
use crate::h2::{Dialogues, Turn};
use crate::outage::Outage;
use crate::passive::{Risk, SKIP, Trial};
use crate::queue::Capped;
use crate::shared::{BackendShared, PoolShared, Shared, WHOLE_WEIGHT};
use crate::stream::{Rest, Stream};
use crate::upstream::Carrier;
use crate::worker::{Command, Worker};

/// One pool in one worker.
pub(crate) struct WorkerPool {
    epoch: Cell<u64>,
    balancer: RefCell<Box<dyn Balancer>>,
    backends: Vec<WorkerBackend>,
    pub(crate) budget: RefCell<Budget>,
    /// Made by the first request that may be hedged.
    hedging: RefCell<Option<Box<Hedging>>>,
    workers: u32,
    /// Backends that may be tried although they are ejected.
    trials: RefCell<Vec<usize>>,
    /// Whether any backend is skipped.
    skips: Cell<bool>,
    panic: Panic,
    /// Whether no backend takes work, by their standings.
    none_ready: Cell<bool>,
    /// The last slot of the breaker's window in which an attempt ended here.
    slot: Cell<u64>,
    pub(crate) outage: Outage,
}

/// What a worker knows of a pool whose requests may be hedged.
pub(crate) struct Hedging {
    pub(crate) budget: Budget,
    pub(crate) latencies: Latencies,
}

struct WorkerBackend {
    /// Number of the backend in the whole plan, for [`crate::timers`].
    number: u32,
    standing: Cell<Standing>,
    permille: Cell<u16>,
    /// Until when this worker leaves it alone, having failed to connect.
    skipped: Cell<Option<Instant>>,
    address: Cell<Option<SocketAddr>>,
    /// Until when its connections serve one request each: it has sent what nobody asked for, and what comes late would
    /// be taken for the answer to another request.
    distrusted: Cell<Option<Instant>>,
    idle: RefCell<Vec<Idle>>,
    /// Connections over HTTP/2.
    dialogues: Dialogues,
}

/// A backend has sent bytes on an idle connection.
pub(crate) struct Unasked;

/// How long a backend is distrusted that has sent what nobody asked for.
const DISTRUST: Duration = Duration::from_secs(10);

struct Idle {
    /// Closed before it is counted as closed.
    stream: Stream,
    /// Where connections are capped.
    hold: Option<Hold>,
    since: Instant,
}

/// On which terms a pool's balancer works in one worker.
fn terms(pool: &Pool, host: &str, seed: u64) -> Terms {
    let share = |subset: &Subset| {
        let node = subset.node.as_deref().unwrap_or(host);
        NodeShare { size: subset.size, node: rng::hash(node.as_bytes()) }
    };
    Terms { seed, spill_over: pool.spill_over, share: pool.subset.as_ref().map(share) }
}

/// The name of this host; empty if the system does not tell.
fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

impl WorkerPool {
    pub(crate) fn all(shared: &Shared, plan: &policy::plan::Plan, seed: u64) -> Vec<Self> {
        let mut number = 0;
        let host = host();
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
                    distrusted: Cell::default(),
                    idle: RefCell::default(),
                    dialogues: Dialogues::default(),
                }
            };
            pools.push(Self {
                epoch: Cell::new(0),
                balancer: RefCell::new(balance::new(&pool.policy, &pool.backends, terms(pool, &host, seed))),
                backends: (0..shared.pools[index].backends.len()).map(backend).collect(),
                budget: RefCell::new(Budget::for_share_of(workers)),
                hedging: RefCell::default(),
                workers,
                trials: RefCell::default(),
                skips: Cell::new(false),
                panic: pool.panic,
                none_ready: Cell::new(false),
                slot: Cell::new(u64::MAX),
                outage: Outage::default(),
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
        let mut none_ready = true;
        for (index, (backend, shared)) in self.backends.iter().zip(&shared.backends).enumerate() {
            backend.address.set(shared.resolved());
            let permille = shared.permille();
            if backend.permille.replace(permille) != permille {
                self.balancer.borrow_mut().weight_changed(index, permille);
            }
            let standing = shared.standing();
            none_ready &= !matches!(standing, Standing::Ready | Standing::Unknown);
            self.set_standing(index, standing);
            if shared.passive.has_trial() {
                trials.push(index);
            }
        }
        self.none_ready.set(none_ready);
    }

    /// Whether nobody may be picked, since those that could be are ejected or down.
    pub(crate) fn refuses(&self) -> bool {
        self.panic == Panic::Refuse && self.none_ready.get()
    }

    /// Whether this slot of the breaker's window is another than the last time.
    pub(crate) fn is_first_in(&self, slot: u64) -> bool {
        self.slot.replace(slot) != slot
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

    /// Whether a backend may well take a connection: it is not out, and this worker does not leave it alone.
    pub(crate) fn has_hopeful(&self, shared: &PoolShared) -> bool {
        self.refresh(shared);
        self.end_skips(shared);
        self.backends.iter().any(|backend| matches!(backend.standing.get(), Standing::Ready | Standing::Unknown))
    }

    /// Numbers of the backends in the whole plan.
    pub(crate) fn numbers(&self) -> std::ops::Range<u32> {
        let first = self.backends.first().map_or(0, |backend| backend.number);
        first..self.backends.last().map_or(0, |backend| backend.number + 1)
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
    #[inline]
    fn pick(&self, worker: &Worker, shared: &PoolShared, wish: &Wish<'_>) -> Option<usize> {
        let rng: &mut Rng = &mut worker.rng.borrow_mut();
        let mut pick = Pick { key: wish.key, tried: wish.tried, rng, loads: shared, now_ms: wish.now_ms };
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
        let mut pick = Pick { key: wish.key, tried: wish.tried, rng, loads: capped.loads(), now_ms: wish.now_ms };
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

    /// What is known for hedging.
    pub(crate) fn hedging(&self) -> RefMut<'_, Hedging> {
        RefMut::map(self.hedging.borrow_mut(), |hedging| {
            &mut **hedging.get_or_insert_with(|| {
                Box::new(Hedging { budget: Budget::for_share_of(self.workers), latencies: Latencies::default() })
            })
        })
    }

    /// Whether a backend takes work that is not among these.
    fn has_other(&self, tried: &[u16]) -> bool {
        (0..=u16::MAX).zip(&self.backends).any(|(index, backend)| {
            matches!(backend.standing.get(), Standing::Ready | Standing::Unknown) && !tried.contains(&index)
        })
    }

    /// Number of a backend in the whole plan.
    pub(crate) fn number(&self, backend: usize) -> u32 {
        self.backends[backend].number
    }

    /// A backend's connections over HTTP/2.
    pub(crate) fn dialogues(&self, backend: usize) -> &Dialogues {
        &self.backends[backend].dialogues
    }

    /// Closes a backend's idle connections; what is shared ends with the exchanges on it.
    pub(crate) fn close_idle(&self, backend: usize, counters: &BackendCounters) {
        self.backends[backend].dialogues.retire();
        let closed = std::mem::take(&mut *self.backends[backend].idle.borrow_mut());
        counters.idle.sub(closed.len() as u64);
    }

    /// Closes a backend's idle connections, and lets none be used again for a while. Whether that is news.
    pub(crate) fn distrust(&self, backend: usize, counters: &BackendCounters) -> bool {
        self.close_idle(backend, counters);
        let now = Instant::now();
        let before = self.backends[backend].distrusted.replace(Some(now + DISTRUST));
        before.is_none_or(|until| until <= now)
    }

    /// Closes idle connections that are older than `timeout` or that the backend has closed. Returns backends that have
    /// sent what nobody asked for.
    pub(crate) fn reap(&self, now: Instant, timeout: Option<Duration>, counters: &[BackendCounters]) -> Vec<usize> {
        let mut talking = Vec::new();
        for (index, (backend, counters)) in self.backends.iter().zip(counters).enumerate() {
            let mut idle = backend.idle.borrow_mut();
            let before = idle.len();
            idle.retain_mut(|idle| {
                let rest = idle.stream.rest();
                if rest == Rest::Unasked {
                    talking.push(index);
                }
                timeout.is_none_or(|t| now.saturating_duration_since(idle.since) < t) && rest == Rest::Quiet
            });
            counters.idle.sub((before - idle.len()) as u64);
        }
        talking
    }

    fn take_idle(&self, backend: usize, counters: &BackendCounters) -> Result<Option<Idle>, Unasked> {
        loop {
            let Some(mut idle) = self.backends[backend].idle.borrow_mut().pop() else { return Ok(None) };
            counters.idle.sub(1);
            match idle.stream.rest() {
                Rest::Quiet => return Ok(Some(idle)),
                Rest::Ended => {}
                Rest::Unasked => return Err(Unasked),
            }
        }
    }
}

/// What a pick may depend on, of one exchange.
pub(crate) struct Wish<'a> {
    /// What of the request the pool's policy goes by.
    pub(crate) key: u64,
    pub(crate) tried: &'a [u16],
    pub(crate) now_ms: u64,
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
    /// On its connection, where these are capped.
    hold: Cell<Option<Hold>>,
}

/// Why there is no attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAttempt {
    /// Every backend is out by the operator's wish.
    NoBackend,
    /// None is ready, and the pool asks no others.
    NoneReady,
    /// Every backend that could take it is at its cap, or others wait for one already.
    Busy,
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
        if local.refuses() {
            return Err(NoAttempt::NoneReady);
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

    /// An attempt beside others: at another backend that takes work and has room at once, if the caller then still wants
    /// it.
    pub(crate) fn elsewhere(
        worker: &Rc<Worker>,
        pool: PoolId,
        wish: &Wish<'_>,
        is_wanted: impl FnOnce() -> bool,
    ) -> Option<Self> {
        let (local, shared) = (worker.pool(pool), &worker.shared.pools[pool.0 as usize]);
        local.refresh(shared);
        if !local.has_other(wish.tried) || Capped::new(shared).is_some_and(Capped::has_waiting) || !is_wanted() {
            return None;
        }
        let backend = match Capped::new(shared) {
            Some(capped) => local.take_place(worker, capped, wish).ok()?,
            None => local.pick(worker, shared, wish)?,
        };
        Some(Self::taken(worker, pool, backend))
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
        let attempt = Self { worker: Rc::clone(worker), pool, backend, trial: None, hold: Cell::default() };
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
    pub(crate) fn reuse(&self) -> Option<Carrier> {
        if self.plan().http2 {
            return self
                .worker
                .pool(self.pool)
                .dialogues(self.backend)
                .stream()
                .map(|stream| Carrier::Shared(Box::new(stream)));
        }
        let found = self.worker.pool(self.pool).take_idle(self.backend, self.counters());
        let Idle { stream, hold, .. } = found.unwrap_or_else(|Unasked| {
            self.distrust();
            None
        })?;
        self.hold.set(hold);
        Some(Carrier::Own(stream))
    }

    fn plan(&self) -> &policy::plan::Backend {
        &self.worker.plan.pool(self.pool).backends[self.backend]
    }

    /// The backend has sent what nobody asked for.
    #[cold]
    pub(crate) fn distrust(&self) {
        self.worker.distrust(self.pool, self.backend);
    }

    /// Opens a connection, or gets one that was idle elsewhere: the flag says whether it was used before. The caller
    /// bounds the time.
    pub(crate) async fn connect(&self) -> Result<(Carrier, bool), ConnectError> {
        if self.plan().http2 {
            return share(&self.worker, (self.pool, self.backend)).await.map(|carrier| (carrier, false));
        }
        if let Some(connections) = &self.shared().connections
            && let Some(stream) = self.be_counted(connections).await
        {
            return Ok((Carrier::Own(stream), true));
        }
        connect(&self.worker, self.pool, self.backend).await.map(|stream| (Carrier::Own(stream), false))
    }

    /// As [`Self::connect`], for who moves the attempt meanwhile; `None` where as many connections are open as may be.
    pub(crate) fn connecting(&self) -> Option<impl Future<Output = Result<Carrier, ConnectError>> + use<>> {
        if let Some(connections) = &self.shared().connections {
            self.hold.set(Some(self.hold.take().or_else(|| connections.hold())?));
        }
        let (worker, pool, backend) = (Rc::clone(&self.worker), self.pool, self.backend);
        let is_shared = self.plan().http2;
        Some(async move {
            if is_shared {
                return share(&worker, (pool, backend)).await;
            }
            connect(&worker, pool, backend).await.map(Carrier::Own)
        })
    }

    /// Gets leave to open a connection, or one that is open already.
    async fn be_counted(&self, connections: &Arc<Connections>) -> Option<Stream> {
        let held = self.hold.take();
        let found = match held.or_else(|| connections.hold()) {
            Some(hold) => Found { stream: None, hold },
            None => {
                let seeking = connections.seek();
                self.worker.find_idle(self.pool, self.backend);
                poll_fn(|cx| seeking.poll(cx)).await
            }
        };
        self.hold.set(Some(found.hold));
        let settled = found.stream.and_then(|stream| stream.settle().ok());
        settled.filter(|stream| !stream.is_stale())
    }

    /// Gives a connection back for reuse, unless the pool has enough or the backend is out.
    #[inline]
    pub(crate) fn give_back(&self, stream: Stream, since: Instant) {
        let plan = self.worker.plan.pool(self.pool);
        let local = &self.worker.pool(self.pool).backends[self.backend];
        let mut idle = local.idle.borrow_mut();
        let trusted = local.distrusted.get().is_none_or(|until| until <= since);
        let wanted = trusted && matches!(self.shared().standing(), Standing::Ready | Standing::Unknown);
        if wanted && plan.send_proxy.is_none() && idle.len() < plan.idle_connections && !self.worker.stopping.get() {
            idle.push(Idle { stream, hold: self.hold.take(), since });
            drop(idle);
            self.counters().idle.add(1);
            if self.shared().connections.is_some() {
                self.worker.find_idle(self.pool, self.backend);
            }
        }
    }
}

impl Worker {
    /// Gives those who seek a connection to a backend what is idle here, and asks another worker that has some.
    pub(crate) fn find_idle(&self, pool: PoolId, backend: usize) {
        let Some(connections) = &self.shared.pools[pool.0 as usize].backends[backend].connections else { return };
        let counters = |worker: usize| &self.shared.workers[worker].counters.pools[pool.0 as usize][backend];
        while connections.are_sought() {
            let found = self.pool(pool).take_idle(backend, counters(self.id)).unwrap_or_else(|Unasked| {
                self.distrust(pool, backend);
                None
            });
            let Some(idle) = found else {
                let others = (0..self.peers.len()).filter(|&other| other != self.id);
                if let Some(other) = others.max_by_key(|&other| counters(other).idle.get())
                    && counters(other).idle.get() > 0
                {
                    // A worker that has ended has closed its connections.
                    let _ = self.peers[other].send(Command::FindIdle { pool, backend });
                }
                return;
            };
            let (Ok(stream), Some(hold)) = (idle.stream.loosen(), idle.hold) else { continue };
            // Nobody seeks any more: it stays, and those who seek from now on find it.
            if let Some(Found { stream: Some(stream), hold }) =
                connections.pass_on(Found { stream: Some(stream), hold })
                && let Ok(stream) = stream.settle()
            {
                let idle = Idle { stream, hold: Some(hold), since: idle.since };
                self.pool(pool).backends[backend].idle.borrow_mut().push(idle);
                counters(self.id).idle.add(1);
            }
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let shared = &self.worker.shared.pools[self.pool.0 as usize];
        // Of places there are never more than of connections.
        drop(self.hold.take());
        match Capped::new(shared) {
            None => shared.backends[self.backend].end(),
            Some(capped) => capped.give_back(self.backend),
        }
        self.worker.pool(self.pool).balancer.borrow_mut().returned(self.backend, shared);
    }
}

/// A stream over HTTP/2: on a connection that is open, being opened by another, or opened now.
async fn share(worker: &Rc<Worker>, (pool, backend): (PoolId, usize)) -> Result<Carrier, ConnectError> {
    loop {
        let opener = match worker.pool(pool).dialogues(backend).turn().await? {
            Turn::Stream(stream) => return Ok(Carrier::Shared(Box::new(stream))),
            Turn::Open(opener) => opener,
        };
        match connect(worker, pool, backend).await {
            Ok(stream) => Dialogues::opened(worker, (pool, backend), stream),
            Err(error) => return Err(opener.fail(error)),
        }
    }
}

async fn connect(worker: &Worker, pool: PoolId, backend: usize) -> Result<Stream, ConnectError> {
    worker.counters().pools[pool.0 as usize][backend].connects.add(1);
    let connected = match &worker.plan.pool(pool).backends[backend].address {
        Address::Unix(path) => connect::over_unix(path).await,
        Address::Ip(_) | Address::Name(..) => {
            let Some(address) = worker.pool(pool).backends[backend].address.get() else {
                return Err(ConnectError::Unresolved);
            };
            connect::over_tcp(address).await
        }
    };
    if connected.is_ok() {
        worker.pool(pool).outage.ended();
    }
    let socket = connected.map_err(|error| {
        let failed = ConnectError::from(&error);
        if matches!(failed, ConnectError::Local) {
            worker.room.complain("cannot open connections to backends", &error);
        }
        failed
    })?;
    connect::as_wanted(worker, socket, (pool, backend)).await
}

#[cfg(test)]
mod tests;
