//! What all threads of the process share about backends, listeners and limits.
//!
//! Owns the few atomics in which the planes meet: standing, running requests and latency of each backend (written by
//! `control` and the workers, read by every pick) and the counters of each worker (written by one thread, read by `control`).

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use policy::balance::{Evidence, Latency, Loads, Standing};
use policy::outlier::Offer;
use policy::plan::{Address, Backend, Plan, Wanted};

use crate::blocks::Blocks;
use crate::buffered::Buffered;
use crate::circuit::{Circuit, CircuitFigures};
use crate::clients::Clients;
use crate::clock::Instant;
use crate::connections::Connections;
use crate::counters::WorkerCounters;
use crate::credits::Credits;
use crate::gate::{SharedShortage, WorkerShortage};
use crate::passive::Passive;
use crate::queue::{Capped, Queue, QueueFigures};

/// A backend's whole weight, in thousandths.
pub(crate) const WHOLE_WEIGHT: u16 = 1000;

/// The shared state of a process.
#[derive(Debug)]
pub struct Shared {
    /// By pool id.
    pub pools: Vec<PoolShared>,
    /// One for each worker.
    pub workers: Vec<WorkerShared>,
    /// What each key of each rate limit has used up.
    pub(crate) credits: Credits,
    /// Connections by client, for each listener that caps them.
    pub(crate) clients: Vec<Option<Arc<Clients>>>,
    /// Networks that are refused.
    pub blocks: Blocks,
    /// What buffered bodies hold.
    pub buffered: Buffered,
    /// What the whole process is short of.
    pub shortage: SharedShortage,
    /// Set once the process stops taking new connections.
    pub stopping: AtomicBool,
    /// Client connections that may be open at once: `limits.connections`, or less where the system allows less.
    pub connection_limit: AtomicUsize,
    /// When the workers' clocks began: one for all, so that what one notes is of use to the others.
    pub(crate) started: Instant,
}

/// The shared state of a pool.
#[derive(Debug)]
pub struct PoolShared {
    /// Grows with each change of a standing or address, and some time after changes of weights, after the change; workers compare it at each pick.
    pub epoch: AtomicU64,
    /// By index in the pool.
    pub backends: Vec<BackendShared>,
    /// Only where the pool has a circuit breaker.
    pub(crate) circuit: Option<Box<Circuit>>,
    /// Only where a backend has a cap.
    pub(crate) queue: Option<Box<Queue>>,
}

/// The shared state of a backend: one cache-line pair, so that two backends never share one.
#[derive(Debug)]
#[repr(align(128))]
pub struct BackendShared {
    standing: AtomicU8,
    /// Thousandths of its weight that it gets.
    permille: AtomicU16,
    active: AtomicU32,
    /// Bits of a [`Latency`]; only pools whose policy wants it note it.
    latency: AtomicU64,
    /// Evidence for passive health.
    pub passive: Passive,
    /// Only where they are capped.
    pub(crate) connections: Option<Arc<Connections>>,
    resolved: RwLock<Option<SocketAddr>>,
}

/// The shared state of a worker.
#[derive(Debug)]
#[repr(align(128))]
pub struct WorkerShared {
    /// Client connections it holds now.
    pub connections: AtomicUsize,
    /// Whether it is short of CPU.
    pub shortage: WorkerShortage,
    /// Its counters.
    pub counters: WorkerCounters,
}

impl Shared {
    /// Fresh state for a plan: standings unknown, or excluded where the plan says so; all counters zero.
    #[must_use]
    pub fn new(plan: &Plan, workers: usize) -> Arc<Self> {
        let pool = |pool: &policy::plan::Pool| PoolShared {
            epoch: AtomicU64::new(1),
            backends: pool.backends.iter().map(BackendShared::new).collect(),
            circuit: pool.breaker.as_ref().map(|terms| Box::new(Circuit::new(terms))),
            queue: Queue::new(pool).map(Box::new),
        };
        let worker = |_| WorkerShared {
            connections: AtomicUsize::new(0),
            shortage: WorkerShortage::default(),
            counters: WorkerCounters::new(plan),
        };
        Arc::new(Self {
            pools: plan.pools.iter().map(pool).collect(),
            workers: (0..workers).map(worker).collect(),
            credits: Credits::new(plan),
            clients: plan.listeners.iter().map(|listener| listener.client_connections.map(Clients::new)).collect(),
            blocks: Blocks::default(),
            buffered: Buffered::new(plan.limits.buffered),
            shortage: SharedShortage::default(),
            stopping: AtomicBool::new(false),
            connection_limit: AtomicUsize::new(plan.limits.connections),
            started: Instant::now(),
        })
    }

    /// Client connections of the whole process.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.workers.iter().map(|worker| worker.connections.load(Ordering::Relaxed)).sum()
    }

    /// Keys of rate limits that were forgotten before their credit was whole again, because too many others came.
    #[must_use]
    pub fn forgotten_credits(&self) -> u64 {
        self.credits.forgotten()
    }
}

impl PoolShared {
    /// Tells the workers of a backend's new standing. Returns whether it differs from the old one.
    pub fn set_standing(&self, backend: usize, standing: Standing) -> bool {
        let old = self.backends[backend].standing.swap(standing as u8, Ordering::Release);
        self.epoch.fetch_add(1, Ordering::Release);
        if let Some(capped) = Capped::new(self) {
            capped.serve();
        }
        old != standing as u8
    }

    /// Offers the workers a trial of an ejected backend, or takes the offer back.
    pub fn offer_trial(&self, backend: usize, offer: Offer) {
        if self.backends[backend].passive.offer(offer) {
            self.epoch.fetch_add(1, Ordering::Release);
        }
    }

    /// Where the pool's circuit stands; `None` where it has no breaker.
    #[must_use]
    pub fn circuit_figures(&self) -> Option<CircuitFigures> {
        self.circuit.as_ref().map(|circuit| circuit.figures())
    }

    /// What the pool's queue has seen; zeros where no backend has a cap.
    #[must_use]
    pub fn queue_figures(&self) -> QueueFigures {
        self.queue.as_ref().map(|queue| queue.figures()).unwrap_or_default()
    }

    /// Whether anybody waits in the pool's queue.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.has_waiting())
    }

    /// Most requests at once at a backend, as it is now; `None` is no cap.
    #[must_use]
    pub fn cap(&self, backend: usize) -> Option<u32> {
        self.queue.as_ref().and_then(|queue| queue.cap(backend))
    }

    /// Changes the cap of a backend that had one from the beginning.
    pub fn set_cap(&self, backend: usize, places: u32) {
        if let Some(capped) = Capped::new(self) {
            capped.set_cap(backend, places);
        }
    }

    /// Sets the thousandths of a backend's weight that it gets. Workers hear of it with the next change of a standing, or
    /// by [`PoolShared::announce`], which is for the caller to call when it has set all: in a large pool, each
    /// announcement costs each worker a look at every backend. Returns whether it differs from the old one.
    pub fn set_weight(&self, backend: usize, permille: u16) -> bool {
        self.backends[backend].permille.swap(permille, Ordering::Relaxed) != permille
    }

    /// Has the workers look for what has changed.
    pub fn announce(&self) {
        self.epoch.fetch_add(1, Ordering::Release);
    }

    /// Tells the workers where a named backend is now.
    pub fn set_resolved(&self, backend: usize, addr: Option<SocketAddr>) {
        if let Ok(mut resolved) = self.backends[backend].resolved.write() {
            *resolved = addr;
        }
        self.epoch.fetch_add(1, Ordering::Release);
    }
}

impl BackendShared {
    fn new(backend: &Backend) -> Self {
        let resolved = match &backend.address {
            Address::Ip(addr) => Some(*addr),
            Address::Name(..) | Address::Unix(_) => None,
        };
        let standing = match backend.state {
            Wanted::Ready => Standing::Unknown,
            Wanted::Drained | Wanted::Down => Standing::Excluded,
        };
        let permille = AtomicU16::new(WHOLE_WEIGHT);
        Self {
            standing: AtomicU8::new(standing as u8),
            permille,
            active: AtomicU32::new(0),
            latency: AtomicU64::new(Latency::default().to_bits()),
            passive: Passive::default(),
            connections: backend.caps.max_connections.map(Connections::new),
            resolved: RwLock::new(resolved),
        }
    }

    /// How eligible it is.
    #[must_use]
    pub fn standing(&self) -> Standing {
        const ALL: [Standing; 5] =
            [Standing::Ready, Standing::Unknown, Standing::Ejected, Standing::Out, Standing::Excluded];
        let value = self.standing.load(Ordering::Acquire);
        ALL.into_iter().find(|&standing| standing as u8 == value).unwrap_or_default()
    }

    /// Thousandths of its weight that it gets.
    #[must_use]
    pub fn permille(&self) -> u16 {
        self.permille.load(Ordering::Relaxed)
    }

    /// Where it is, if known; for Unix sockets never.
    #[must_use]
    pub fn resolved(&self) -> Option<SocketAddr> {
        self.resolved.read().ok().and_then(|resolved| *resolved)
    }

    /// Running attempts, over all workers.
    #[must_use]
    pub fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// How long it takes to answer, in microseconds; `None` if nothing recent is known, or the pool's policy does not ask.
    #[must_use]
    pub fn latency_us(&self, now_ms: u64) -> Option<u32> {
        Latency::from_bits(self.latency.load(Ordering::Relaxed)).at(now_ms)
    }

    /// Notes what an attempt said of it, and after how long.
    pub(crate) fn note(&self, evidence: Evidence, took_us: u64, now_ms: u64) {
        let changed = |bits| {
            let new = Latency::from_bits(bits).after(evidence, took_us, now_ms).to_bits();
            (new != bits).then_some(new)
        };
        // Nothing new is no failure.
        let _ = self.latency.fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed);
    }

    /// As `active`, in one order for all threads with `begin_below` and `end_in_order`.
    pub(crate) fn active_in_order(&self) -> u32 {
        self.active.load(Ordering::SeqCst)
    }

    /// Counts an attempt, unless so many run.
    pub(crate) fn begin_below(&self, cap: u32) -> bool {
        let one_more = |active: u32| (active < cap).then(|| active + 1);
        self.active.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).is_ok()
    }

    pub(crate) fn end_in_order(&self) {
        self.active.fetch_sub(1, Ordering::SeqCst);
    }

    pub(crate) fn begin(&self) {
        self.active.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.active.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Loads for PoolShared {
    fn active(&self, backend: usize) -> u32 {
        self.backends[backend].active()
    }

    fn latency_us(&self, backend: usize, now_ms: u64) -> Option<u32> {
        self.backends[backend].latency_us(now_ms)
    }
}
