//! Evidence for passive health: failures in a row over all workers, and who may try an ejected backend.
//!
//! Owns the atomics that the workers share for it. A success writes only when there was a failure before. What the
//! evidence means is decided in `policy::outlier`; `control` carries it there and the rulings back.

use std::rc::Rc;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, Ordering};
use std::time::Duration;

use policy::outlier::{Fault, Offer, Trial as Told};
use policy::plan::PoolId;

use crate::report::Report;
use crate::worker::Worker;

/// For so long a worker leaves a backend alone that it could not connect to, unless a verdict comes before.
pub(crate) const SKIP: Duration = Duration::from_millis(250);

/// Of one backend.
#[derive(Debug, Default)]
pub struct Passive {
    /// Failures before a good head, in a row.
    failures: AtomicU32,
    /// Answers that ended badly, in a row.
    cuts: AtomicU32,
    /// The last fault's code; 0 for none.
    fault: AtomicU16,
    trial: AtomicU8,
}

/// Values of [`Passive::trial`].
const NOTHING: u8 = 0;
const REPEATABLE: u8 = 1;
const ANY: u8 = 2;
/// Under way; what was offered is beside it.
const TAKEN: u8 = 4;

/// Whether an exchange may be risked on a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Risk {
    /// This attempt is no first one.
    No,
    /// What fails can be repeated.
    Repeatable,
    /// What fails has failed.
    Once,
}

impl Passive {
    /// Failures in a row, and the last.
    #[must_use]
    pub fn streak(&self) -> (u32, Option<Fault>) {
        let failures = self.failures.load(Ordering::Relaxed).max(self.cuts.load(Ordering::Relaxed));
        (failures, Fault::from_code(self.fault.load(Ordering::Relaxed)))
    }

    /// Forgets the failures: the backend comes back with a clean record.
    pub fn forget(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.cuts.store(0, Ordering::Relaxed);
    }

    /// A good head came.
    pub(crate) fn answered(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// An answer came whole.
    pub(crate) fn completed(&self) {
        if self.cuts.load(Ordering::Relaxed) != 0 {
            self.cuts.store(0, Ordering::Relaxed);
        }
    }

    /// Counts a failure. Returns how many there are in a row.
    pub(crate) fn failed(&self, fault: Fault) -> u32 {
        self.fault.store(fault.code(), Ordering::Relaxed);
        let count = if fault.is_at_end() { &self.cuts } else { &self.failures };
        count.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Offers a trial, or none any more. Returns whether workers must look anew.
    pub(crate) fn offer(&self, offer: Offer) -> bool {
        let value = match offer {
            Offer::Nothing => NOTHING,
            Offer::Repeatable => REPEATABLE,
            Offer::Any => ANY,
        };
        let change = |old: u8| {
            // One that is under way is not offered twice.
            let keeps = old == value || (value != NOTHING && old & TAKEN != 0);
            (!keeps).then_some(value)
        };
        self.trial.fetch_update(Ordering::AcqRel, Ordering::Acquire, change).is_ok() && value != NOTHING
    }

    /// Whether a trial is offered or under way.
    pub(crate) fn has_trial(&self) -> bool {
        self.trial.load(Ordering::Acquire) != NOTHING
    }

    /// Takes the trial, if it is offered to such an exchange.
    pub(crate) fn take(&self, risk: Risk) -> bool {
        let fits = |offered: u8| match risk {
            Risk::No => false,
            Risk::Repeatable => matches!(offered, REPEATABLE | ANY),
            Risk::Once => offered == ANY,
        };
        let take = |offered: u8| fits(offered).then_some(offered | TAKEN);
        self.trial.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).is_ok()
    }

    /// A trial ended without evidence: another may be made.
    fn give_back(&self) {
        let give = |value: u8| (value & TAKEN != 0).then_some(value & !TAKEN);
        // An error means that it was decided meanwhile.
        let _ = self.trial.fetch_update(Ordering::AcqRel, Ordering::Acquire, give);
    }
}

/// A trial under way; dropped without a last word, it may be made again.
pub(crate) struct Trial {
    worker: Rc<Worker>,
    pool: PoolId,
    backend: usize,
    settled: bool,
}

impl Trial {
    pub(crate) fn new(worker: &Rc<Worker>, pool: PoolId, backend: usize) -> Self {
        Self { worker: Rc::clone(worker), pool, backend, settled: false }
    }

    /// Says how it goes; there may be more to say.
    pub(crate) fn tell(&self, trial: Told) -> bool {
        self.worker.try_report(Report::Trial { pool: self.pool, backend: self.backend, trial })
    }

    /// Says how it went. What `control` cannot hear is as if it had not been.
    pub(crate) fn end(mut self, trial: Told) {
        self.settled = self.tell(trial);
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if !self.settled {
            self.worker.shared.pools[self.pool.0 as usize].backends[self.backend].passive.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_in_a_row_count_and_cuts_count_apart() {
        let passive = Passive::default();
        assert_eq!(passive.streak(), (0, None));
        assert_eq!((passive.failed(Fault::Reset), passive.failed(Fault::Status(503))), (1, 2));
        assert_eq!(passive.streak(), (2, Some(Fault::Status(503))));
        passive.answered();
        assert_eq!(passive.failed(Fault::Truncated), 1);
        passive.answered();
        assert_eq!(passive.failed(Fault::Truncated), 2, "a good head says nothing of the end");
        passive.completed();
        assert_eq!(passive.streak().0, 0);
    }

    #[test]
    fn a_trial_is_taken_once_and_only_by_whom_it_is_offered_to() {
        let passive = Passive::default();
        assert!(!passive.take(Risk::Repeatable));
        assert!(passive.offer(Offer::Repeatable));
        assert!(!passive.take(Risk::No) && !passive.take(Risk::Once));
        assert!(passive.take(Risk::Repeatable));
        assert!(!passive.take(Risk::Repeatable) && !passive.offer(Offer::Repeatable));
        passive.give_back();
        assert!(passive.take(Risk::Repeatable));
        passive.offer(Offer::Nothing);
        passive.give_back();
        assert!(!passive.has_trial(), "what was decided stays");
        passive.offer(Offer::Any);
        assert!(passive.take(Risk::Once));
    }
}
