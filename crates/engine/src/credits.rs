//! The state of rate limits: which key has used up how much, for all workers.
//!
//! Owns bounded tables, one for each limit, in shards with a lock each; the arithmetic is `policy::limit`. A key is a hash
//! that nobody outside can foretell, so that keys cannot be made to meet. When a set of a table is full, the key whose
//! credit is whole again, or will be first, makes room.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use policy::limit::{Asker, By, RateLimit, Verdict};
use policy::plan::{Plan, RouteId};

use crate::clock::Instant;

/// Keys of one table: 1 MiB, of which untouched pages cost nothing.
const KEYS: usize = SHARDS * SETS * WAYS;
const SHARDS: usize = 64;
/// Sets in a shard.
const SETS: usize = 128;
/// Keys in a set: so many are looked at for each request.
const WAYS: usize = 8;
const _: () = assert!(KEYS == 65_536, "docs/limits.md says so");

/// The hash of a key, and when its credit is whole, in nanoseconds since the start. An array, since zeroed pages of it are
/// free until they are touched; zeroes are a key that has long been whole.
type Slot = [u64; 2];

/// The tables of all limits of a plan.
#[derive(Debug)]
pub(crate) struct Credits {
    routes: Vec<Option<Table>>,
    listeners: Vec<Option<Table>>,
}

/// The keys of one limit.
#[derive(Debug)]
pub(crate) struct Table {
    shards: Vec<Mutex<Vec<Slot>>>,
    hasher: RandomState,
    started: Instant,
    forgotten: AtomicU64,
}

impl Credits {
    pub(crate) fn new(plan: &Plan) -> Self {
        let table = |limit: &Option<RateLimit>| limit.as_ref().map(Table::new);
        Self {
            routes: plan.routes.iter().map(|route| table(&route.limit)).collect(),
            listeners: plan.listeners.iter().map(|listener| table(&listener.limit)).collect(),
        }
    }

    pub(crate) fn of_route(&self, id: RouteId) -> Option<&Table> {
        self.routes.get(id.0 as usize)?.as_ref()
    }

    pub(crate) fn of_listener(&self, index: usize) -> Option<&Table> {
        self.listeners.get(index)?.as_ref()
    }

    /// Keys forgotten before their credit was whole.
    pub(crate) fn forgotten(&self) -> u64 {
        let tables = self.routes.iter().chain(&self.listeners).flatten();
        tables.map(|table| table.forgotten.load(Ordering::Relaxed)).sum()
    }
}

impl Table {
    fn new(limit: &RateLimit) -> Self {
        let (shards, slots) = match limit.by {
            By::All => (1, WAYS),
            By::Client { .. } | By::Header(_) => (SHARDS, SETS * WAYS),
        };
        Self {
            shards: (0..shards).map(|_| Mutex::new(vec![[0, 0]; slots])).collect(),
            hasher: RandomState::new(),
            started: Instant::now(),
            forgotten: AtomicU64::new(0),
        }
    }

    /// Judges a request, and takes from the credit of its key if it passes.
    pub(crate) fn judge(&self, limit: &RateLimit, asker: &Asker<'_>) -> Verdict {
        let mut hasher = self.hasher.build_hasher();
        limit.by.hash_key(asker, &mut hasher);
        let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.judge_key(limit, std::hash::Hasher::finish(&hasher), now)
    }

    fn judge_key(&self, limit: &RateLimit, key: u64, now: u64) -> Verdict {
        // Different bits choose shard and set.
        let shard = index(key >> 32, self.shards.len());
        let mut slots = self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        let set = index(key, slots.len() / WAYS) * WAYS;
        let set = &mut slots[set..set + WAYS];
        let known = set.iter().position(|[of, _]| *of == key);
        let at = known.or_else(|| (0..WAYS).min_by_key(|at| set[*at][1])).unwrap_or(0);
        let whole_at = if known.is_some() { set[at][1] } else { 0 };
        let verdict = limit.rate.judge(whole_at, now);
        if let Verdict::Pass { whole_at } = verdict {
            if known.is_none() && set[at][1] > now {
                self.forgotten.fetch_add(1, Ordering::Relaxed);
            }
            set[at] = [key, whole_at];
        }
        verdict
    }
}

/// A place from 0 to below `len`, which is far below 2^32.
fn index(bits: u64, len: usize) -> usize {
    usize::try_from(bits & u64::from(u32::MAX)).unwrap_or(0) % len
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use policy::limit::{Mode, Rate};

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn limit(by: By, burst: u32) -> RateLimit {
        RateLimit { rate: Rate { requests: 10, window: Duration::from_secs(1), burst }, by, mode: Mode::Enforce }
    }

    fn by_client() -> By {
        By::Client { v4: 32, v6: 64 }
    }

    fn passes(table: &Table, limit: &RateLimit, key: u64, now: u64) -> bool {
        matches!(table.judge_key(limit, key, now), Verdict::Pass { .. })
    }

    /// Keys as the hasher gives them.
    fn spread(n: u64) -> u64 {
        policy::rng::mix(n + 1)
    }

    #[test]
    fn each_key_has_a_credit_of_its_own() {
        let limit = limit(by_client(), 2);
        let table = Table::new(&limit);
        for key in (0..1000).map(spread) {
            let passed = (0..5).filter(|_| passes(&table, &limit, key, SECOND)).count();
            assert_eq!(passed, 2);
        }
        assert_eq!(table.forgotten.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_table_keeps_its_size_and_forgets_whole_credits_first() {
        let limit = limit(by_client(), 100);
        let table = Table::new(&limit);
        let slots = |table: &Table| table.shards.iter().map(|shard| shard.lock().unwrap().len()).sum::<usize>();
        // One key has used up far more than each of a flood of others has.
        let busy = spread(u64::MAX / 2);
        assert_eq!((0..200).filter(|_| passes(&table, &limit, busy, 0)).count(), 100);
        for key in (0..500_000).map(spread) {
            assert!(passes(&table, &limit, key, 1));
        }
        assert_eq!(slots(&table), KEYS);
        assert!(table.forgotten.load(Ordering::Relaxed) > 400_000);
        assert!(!passes(&table, &limit, busy, 2), "the busiest is not forgotten");
        let before = table.forgotten.load(Ordering::Relaxed);
        // An hour later all credits are whole: nothing that matters is forgotten.
        for key in (1_000_000..1_010_000).map(spread) {
            assert!(passes(&table, &limit, key, 3600 * SECOND));
        }
        assert_eq!(table.forgotten.load(Ordering::Relaxed), before);
    }

    #[test]
    fn everybody_together_is_one_key() {
        let limit = limit(By::All, 3);
        let table = Table::new(&limit);
        assert_eq!((0..10).filter(|_| passes(&table, &limit, 7, 0)).count(), 3);
    }

    #[test]
    fn four_threads_share_one_credit() {
        let limit = limit(by_client(), 1000);
        let table = Table::new(&limit);
        let passed: usize = std::thread::scope(|scope| {
            let thread = || (0..10_000).filter(|_| passes(&table, &limit, spread(1), SECOND)).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(thread)).collect();
            threads.into_iter().map(|thread| thread.join().expect("it ends well")).sum()
        });
        assert_eq!(passed, 1000);
    }
}
