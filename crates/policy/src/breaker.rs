//! The circuit breaker of a pool: whether it is asked at all.
//!
//! Owns the verdict, its reason and how long it holds. The engine drives it with what the workers counted ([`Counts`]),
//! asks it for each request while it is not closed, and tells how trials ended. That single backends are left alone is
//! the business of [`crate::outlier`]; this is for what ejection cannot help: a pool that fails as a whole.

use std::time::Duration;

use crate::plan;

/// Parts of the window that are forgotten one by one.
const SLOTS: usize = 10;
/// So many times `for` without opening halve the next opening.
const FORGIVEN_AFTER: u64 = 10;

/// Attempts at all backends of the pool, from the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// That ended, well or not.
    pub ended: u64,
    /// That failed through a backend's fault.
    pub failed: u64,
}

/// Whether a request may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Pass,
    /// It may, as a trial: how it went is to be told, with this number.
    Trial(u64),
    /// It may not; another may fare better at this time.
    Refused {
        /// In the caller's milliseconds.
        until_ms: u64,
    },
}

/// How a trial went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It got a good answer.
    Passed,
    /// The pool failed it.
    Failed,
    /// It says nothing: its client went away, or it never came to a backend.
    Nothing,
}

/// The state, as people read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Requests pass.
    Closed,
    /// Requests are refused.
    Open,
    /// A few requests try the pool, the others are refused.
    HalfOpen,
}

impl Position {
    /// The word in status, log and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// What people must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// The state.
    pub position: Position,
    /// Why.
    pub reason: String,
    /// Since when, in the caller's milliseconds.
    pub since_ms: u64,
    /// Until when it stays open at least.
    pub until_ms: Option<u64>,
    /// Times it opened, failed trials included.
    pub openings: u64,
}

/// Whether a call changed the [`Position`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It did.
    Yes,
    /// It did not.
    No,
}

/// ```text
///                too large a share of the attempts failed
///    ┌────────┐ ─────────────────────────────────────────► ┌──────┐
///    │ Closed │                                            │ Open │ ◄─┐
///    └────────┘                                            └──────┘   │
///        ▲                                    its time is over, and   │ a trial failed:
///        │                                       a request comes      │ twice as long
///        │                                                 ▼          │
///        │         `trials` trials passed            ┌──────────┐     │
///        └────────────────────────────────────────── │ HalfOpen │ ────┘
///                                                    └──────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open {
        why: Why,
        until_ms: u64,
    },
    HalfOpen {
        why: Why,
        /// Trials under way.
        running: u32,
        passed: u32,
    },
}

/// Why it opened first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Why {
    failed: u64,
    ended: u64,
}

/// The circuit breaker of one pool, for all workers.
#[derive(Clone, Debug)]
pub struct Breaker {
    terms: plan::Breaker,
    state: State,
    since_ms: u64,
    /// What came within each slot of the window; its number tells whether it is still within.
    slots: [(u64, Counts); SLOTS],
    last: Counts,
    /// Openings that are not forgiven yet; each doubles the next.
    times: u32,
    openings: u64,
}

impl Breaker {
    /// Closed.
    #[must_use]
    pub fn new(terms: plan::Breaker) -> Self {
        Self {
            terms,
            state: State::Closed,
            since_ms: 0,
            slots: [(0, Counts::default()); SLOTS],
            last: Counts::default(),
            times: 0,
            openings: 0,
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn position(&self) -> Position {
        match self.state {
            State::Closed => Position::Closed,
            State::Open { .. } => Position::Open,
            State::HalfOpen { .. } => Position::HalfOpen,
        }
    }

    /// Milliseconds between two calls of [`Self::note`] that are enough while nothing fails.
    #[must_use]
    pub fn slot_ms(&self) -> u64 {
        (millis(self.terms.window) / SLOTS as u64).max(1)
    }

    /// Attempts have ended: to be called after each that failed, and else once in [`Self::slot_ms`].
    pub fn note(&mut self, now_ms: u64, now: Counts) -> Changed {
        let number = now_ms / self.slot_ms();
        let slot = &mut self.slots[usize::try_from(number % SLOTS as u64).unwrap_or(0)];
        if slot.0 != number {
            *slot = (number, Counts::default());
        }
        slot.1.ended += now.ended.saturating_sub(self.last.ended);
        slot.1.failed += now.failed.saturating_sub(self.last.failed);
        self.last = now;
        if self.state != State::Closed {
            return Changed::No;
        }
        let Counts { ended, failed } = self.within(number);
        let share = failed.saturating_mul(100) >= u64::from(self.terms.failure_percent).saturating_mul(ended);
        if failed == 0 || ended < u64::from(self.terms.requests) || !share {
            return Changed::No;
        }
        let calm = now_ms.saturating_sub(self.since_ms) / (millis(self.terms.time) * FORGIVEN_AFTER).max(1);
        self.times = self.times.saturating_sub(u32::try_from(calm).unwrap_or(u32::MAX));
        self.open(now_ms, Why { failed, ended })
    }

    /// Whether a request may pass now.
    pub fn admit(&mut self, now_ms: u64) -> Admission {
        match self.state {
            State::Closed => Admission::Pass,
            State::Open { until_ms, .. } if now_ms < until_ms => Admission::Refused { until_ms },
            State::Open { why, .. } => {
                self.move_to(now_ms, State::HalfOpen { why, running: 1, passed: 0 });
                Admission::Trial(self.openings)
            }
            State::HalfOpen { why, running, passed } if running + passed < self.terms.trials => {
                self.state = State::HalfOpen { why, running: running + 1, passed };
                Admission::Trial(self.openings)
            }
            State::HalfOpen { .. } => Admission::Refused { until_ms: now_ms },
        }
    }

    /// The trial of that number ended. One from before the last opening says nothing any more.
    pub fn trial_ended(&mut self, now_ms: u64, number: u64, outcome: Outcome) -> Changed {
        let State::HalfOpen { why, running, passed } = self.state else { return Changed::No };
        if number != self.openings {
            return Changed::No;
        }
        let running = running.saturating_sub(1);
        match outcome {
            Outcome::Failed => self.open(now_ms, why),
            Outcome::Passed if passed + 1 >= self.terms.trials => {
                self.slots = Default::default();
                self.move_to(now_ms, State::Closed)
            }
            Outcome::Passed => {
                self.state = State::HalfOpen { why, running, passed: passed + 1 };
                Changed::No
            }
            Outcome::Nothing => {
                self.state = State::HalfOpen { why, running, passed };
                Changed::No
            }
        }
    }

    /// What people must know now.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let opened = |why: Why| format!("{} of {} attempts failed", why.failed, why.ended);
        let (reason, until_ms) = match self.state {
            State::Closed if self.openings == 0 => ("it has never been open".to_owned(), None),
            State::Closed => (format!("{} trials passed", self.terms.trials), None),
            State::Open { why, until_ms } => match self.times {
                1 => (opened(why), Some(until_ms)),
                times => (format!("{}; opened {times} times in a row", opened(why)), Some(until_ms)),
            },
            State::HalfOpen { why, passed, .. } => {
                (format!("{}; {passed} of {} trials passed", opened(why), self.terms.trials), None)
            }
        };
        Figures { position: self.position(), reason, since_ms: self.since_ms, until_ms, openings: self.openings }
    }

    fn within(&self, number: u64) -> Counts {
        let recent = self.slots.iter().filter(|(of, _)| number.saturating_sub(*of) < SLOTS as u64);
        recent.fold(Counts::default(), |sum, (_, slot)| Counts {
            ended: sum.ended + slot.ended,
            failed: sum.failed + slot.failed,
        })
    }

    fn open(&mut self, now_ms: u64, why: Why) -> Changed {
        self.times = self.times.saturating_add(1);
        self.openings += 1;
        let doublings = (self.times - 1).min(32);
        let wait_ms = (millis(self.terms.time) << doublings).min(millis(self.terms.max_time)).max(1);
        self.move_to(now_ms, State::Open { why, until_ms: now_ms.saturating_add(wait_ms) })
    }

    fn move_to(&mut self, now_ms: u64, state: State) -> Changed {
        self.state = state;
        self.since_ms = now_ms;
        Changed::Yes
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).min(1 << 30)
}

#[cfg(test)]
mod tests;
