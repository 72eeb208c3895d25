//! Attempts: a pick, its place at the backend, and what it goes over.
//!
//! Owns the life of an attempt from the pick to the moment when the backend has its place back, and the ways to a connection:
//! one that is idle here, one that another worker has, one that is shared, or a new one. The exchange drives it.

use super::{Idle, Unasked};
use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;

use policy::balance::Standing;
use policy::plan::{Address, PoolId};

use crate::clock::Instant;
use crate::connect::{self, ConnectError};
use crate::connections::{Connections, Found, Hold};
use crate::counters::BackendCounters;
use crate::h2::{Dialogues, Turn};
use crate::passive::{Risk, Trial};
use crate::queue::Capped;
use crate::shared::BackendShared;
use crate::stream::Stream;
use crate::upstream::Carrier;
use crate::worker::{Command, Worker};

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
            Ok(stream) => {
                if let Err(error) = Dialogues::opened(worker, (pool, backend), stream).await {
                    return Err(opener.fail(error));
                }
            }
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
