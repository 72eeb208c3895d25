//! The circuit breakers of pools, at work: what the workers share of them.
//!
//! Owns the way from what workers count to `policy::breaker` and back. A pool without a breaker costs one look at an
//! `Option`; a closed one costs a request one load, and an attempt two stores. Only what fails takes the lock, and the
//! first attempt of each worker within a slot of the window.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use policy::breaker::{Admission, Breaker, Changed, Counts, Outcome, Position};
use policy::plan::{self, PoolId};
use wire::grpc::{Status, Statuses};

use crate::clock::Instant;
use crate::report::Report;
use crate::worker::Worker;

/// The circuit of one pool, for all workers.
#[derive(Debug)]
pub(crate) struct Circuit {
    started: Instant,
    closed: AtomicBool,
    /// Until when everything is refused, so that a flood takes no lock.
    refused_until_ms: AtomicU64,
    slot_ms: u64,
    statuses: Box<[u16]>,
    grpc: Statuses,
    machine: Mutex<Breaker>,
}

/// A circuit as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircuitFigures {
    /// The state.
    pub position: Position,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: SystemTime,
    /// Until when it stays open at least.
    pub until: Option<SystemTime>,
    /// Times it opened.
    pub openings: u64,
}

/// Whether a request may go to a pool.
pub(crate) enum Entry {
    Pass(Option<Trial>),
    /// It may not; after so many seconds another may.
    Refused {
        wait_s: u32,
    },
}

/// A request that tries a pool whose circuit is half open; dropped without a last word, it has said nothing.
pub(crate) struct Trial {
    worker: Rc<Worker>,
    pool: PoolId,
    number: u64,
    outcome: Outcome,
}

impl Circuit {
    pub(crate) fn new(terms: &plan::Breaker) -> Self {
        let machine = Breaker::new(terms.clone());
        Self {
            started: Instant::now(),
            closed: AtomicBool::new(true),
            refused_until_ms: AtomicU64::new(0),
            slot_ms: machine.slot_ms(),
            statuses: terms.statuses.clone().into(),
            grpc: terms.grpc,
            machine: Mutex::new(machine),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether an answer with this status, and one of gRPC if it has that, counts as a failure.
    pub(crate) fn counts(&self, status: u16, call: Option<Status>) -> bool {
        self.statuses.contains(&status) || call.is_some_and(|status| self.grpc.contains(status))
    }

    pub(crate) fn figures(&self) -> CircuitFigures {
        let figures = self.lock().figures();
        let (now, now_ms) = (SystemTime::now(), self.now_ms());
        let ago = Duration::from_millis(now_ms.saturating_sub(figures.since_ms));
        CircuitFigures {
            position: figures.position,
            reason: figures.reason,
            since: now.checked_sub(ago).unwrap_or(now),
            until: figures.until_ms.map(|until| now + Duration::from_millis(until.saturating_sub(now_ms))),
            openings: figures.openings,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        Instant::now().ms_since(self.started)
    }

    /// Lets the machine change, and everybody see it.
    fn drive(&self, event: impl FnOnce(&mut Breaker) -> Changed) -> Changed {
        let mut machine = self.lock();
        let changed = event(&mut machine);
        if changed == Changed::Yes {
            self.refused_until_ms.store(machine.figures().until_ms.unwrap_or(0), Ordering::Relaxed);
            self.closed.store(machine.position() == Position::Closed, Ordering::Release);
        }
        changed
    }

    fn admit(&self, now_ms: u64) -> Admission {
        let until_ms = self.refused_until_ms.load(Ordering::Relaxed);
        if now_ms < until_ms { Admission::Refused { until_ms } } else { self.lock().admit(now_ms) }
    }
}

/// Asks whether a request may go to a pool; a refusal is counted.
#[inline]
pub(crate) fn enter(worker: &Rc<Worker>, pool: PoolId) -> Entry {
    match of(worker, pool) {
        Some(circuit) if !circuit.is_closed() => ask(circuit, worker, pool),
        _ => Entry::Pass(None),
    }
}

#[cold]
fn ask(circuit: &Circuit, worker: &Rc<Worker>, pool: PoolId) -> Entry {
    let now_ms = circuit.now_ms();
    match circuit.admit(now_ms) {
        Admission::Pass => Entry::Pass(None),
        Admission::Trial(number) => {
            Entry::Pass(Some(Trial { worker: Rc::clone(worker), pool, number, outcome: Outcome::Nothing }))
        }
        Admission::Refused { until_ms } => {
            worker.counters().circuits[pool.0 as usize].refused.add(1);
            let wait_s = until_ms.saturating_sub(now_ms).div_ceil(1000).max(1);
            Entry::Refused { wait_s: u32::try_from(wait_s).unwrap_or(u32::MAX) }
        }
    }
}

/// The circuit of a pool that has a breaker.
pub(crate) fn of(worker: &Worker, pool: PoolId) -> Option<&Circuit> {
    worker.shared.pools[pool.0 as usize].circuit.as_deref()
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempted {
    Well,
    Ill,
    /// It was counted as well by its head, but its answer broke off.
    IllAfterAll,
}

/// An attempt at a backend of the pool has ended.
pub(crate) fn note(worker: &Worker, pool: PoolId, attempted: Attempted) {
    let Some(circuit) = of(worker, pool) else { return };
    let counters = &worker.counters().circuits[pool.0 as usize];
    counters.ended.add(u64::from(attempted != Attempted::IllAfterAll));
    counters.failed.add(u64::from(attempted != Attempted::Well));
    let now_ms = circuit.now_ms();
    let is_first = worker.pool(pool).is_first_in(now_ms / circuit.slot_ms);
    if is_first || attempted != Attempted::Well {
        let workers = || worker.shared.workers.iter().map(|worker| &worker.counters.circuits[pool.0 as usize]);
        let counts = Counts {
            ended: workers().map(|counters| counters.ended.get()).sum(),
            failed: workers().map(|counters| counters.failed.get()).sum(),
        };
        if circuit.drive(|machine| machine.note(now_ms, counts)) == Changed::Yes {
            worker.report(Report::Circuit { pool });
        }
    }
}

impl Trial {
    /// Says how it went.
    pub(crate) fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let Some(circuit) = of(&self.worker, self.pool) else { return };
        let now_ms = circuit.now_ms();
        if circuit.drive(|machine| machine.trial_ended(now_ms, self.number, self.outcome)) == Changed::Yes {
            self.worker.report(Report::Circuit { pool: self.pool });
        }
    }
}
