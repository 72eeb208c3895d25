//! A short outage of a whole pool, as one worker sees it: none of its backends takes connections.
//!
//! Owns who may wait for its end and who knocks meanwhile. Exchanges that nobody takes wait here instead of failing, and
//! one of them tries again now and then; when it gets through, all go on. An outage that lasts is no longer waited out.

use std::cell::Cell;
use std::time::Duration;

use crate::clock::Instant;

/// An outage that has lasted so long is not waited out any more: clients had better know.
const WAITED_OUT: Duration = Duration::from_secs(10);
/// Between two knocks of a worker at a pool.
const KNOCK_EVERY: Duration = Duration::from_millis(40);

/// One worker's view of one pool.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    seen: Cell<Option<Seen>>,
    waiting: Cell<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    since: Instant,
    /// The last knock, or the first sight.
    knocked: Instant,
}

/// One exchange that waits; gives its place back when dropped.
pub(crate) struct Waiting<'a>(&'a Outage);

impl Outage {
    /// A connection was made.
    pub(crate) fn ended(&self) {
        self.seen.set(None);
    }

    /// Lets an exchange wait, unless the outage has lasted too long or so many wait already.
    pub(crate) fn join(&self, now: Instant, most: usize) -> Option<Waiting<'_>> {
        // After a silence nobody knows whether it is still the same one.
        let known = self.seen.get().filter(|seen| now.saturating_duration_since(seen.knocked) < WAITED_OUT);
        let seen = known.unwrap_or(Seen { since: now, knocked: now });
        self.seen.set(Some(Seen { knocked: now, ..seen }));
        if now.saturating_duration_since(seen.since) >= WAITED_OUT || self.waiting.get() >= most {
            return None;
        }
        self.waiting.set(self.waiting.get() + 1);
        Some(Waiting(self))
    }
}

impl Waiting<'_> {
    /// Whether to try again now: it is over, or this one is to knock.
    pub(crate) fn tries_now(&self, now: Instant) -> bool {
        let Some(seen) = self.0.seen.get() else { return true };
        let knocks = now.saturating_duration_since(seen.knocked) >= KNOCK_EVERY;
        if knocks {
            self.0.seen.set(Some(Seen { knocked: now, ..seen }));
        }
        knocks
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn one_knocks_at_a_time_and_all_go_on_when_it_is_over() {
        let (outage, t0) = (Outage::default(), Instant::now());
        let (one, two) = (outage.join(t0, 10).unwrap(), outage.join(t0, 10).unwrap());
        assert!(!one.tries_now(t0 + ms(39)));
        assert!(one.tries_now(t0 + ms(40)));
        assert!(!two.tries_now(t0 + ms(41)));
        assert!(two.tries_now(t0 + ms(80)));
        outage.ended();
        assert!(one.tries_now(t0 + ms(81)) && two.tries_now(t0 + ms(81)));
    }

    #[test]
    fn no_more_wait_than_may() {
        let (outage, t0) = (Outage::default(), Instant::now());
        let one = outage.join(t0, 1);
        assert!(one.is_some() && outage.join(t0, 1).is_none());
        drop(one);
        assert!(outage.join(t0, 1).is_some());
        assert!(outage.join(t0, 0).is_none());
    }

    #[test]
    fn what_lasts_is_not_waited_out_and_a_new_one_is() {
        let (outage, t0) = (Outage::default(), Instant::now());
        for second in 0..10 {
            assert!(outage.join(t0 + ms(1000 * second), 10).is_some(), "{second} s");
        }
        for second in 10..15 {
            assert!(outage.join(t0 + ms(1000 * second), 10).is_none(), "{second} s");
        }
        outage.ended();
        assert!(outage.join(t0 + ms(15_000), 10).is_some(), "another one");
        assert!(outage.join(t0 + ms(25_000), 10).is_some(), "after a silence it may be another one");
    }
}
