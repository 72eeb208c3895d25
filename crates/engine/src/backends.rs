//! The pools of one worker: picking a backend, its idle connections, and opening new ones.
//!
//! Owns what a worker knows of backends for itself (its balancer, idle connections, retry budget). Standings, weights
//! and addresses come from [`crate::Shared`] and are read anew whenever a pool's epoch has moved.

mod attempt;

use std::cell::{Cell, RefCell, RefMut};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use policy::balance::{self, Balancer, NodeShare, Pick, Standing, Terms};
use policy::hedge::Latencies;
use policy::plan::{Panic, Pool, Subset};
use policy::retry::Budget;
use policy::rng::{self, Rng};

use crate::clock::Instant;
use crate::connections::Hold;
use crate::counters::BackendCounters;
use crate::exchange::Tried;
use crate::h2::Dialogues;
use crate::outage::Outage;
use crate::passive::{Risk, SKIP};
use crate::queue::Capped;
use crate::shared::{PoolShared, Shared, WHOLE_WEIGHT};
use crate::stream::{Rest, Stream};
use crate::worker::Worker;

pub(crate) use attempt::{Attempt, NoAttempt, Wish};

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

#[cfg(test)]
mod tests;
