//! How long a backend takes to answer, as one number that the whole process shares.
//!
//! Owns what evidence does to the number and how it ages; who keeps it (one atomic for each backend) gives the time. It
//! is an average that looks at peaks, as in Finagle's balancer of the same name:
//! - an answer that took longer is believed at once;
//! - else the number falls with a time constant of [`DECAY_MS`], so that a backend that was slow is tried again: three
//!   times slower than the others after 11 s, ten times slower after 23 s;
//! - after [`MEMORY_MS`] without evidence nothing is known any more.
//!
//! Failing fast must not look like being fast: an answer of status 500 or above lets the number not fall, a failed attempt
//! doubles it. So a backend that fails now and then is hardly avoided, and one that fails each time sees a handful of
//! requests in half a minute. One that fails before it has ever answered counts as [`UNPROVEN_US`]. And who hangs must not
//! look idle because its clients go away: it takes at least as long as they waited.

use crate::retry::{Attempted, Failure};

/// Within this time a latency falls to 1/e.
const DECAY_MS: f32 = 10_000.0;

/// How long evidence counts; it has fallen to a twentieth by then.
const MEMORY_MS: u64 = 30_000;

/// The latency of a backend that has failed and never answered.
const UNPROVEN_US: f32 = 1e6;

/// The longest latency that is told from others.
const LONGEST_US: f32 = 60e6;

/// Time is counted in ticks; within one, only a peak changes anything, which saves writes.
const TICK_MS: u64 = 16;

/// What an attempt said of its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// It answered.
    Answer,
    /// It answered with a status of 500 or above.
    ErrorAnswer,
    /// There was no answer, and that was the backend's fault.
    Failure,
    /// It had not answered when somebody else gave up.
    Silence,
}

impl Evidence {
    /// What an answer of this status says.
    #[must_use]
    pub fn of_answer(status: u16) -> Self {
        if status >= 500 { Self::ErrorAnswer } else { Self::Answer }
    }

    /// What a failed attempt says; nothing if its backend is perhaps not to blame.
    #[must_use]
    pub fn of_failure(failure: Failure, attempted: &Attempted) -> Option<Self> {
        match failure {
            Failure::Status(status) => Some(Self::of_answer(status)),
            Failure::Grpc(_) => Some(Self::ErrorAnswer),
            // Backends close idle connections as they like, and one that went out is not picked any more.
            Failure::NothingWritten | Failure::BackendDown => None,
            Failure::Reset if attempted.reused => None,
            Failure::Connect | Failure::Reset | Failure::FirstByteTimeout | Failure::Malformed => Some(Self::Failure),
        }
    }
}

/// The latency of a backend with the time of its last evidence, in 64 bits, so that threads can share it without a lock.
/// It begins as knowing nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Latency {
    /// In microseconds as it was at its last evidence; 0 is nothing. A float, since it falls in very small steps.
    us: f32,
    /// The tick of its last evidence; wraps after two years.
    tick: u32,
}

impl Latency {
    /// What [`Latency::to_bits`] gave; of 0, a latency that knows nothing.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    pub fn from_bits(bits: u64) -> Self {
        Self { us: f32::from_bits(bits as u32), tick: (bits >> 32) as u32 }
    }

    /// All of it.
    #[must_use]
    pub fn to_bits(self) -> u64 {
        u64::from(self.tick) << 32 | u64::from(self.us.to_bits())
    }

    /// The latency in force, in microseconds, at least 1; `None` if nothing recent is known.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "LONGEST_US is the most")]
    pub fn at(self, now_ms: u64) -> Option<u32> {
        let age_ms = self.age_ms(tick_of(now_ms));
        (self.us > 0.0 && age_ms <= MEMORY_MS).then(|| (self.us * left_after(age_ms)).max(1.0) as u32)
    }

    /// With one more piece of evidence: what an attempt said that took so long, up to the first byte or its failure.
    #[must_use]
    pub fn after(self, evidence: Evidence, took_us: u64, now_ms: u64) -> Self {
        let (took, tick) = (took_us as f32, tick_of(now_ms));
        let age_ms = self.age_ms(tick);
        let known = Some(self.us).filter(|us| *us > 0.0 && age_ms <= MEMORY_MS);
        let us = match (evidence, known) {
            (Evidence::Answer, None) => took,
            (Evidence::Answer, Some(us)) => took.max(us * left_after(age_ms)),
            (Evidence::ErrorAnswer, None) => return self,
            (Evidence::ErrorAnswer, Some(us)) => us.max(took),
            (Evidence::Silence, known) if known.is_some_and(|us| took <= us * left_after(age_ms)) => return self,
            (Evidence::Silence, _) => took,
            (Evidence::Failure, None) => took.max(UNPROVEN_US),
            (Evidence::Failure, Some(us)) => took.max(us * left_after(age_ms) * 2.0),
        };
        // Workers read the clock each for itself: time does not go back.
        let tick = if known.is_some() && age_ms == 0 { self.tick } else { tick };
        Self { us: us.clamp(1.0, LONGEST_US), tick }
    }

    /// How old its evidence is; 0 if it comes from a worker whose clock is ahead.
    fn age_ms(self, tick: u32) -> u64 {
        let ticks = tick.wrapping_sub(self.tick).cast_signed();
        u64::try_from(ticks).unwrap_or(0) * TICK_MS
    }
}

#[expect(clippy::cast_possible_truncation, reason = "wraps on purpose")]
fn tick_of(now_ms: u64) -> u32 {
    (now_ms / TICK_MS) as u32
}

/// The share that age leaves of a latency.
fn left_after(age_ms: u64) -> f32 {
    // Under load most evidence is fresh, and an exponential costs as much as a throw.
    if age_ms == 0 { 1.0 } else { (age_ms as f32 * (-1.0 / DECAY_MS)).exp() }
}
