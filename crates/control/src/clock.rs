//! The clock and the dice of the control plane; `policy` gets both as arguments.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::time::{Instant, SystemTime};

use policy::rng::Rng;

/// When the process began, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    /// By the calendar.
    pub(crate) started_at: SystemTime,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { started: Instant::now(), started_at: SystemTime::now() }
    }

    /// Time since the start.
    pub(crate) fn uptime(&self) -> std::time::Duration {
        self.started.elapsed()
    }

    /// Milliseconds since the start.
    pub(crate) fn uptime_ms(&self) -> u64 {
        u64::try_from(self.uptime().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The calendar's now, in Unix milliseconds.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds that only grow, whatever is done to the calendar: what health counts waits in. They begin as the
/// calendar stood when they were first asked for.
pub(crate) fn steady_ms() -> u64 {
    static ORIGIN: OnceLock<(Instant, u64)> = OnceLock::new();
    let (instant, ms) = ORIGIN.get_or_init(|| (Instant::now(), unix_ms()));
    ms.saturating_add(u64::try_from(instant.elapsed().as_millis()).unwrap_or(u64::MAX))
}

/// A generator with a seed of its own in every process and for every `which`.
pub(crate) fn dice(which: usize) -> Rng {
    Rng::new(RandomState::new().hash_one(which))
}
