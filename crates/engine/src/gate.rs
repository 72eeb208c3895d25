//! The gate of a worker: whether a request may pass while the node is short of something.
//!
//! Owns the pulse of a worker, which measures how long ready work waits for its turn, and what each worker takes from the
//! shared shares for memory and descriptors, which `control` measures. How much is refused and who is for
//! [`policy::overload`] to say. While nothing is short, a request costs a look.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::time::Duration;

use policy::overload::{self, Lag, Shortage};
use policy::plan::Urgency;

use crate::clock::Instant;
use crate::worker::Worker;

/// Between two pulses of a worker that has nothing to do.
const IDLE_PULSE: Duration = Duration::from_millis(200);
const PULSE: Duration = Duration::from_millis(overload::PULSE_MS);
/// Between two looks of an acceptor that is to let the clients that are here be served first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What `control` has found for all workers: shares to refuse, in thousandths.
#[derive(Debug, Default)]
pub struct SharedShortage {
    /// For want of memory.
    pub memory: AtomicU16,
    /// For want of descriptors.
    pub descriptors: AtomicU16,
}

/// What a worker has found.
#[derive(Debug, Default)]
pub struct WorkerShortage {
    /// Milliseconds that ready work waited for its turn when it was last measured.
    pub lag_ms: AtomicU32,
    /// Share to refuse for want of CPU, in thousandths.
    pub cpu: AtomicU16,
}

/// The gate of one worker.
pub(crate) struct Gate {
    gate: RefCell<overload::Gate>,
    short_of: Cell<Shortage>,
    /// Requests that have come to the gate; tells an idle worker.
    came: Cell<u64>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self { gate: RefCell::default(), short_of: Cell::new(Shortage::Cpu), came: Cell::new(0) }
    }

    /// Whether a request may pass, and if not, for want of what.
    pub(crate) fn admit(&self, urgency: Urgency) -> Result<(), Shortage> {
        self.came.set(self.came.get().wrapping_add(1));
        if self.gate.borrow_mut().admits(urgency) { Ok(()) } else { Err(self.short_of.get()) }
    }

    /// Waits while it is so bad that new connections are to be taken in slowly, since each needs what there is none of. For
    /// want of CPU they are not: who is refused at once costs least, and does not come again by a retransmission.
    pub(crate) async fn pass_slowly(&self, stopping: bool) {
        let is_extreme = self.short_of.get() != Shortage::Cpu && self.gate.borrow().is_extreme();
        if is_extreme && !stopping {
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }

    /// Whether requests are refused.
    pub(crate) fn is_shedding(&self) -> bool {
        self.gate.borrow().is_shedding()
    }

    fn refuse(&self, shares: [u16; Shortage::ALL.len()]) {
        let most = Shortage::ALL.into_iter().zip(shares).max_by_key(|(_, share)| *share);
        if let Some((shortage, share)) = most {
            self.short_of.set(shortage);
            self.gate.borrow_mut().refuse(share);
        }
    }
}

/// Measures for the life of a worker how long ready work waits, and sets its gate.
pub(crate) async fn pulse(worker: Rc<Worker>) {
    let limit = worker.plan.overload.lag.map(|lag| u64::try_from(lag.as_millis()).unwrap_or(u64::MAX));
    let mut lag = limit.map(Lag::new);
    let mut came = 0;
    loop {
        let is_idle = worker.gate.came.get() == came && !worker.gate.is_shedding();
        came = worker.gate.came.get();
        let due = Instant::now() + if is_idle { IDLE_PULSE } else { PULSE };
        tokio::time::sleep_until(due.for_tokio()).await;
        let waited = u64::try_from(due.elapsed().as_millis()).unwrap_or(u64::MAX);
        let cpu = lag.as_mut().map_or(0, |lag| lag.pulse(waited));
        let own = &worker.shared.workers[worker.id].shortage;
        own.lag_ms.store(u32::try_from(waited).unwrap_or(u32::MAX), Ordering::Relaxed);
        own.cpu.store(cpu, Ordering::Relaxed);
        let all = &worker.shared.shortage;
        let (memory, descriptors) = (all.memory.load(Ordering::Relaxed), all.descriptors.load(Ordering::Relaxed));
        worker.gate.refuse([cpu, memory, descriptors]);
    }
}
