//! Waiting for a condition.

use std::time::{Duration, Instant};

/// How long anything may take before a test calls it a failure. Far beyond what it takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at a condition that nobody tells us of.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits until `what` holds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    eventually_some(what, || holds().then_some(()));
}

/// Waits until there is a value.
#[track_caller]
pub(crate) fn eventually_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}
