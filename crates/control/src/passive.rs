//! Passive health, driven: what the workers saw goes to `policy::outlier`, its rulings go to the record and the workers.
//!
//! Owns the machine of each pool. Driven by the workers' reports, by the posts' probes, and by time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use engine::PoolShared;
use engine::counters::BackendCounters;
use policy::balance::Standing;
use policy::outlier::{Changed, Offer, Outliers, Probe, Ruling, Sighting, Trial};
use policy::plan::{Plan, PoolId};

use crate::backends::{Against, Seat};
use crate::clock::Clock;
use crate::probe::post::Desk;

/// The machines.
#[derive(Debug)]
pub(crate) struct Passive {
    clock: Clock,
    /// By pool; `None` where ejection is off.
    pools: Mutex<Vec<Option<Outliers>>>,
}

impl Passive {
    pub(crate) fn new(plan: &Plan, clock: Clock) -> Self {
        let machine =
            |pool: &policy::plan::Pool| pool.eject.as_ref().map(|terms| Outliers::new(terms.clone(), &pool.backends));
        Self { clock, pools: Mutex::new(plan.pools.iter().map(machine).collect()) }
    }

    fn pools(&self) -> MutexGuard<'_, Vec<Option<Outliers>>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long until time itself changes something.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        let now_ms = self.clock.uptime_ms();
        let due = self.pools().iter().flatten().filter_map(|machine| machine.next_due_ms(now_ms)).min()?;
        Some(Duration::from_millis(due.saturating_sub(now_ms)))
    }
}

impl Desk {
    /// A worker says that a backend fails again and again.
    pub(crate) fn failing(&self, seat: Seat) {
        let seen = self.sightings(seat.pool);
        self.drive(seat.pool, |machine, now_ms| machine.failed_in_a_row(now_ms, seat.backend, &seen));
    }

    /// News of a trial.
    pub(crate) fn trial_told(&self, seat: Seat, trial: Trial) {
        self.drive(seat.pool, |machine, now_ms| machine.trial_told(now_ms, seat.backend, trial));
    }

    /// A probe ended; the standing that it leaves.
    pub(crate) fn probed(&self, seat: Seat, probe: Probe, standing: Standing) {
        self.drive(seat.pool, |machine, now_ms| machine.probed(now_ms, seat.backend, probe, standing));
    }

    /// A standing without a probe.
    pub(crate) fn stands(&self, seat: Seat, standing: Standing) {
        self.drive(seat.pool, |machine, _| {
            machine.stands(seat.backend, standing);
            Changed::No
        });
    }

    /// Once a second: rates and latencies.
    pub(crate) fn look(&self) {
        for pool in self.pool_ids() {
            let seen = self.sightings(pool);
            self.drive(pool, |machine, now_ms| machine.look(now_ms, &seen));
        }
    }

    /// Ejections whose time is over.
    pub(crate) fn pass_time(&self) {
        for pool in self.pool_ids() {
            self.drive(pool, Outliers::pass_time);
        }
    }

    fn pool_ids(&self) -> impl Iterator<Item = PoolId> + use<> {
        (0..self.shared.pools.len()).filter_map(|pool| u32::try_from(pool).ok()).map(PoolId)
    }

    fn drive(&self, pool: PoolId, event: impl FnOnce(&mut Outliers, u64) -> Changed) {
        let now_ms = self.passive.clock.uptime_ms();
        let mut pools = self.passive.pools();
        let Some(machine) = &mut pools[pool.0 as usize] else { return };
        if event(machine, now_ms) == Changed::Yes {
            for backend in 0..self.shared.pools[pool.0 as usize].backends.len() {
                self.carry(machine, Seat { pool, backend }, now_ms);
            }
        }
    }

    /// Carries a ruling to the record and the workers.
    fn carry(&self, machine: &Outliers, seat: Seat, now_ms: u64) {
        let shared: &PoolShared = &self.shared.pools[seat.pool.0 as usize];
        let ruling = machine.ruling(now_ms, seat.backend);
        let offer = if let Ruling::Ejected { offer, .. } = &ruling { *offer } else { Offer::Nothing };
        let against = match ruling {
            Ruling::Clear => Against::Nothing,
            Ruling::Spared(note) => Against::Spared(note),
            Ruling::Ejected { reason, until_ms, .. } => {
                let until = SystemTime::now() + Duration::from_millis(until_ms.saturating_sub(now_ms));
                Against::Ejected { reason, until }
            }
        };
        // Who is spared fails still: with that forgotten, the others would no longer fail as it does.
        let is_clear = matches!(against, Against::Nothing);
        let was_ejected = self.backends.rule(seat, against, machine.tally(seat.backend));
        if was_ejected && is_clear {
            shared.backends[seat.backend].passive.forget();
        }
        shared.offer_trial(seat.backend, offer);
        self.settle(seat);
    }

    /// What the workers have counted of a pool's backends.
    fn sightings(&self, pool: PoolId) -> Vec<Sighting> {
        let pool_index = pool.0 as usize;
        let sighting = |(index, backend): (usize, &engine::BackendShared)| {
            let (failures, fault) = backend.passive.streak();
            let sum = |counter: fn(&BackendCounters) -> u64| {
                self.shared.workers.iter().map(|worker| counter(&worker.counters.pools[pool_index][index])).sum()
            };
            Sighting {
                failures,
                fault,
                ended: sum(|c| c.requests.get() + c.failures.get()),
                faults: sum(|c| c.faults.get()),
                // Those given up for a faster one speak as well, by the time that they had: else hedging would hide who is slow.
                answers: sum(|c| c.requests.get() + c.overtaken.get()),
                first_byte_us: sum(|c| c.first_byte_us.get() + c.overtaken_us.get()),
            }
        };
        self.shared.pools[pool_index].backends.iter().enumerate().map(sighting).collect()
    }
}
