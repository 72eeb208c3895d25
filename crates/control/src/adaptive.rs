//! Keeps the caps that find themselves: reads what the workers count of each such backend, and sets its cap.
//!
//! Costs the workers nothing: what it reads they count anyway. How a cap moves is for [`policy::adaptive`] to say.

use std::sync::Arc;
use std::time::Duration;

use engine::Shared;
use policy::adaptive::{Came, Limit};
use policy::plan::Plan;
use policy::rng::Rng;

use crate::clock::{Clock, dice};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A backend whose cap finds itself.
struct Kept {
    pool: usize,
    backend: usize,
    limit: Limit,
    before: Came,
}

/// All of them.
pub(crate) struct Caps {
    shared: Arc<Shared>,
    kept: Vec<Kept>,
    clock: Clock,
    rng: Rng,
}

impl Caps {
    pub(crate) fn new(plan: &Plan, shared: Arc<Shared>, clock: Clock) -> Self {
        let mut kept = Vec::new();
        for (pool, wanted) in plan.pools.iter().enumerate() {
            for (backend, wanted) in wanted.backends.iter().enumerate() {
                let Some(terms) = wanted.caps.adaptive else { continue };
                kept.push(Kept { pool, backend, limit: Limit::new(terms), before: Came::default() });
            }
        }
        Self { shared, kept, clock, rng: dice(0) }
    }

    /// Looks for the life of the process, if there is anything to look at.
    pub(crate) async fn keep(mut self) {
        if self.kept.is_empty() {
            return;
        }
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            self.look(self.clock.uptime_ms());
        }
    }

    fn look(&mut self, now_ms: u64) {
        for kept in &mut self.kept {
            let pool = &self.shared.pools[kept.pool];
            let mut sum = Came { waiting: pool.has_waiting(), ..Came::default() };
            for worker in &self.shared.workers {
                let counters = &worker.counters.pools[kept.pool][kept.backend];
                sum.answers += counters.requests.get();
                sum.latency_us += counters.first_byte_us.get();
                sum.failures += counters.failures.get();
            }
            let before = std::mem::replace(&mut kept.before, sum);
            let came = Came {
                answers: sum.answers.saturating_sub(before.answers),
                latency_us: sum.latency_us.saturating_sub(before.latency_us),
                failures: sum.failures.saturating_sub(before.failures),
                waiting: sum.waiting,
            };
            pool.set_cap(kept.backend, kept.limit.tick(now_ms, came, &mut self.rng));
        }
    }
}

#[cfg(test)]
mod tests {
    use policy::plan::Adaptive;

    use super::*;
    use crate::samples::{plan, pool};

    #[test]
    fn caps_move_with_what_the_workers_count() {
        let mut wanted = pool("app", 2);
        wanted.backends[1].caps.adaptive = Some(Adaptive { min: 4, max: 1000 });
        let plan = plan(vec![wanted]);
        let shared = Shared::new(&plan, 2);
        assert_eq!((shared.pools[0].cap(0), shared.pools[0].cap(1)), (None, Some(10)));
        let mut caps = Caps::new(&plan, Arc::clone(&shared), Clock::start());
        let answer = |latency_us: u64, failures: u64| {
            for worker in &shared.workers {
                let counters = &worker.counters.pools[0][1];
                counters.requests.add(50);
                counters.first_byte_us.add(50 * latency_us);
                counters.failures.add(failures);
            }
        };
        answer(50_000, 0);
        caps.look(100);
        let grown = shared.pools[0].cap(1);
        assert!(grown > Some(10), "{grown:?}");
        answer(50_000, 50);
        caps.look(200);
        assert!(shared.pools[0].cap(1) < grown);
        let now = shared.pools[0].cap(1);
        caps.look(300);
        assert_eq!((shared.pools[0].cap(0), shared.pools[0].cap(1)), (None, now));
    }
}
