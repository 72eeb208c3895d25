//! Retries: what an exchange does after an attempt failed.
//!
//! Owns the rules of what may be repeated and the budget that keeps retries from becoming a storm. The
//! engine drives it: it counts each request of a pool, asks after each failed attempt, and performs the verdict. Where the
//! next attempt goes is the business of [`crate::balance`].

use wire::grpc;

use crate::plan::Retry;

/// How an attempt failed, before its answer was forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The connection could not be made, or not in time.
    Connect,
    /// A pooled connection had been closed; nothing of the request was written.
    NothingWritten,
    /// The connection broke before the first byte of the answer; the backend may have seen the request.
    Reset,
    /// No first byte of the answer in time, by `first_byte` or by `per_try`.
    FirstByteTimeout,
    /// The backend was declared down while we waited for its first byte.
    BackendDown,
    /// The answer has this status.
    Status(u16),
    /// The answer to a gRPC call is no more than this status.
    Grpc(grpc::Status),
    /// The answer is not HTTP, or not to be trusted. Another backend must not be asked: with bad framing nobody knows
    /// what was executed.
    Malformed,
}

/// What is known of the exchange when an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempted {
    /// The method is idempotent (RFC 9110, section 9.2.2).
    pub idempotent: bool,
    /// What was sent of the body can be sent again from its start; true without a body.
    pub replayable: bool,
    /// The attempt used a pooled connection, on which nothing of an answer came.
    pub reused: bool,
    /// Attempts so far, this one included.
    pub tries_done: u32,
}

/// What now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Another attempt.
    Again {
        /// Whether it was taken from the budget.
        charge: bool,
    },
    /// No other attempt.
    GiveUp,
}

/// Decides after a failed attempt; a charged verdict has taken from the budget.
///
/// - Nothing is repeated whose body cannot be sent again, nor a malformed answer.
/// - When the backend has seen no byte, any method is repeated, free of charge.
/// - A gRPC call that ended at once with a status that the terms name is repeated, within the budget.
/// - Otherwise only idempotent methods, where the terms say so, within the budget.
///
/// A connection that had gone stale ([`is_stale`]) does not come here: that attempt goes on over a fresh one.
pub fn decide(terms: &Retry, attempted: &Attempted, failure: Failure, budget: &mut Budget, now_ms: u64) -> Verdict {
    match price(terms, attempted, failure) {
        Price::Free => Verdict::Again { charge: false },
        Price::One if budget.try_take(now_ms, terms.budget_percent) => Verdict::Again { charge: true },
        Price::One | Price::Forbidden => Verdict::GiveUp,
    }
}

/// Whether an exchange whose tries are over may go on because no backend has taken its connection: nobody has seen a byte
/// of it.
#[must_use]
pub fn may_outlast(terms: &Retry, attempted: &Attempted, failure: Failure) -> bool {
    failure == Failure::Connect && terms.connect && terms.tries > 1 && attempted.replayable
}

/// What another attempt takes from the budget.
enum Price {
    Free,
    One,
    Forbidden,
}

fn price(terms: &Retry, attempted: &Attempted, failure: Failure) -> Price {
    if !attempted.replayable || attempted.tries_done >= terms.tries {
        return Price::Forbidden;
    }
    match failure {
        Failure::Connect | Failure::NothingWritten if terms.connect => Price::Free,
        // Who names a status says that what ends with it may be repeated.
        Failure::Grpc(status) if terms.grpc.contains(status) => Price::One,
        _ if attempted.idempotent && is_wanted(terms, failure) => Price::One,
        _ => Price::Forbidden,
    }
}

/// Whether the failure says only that a pooled connection had ended while it was idle: then the same attempt goes on over
/// a fresh connection to the same backend, which is no retry, costs nothing and blames nobody (RFC 9112, section 9.3.1).
/// A fresh connection is never stale, so that this happens once.
#[must_use]
pub fn is_stale(attempted: &Attempted, failure: Failure) -> bool {
    attempted.reused
        && attempted.replayable
        && match failure {
            Failure::NothingWritten => true,
            Failure::Reset => attempted.idempotent,
            _ => false,
        }
}

/// Whether the terms repeat a failure of which the backend may have seen the request.
fn is_wanted(terms: &Retry, failure: Failure) -> bool {
    match failure {
        Failure::Reset => terms.reset,
        Failure::FirstByteTimeout => terms.timeout,
        // Without the verdict it would have ended as one of the two.
        Failure::BackendDown => terms.reset || terms.timeout,
        Failure::Status(status) => terms.statuses.contains(&status),
        Failure::Connect | Failure::NothingWritten | Failure::Grpc(_) | Failure::Malformed => false,
    }
}

/// Length of the window that a budget looks back on.
const WINDOW: usize = 10;

/// Retries within a window that are always allowed: 10 a second.
const FLOOR: u32 = 100;

const SLOT_MS: u64 = 1000;

/// The retry budget of one pool in one worker: within the last ten seconds (the running one and nine before), retries are
/// at most a percentage of requests, or 10 a second, whichever is more. So a pool that fails as a whole gets little more
/// than its own traffic, and one with little traffic still has its retries.
#[derive(Clone, Debug)]
pub struct Budget {
    /// One for each second, at its number modulo [`WINDOW`].
    slots: [Slot; WINDOW],
    /// The sum of all slots.
    sum: Slot,
    /// The number of the running second.
    second: u64,
    floor: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    requests: u32,
    retries: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self::for_share_of(1)
    }
}

impl Budget {
    /// The budget of one of so many workers, each of which has its share of the floor.
    #[must_use]
    pub fn for_share_of(workers: u32) -> Self {
        let floor = FLOOR.div_ceil(workers.max(1));
        Self { slots: [Slot::default(); WINDOW], sum: Slot::default(), second: 0, floor }
    }

    /// A request came to the pool.
    pub fn on_request(&mut self, now_ms: u64) {
        let slot = self.slot(now_ms);
        slot.requests = slot.requests.saturating_add(1);
        self.sum.requests = self.sum.requests.saturating_add(1);
    }

    /// Takes one retry, if there is one left.
    pub fn try_take(&mut self, now_ms: u64, percent: u32) -> bool {
        if !self.has_left(now_ms, percent) {
            return false;
        }
        let slot = self.slot(now_ms);
        slot.retries = slot.retries.saturating_add(1);
        self.sum.retries = self.sum.retries.saturating_add(1);
        true
    }

    fn has_left(&mut self, now_ms: u64, percent: u32) -> bool {
        self.advance(now_ms / SLOT_MS);
        let share = u64::from(self.sum.requests) * u64::from(percent) / 100;
        u64::from(self.sum.retries) < share.max(u64::from(self.floor))
    }

    fn slot(&mut self, now_ms: u64) -> &mut Slot {
        self.advance(now_ms / SLOT_MS);
        &mut self.slots[place(self.second)]
    }

    /// Forgets the slots that have left the window. A clock that goes back counts into the running second.
    fn advance(&mut self, second: u64) {
        if second <= self.second {
            return;
        }
        for passed in (self.second + 1..=second).take(WINDOW) {
            self.slots[place(passed)] = Slot::default();
        }
        self.second = second;
        self.sum = self.slots.iter().fold(Slot::default(), |sum, slot| Slot {
            requests: sum.requests.saturating_add(slot.requests),
            retries: sum.retries.saturating_add(slot.retries),
        });
    }
}

fn place(second: u64) -> usize {
    usize::try_from(second % WINDOW as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn terms() -> Retry {
        Retry {
            tries: 3,
            per_try: None,
            connect: true,
            reset: true,
            timeout: true,
            statuses: vec![502, 503],
            grpc: Default::default(),
            budget_percent: 20,
            body_buffer: 65536,
        }
    }

    const GET: Attempted = Attempted { idempotent: true, replayable: true, reused: false, tries_done: 1 };
    const POST: Attempted = Attempted { idempotent: false, ..GET };
    const FREE: Verdict = Verdict::Again { charge: false };
    const CHARGED: Verdict = Verdict::Again { charge: true };

    const FAILURES: [Failure; 8] = [
        Failure::Connect,
        Failure::NothingWritten,
        Failure::Reset,
        Failure::FirstByteTimeout,
        Failure::BackendDown,
        Failure::Status(503),
        Failure::Status(500),
        Failure::Malformed,
    ];

    fn verdict(attempted: Attempted, failure: Failure) -> Verdict {
        decide(&terms(), &attempted, failure, &mut Budget::default(), 0)
    }

    fn verdicts(attempted: Attempted) -> [Verdict; 8] {
        FAILURES.map(|failure| verdict(attempted, failure))
    }

    #[test]
    fn only_what_no_backend_has_seen_outlasts_its_tries() {
        let attempted = Attempted { idempotent: false, replayable: true, reused: false, tries_done: 9 };
        let may = |change: fn(&mut Retry), attempted: &Attempted, failure| {
            let mut terms = terms();
            change(&mut terms);
            may_outlast(&terms, attempted, failure)
        };
        assert!(may(|_| {}, &attempted, Failure::Connect), "whatever the method");
        assert!(!may(|_| {}, &attempted, Failure::Reset));
        assert!(!may(|terms| terms.tries = 1, &attempted, Failure::Connect), "retries are off");
        assert!(!may(|terms| terms.connect = false, &attempted, Failure::Connect));
        assert!(!may(|_| {}, &Attempted { replayable: false, ..attempted }, Failure::Connect));
    }

    #[test]
    fn what_is_repeated_depends_on_method_and_failure() {
        use Verdict::GiveUp;
        assert_eq!(verdicts(GET), [FREE, FREE, CHARGED, CHARGED, CHARGED, CHARGED, GiveUp, GiveUp]);
        assert_eq!(verdicts(POST), [FREE, FREE, GiveUp, GiveUp, GiveUp, GiveUp, GiveUp, GiveUp]);
    }

    #[test]
    fn a_body_that_is_gone_is_never_sent_again() {
        for attempted in [GET, POST, Attempted { reused: true, ..GET }] {
            assert_eq!(verdicts(Attempted { replayable: false, ..attempted }), [Verdict::GiveUp; 8]);
        }
    }

    #[test]
    fn tries_count_the_first_attempt() {
        assert_eq!(verdict(Attempted { tries_done: 2, ..GET }, Failure::Reset), CHARGED);
        assert_eq!(verdicts(Attempted { tries_done: 3, ..GET }), [Verdict::GiveUp; 8]);
    }

    #[test]
    fn a_stale_connection_is_no_failed_attempt() {
        let stale = |attempted| FAILURES.map(|failure| is_stale(&attempted, failure));
        let reused = |attempted: Attempted| Attempted { reused: true, tries_done: 10, ..attempted };
        let (yes, no) = (true, false);
        assert_eq!(stale(reused(GET)), [no, yes, yes, no, no, no, no, no]);
        assert_eq!(stale(reused(POST)), [no, yes, no, no, no, no, no, no]);
        for fresh in [GET, POST, Attempted { replayable: false, ..reused(GET) }] {
            assert_eq!(stale(fresh), [no; 8]);
        }
    }

    #[test]
    fn what_the_terms_leave_out_is_not_repeated() {
        let none = Retry { connect: false, reset: false, timeout: false, statuses: Vec::new(), ..terms() };
        let decide_by = |terms: &Retry, failure| decide(terms, &GET, failure, &mut Budget::default(), 0);
        for failure in FAILURES {
            assert_eq!(decide_by(&none, failure), Verdict::GiveUp, "{failure:?}");
        }
        for (reset, timeout, expected) in [(true, false, CHARGED), (false, true, CHARGED)] {
            let terms = Retry { reset, timeout, ..none.clone() };
            assert_eq!(decide_by(&terms, Failure::BackendDown), expected);
            assert_eq!(decide_by(&terms, Failure::Reset) == CHARGED, reset);
            assert_eq!(decide_by(&terms, Failure::FirstByteTimeout) == CHARGED, timeout);
        }
    }

    #[test]
    fn the_budget_is_a_share_of_requests_or_the_floor() {
        let mut budget = Budget::default();
        let mut taken = |requests: u32, now_ms| {
            (0..requests).for_each(|_| budget.on_request(now_ms));
            (0..10_000).take_while(|_| budget.try_take(now_ms, 20)).count()
        };
        assert_eq!(taken(10, 0), 100);
        assert_eq!(taken(990, 1000), 100);
        assert_eq!(taken(0, 9_999), 0);
        // The first second has left the window, and with it its 100 retries and 10 requests.
        assert_eq!(taken(0, 10_000), 98);
        assert_eq!(taken(0, 1_000_000), 100);
        let mut shares = Budget::for_share_of(8);
        assert_eq!((0..100).take_while(|_| shares.try_take(5, 20)).count(), 13);
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing_away() {
        let mut budget = Budget::default();
        while budget.try_take(9_000, 20) {}
        assert!(!budget.try_take(1_000, 20));
        assert!(!budget.try_take(9_000, 20));
        assert!(budget.try_take(19_000, 20));
    }

    #[test]
    fn an_empty_budget_stops_what_costs_and_nothing_else() {
        let mut budget = Budget::default();
        while budget.try_take(0, 20) {}
        let mut ask = |attempted, failure| decide(&terms(), &attempted, failure, &mut budget, 0);
        assert_eq!(ask(GET, Failure::Status(503)), Verdict::GiveUp);
        assert_eq!(ask(POST, Failure::Connect), FREE);
        assert_eq!(ask(GET, Failure::Malformed), Verdict::GiveUp);
    }

    fn failure() -> impl Strategy<Value = Failure> {
        prop::sample::select(FAILURES.to_vec())
    }

    /// A request or a wish for a retry, so many milliseconds after the last event.
    fn event() -> impl Strategy<Value = (bool, u64)> {
        (any::<bool>(), prop_oneof![9 => 0u64..50, 1 => 0u64..20_000])
    }

    proptest! {
        #[test]
        fn an_exchange_ends_whatever_fails(
            tries in 1u32..6, failures in prop::collection::vec((failure(), any::<bool>(), any::<bool>()), 30),
        ) {
            let terms = Retry { tries, ..terms() };
            let mut budget = Budget::default();
            let mut tries_done = 0;
            for (failure, idempotent, reused) in failures {
                tries_done += 1;
                let attempted = Attempted { idempotent, replayable: true, reused, tries_done };
                if decide(&terms, &attempted, failure, &mut budget, 0) == Verdict::GiveUp {
                    break;
                }
            }
            prop_assert!(tries_done <= tries);
        }

        /// Against a log of all events that is counted anew each time.
        #[test]
        fn retries_never_exceed_the_budget(events in prop::collection::vec(event(), 1..2000), percent in 0u32..150) {
            let mut budget = Budget::for_share_of(20);
            let mut now_ms = 1_700_000_000_000;
            let mut log: VecDeque<(u64, bool)> = VecDeque::new();
            for (is_request, pause_ms) in events {
                now_ms += pause_ms;
                log.retain(|(second, _)| second + 10 > now_ms / 1000);
                let count = |wanted| log.iter().filter(|(_, is_request)| *is_request == wanted).count();
                let allowed = (count(true) * percent as usize / 100).max(5);
                if is_request {
                    budget.on_request(now_ms);
                } else {
                    let taken = budget.try_take(now_ms, percent);
                    prop_assert_eq!(taken, count(false) < allowed);
                    if !taken {
                        continue;
                    }
                }
                log.push_back((now_ms / 1000, is_request));
            }
        }
    }
}
