//! What time it is, for those who ask several times in one request.
//!
//! Owns one type: [`Instant`], the standard library's in one machine word. A time of that library is seconds and
//! nanoseconds apart, and each comparison or difference costs it branches and carries; an exchange has a dozen.

use std::num::NonZeroU64;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// Nanoseconds of the system's monotonic clock, which begins at 1 and lasts for 584 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(NonZeroU64);

impl Instant {
    /// What time it is.
    #[inline]
    pub(crate) fn now() -> Self {
        Self::at(crate::sys::monotonic_ns())
    }

    #[inline]
    fn at(ns: u64) -> Self {
        Self(NonZeroU64::new(ns).unwrap_or(NonZeroU64::MIN))
    }

    /// The time since an earlier instant; none if that is later.
    #[inline]
    pub(crate) fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }

    /// Whole milliseconds since an earlier instant; 0 if that is later.
    #[inline]
    pub(crate) fn ms_since(self, earlier: Self) -> u64 {
        self.0.get().saturating_sub(earlier.0.get()) / 1_000_000
    }

    /// Whole microseconds since an earlier instant; 0 if that is later.
    #[inline]
    pub(crate) fn us_since(self, earlier: Self) -> u64 {
        self.0.get().saturating_sub(earlier.0.get()) / 1_000
    }

    /// The time since then.
    pub(crate) fn elapsed(self) -> Duration {
        Self::now().saturating_duration_since(self)
    }

    /// The same time for tokio.
    pub(crate) fn for_tokio(self) -> tokio::time::Instant {
        tokio::time::Instant::now() + self.saturating_duration_since(Self::now())
    }
}

/// Nanoseconds; a duration that is longer than the clock lasts ends with it.
#[inline]
fn ns(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(duration.subsec_nanos()))
}

impl Add<Duration> for Instant {
    type Output = Self;

    #[inline]
    fn add(self, after: Duration) -> Self {
        Self(self.0.saturating_add(ns(after)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, after: Duration) {
        *self = *self + after;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, before: Duration) -> Self {
        Self::at(self.0.get().saturating_sub(ns(before)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_with_the_systems_clock() {
        let (ours, theirs) = (Instant::now(), std::time::Instant::now());
        while theirs.elapsed() < Duration::from_millis(2) {}
        assert!(ours.elapsed() >= Duration::from_millis(2));
        assert!(ours.for_tokio() <= tokio::time::Instant::now());
        let later = ours + Duration::from_secs(100);
        assert!(later.for_tokio() > tokio::time::Instant::now() + Duration::from_secs(90));
    }

    #[test]
    fn differences_end_at_nothing() {
        let now = Instant::now();
        let later = now + Duration::from_micros(2_500);
        assert_eq!((later.ms_since(now), later.us_since(now), now.us_since(later)), (2, 2_500, 0));
        assert_eq!(later.saturating_duration_since(now), Duration::from_micros(2_500));
        assert_eq!(now.saturating_duration_since(later), Duration::ZERO);
        assert_eq!(later - Duration::from_micros(2_500), now);
        assert!(now + Duration::MAX >= later && now - Duration::MAX <= now);
    }

    #[test]
    fn a_time_that_may_not_be_takes_no_more_room() {
        assert_eq!(size_of::<Option<Instant>>(), 8);
    }
}
