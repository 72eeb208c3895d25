//! Hedging: when a second attempt beside a slow first one is worth making.
//!
//! Owns what a worker remembers of a pool's latencies. What a second attempt costs is bounded by a
//! [`crate::retry::Budget`] of its own; where it goes is the business of [`crate::balance`].

use std::time::Duration;

use crate::plan::HedgeAfter;

/// Values below are counted one by one.
const EXACT: u64 = 1 << FINE_BITS;
/// Each power of two is cut into so many parts, as a power of two: a value is known to an eighth.
const FINE_BITS: u32 = 3;
/// Values from here on, 36 minutes, are counted as one.
const MOST_US: u64 = 1 << 31;
const BUCKETS: usize = ((31 - FINE_BITS as usize) << FINE_BITS) + (1 << FINE_BITS) + 1;
/// Two such times are remembered, the older one until the newer is whole.
const HALF_MS: u64 = 10_000;
/// Fewer answers say nothing of what is usual.
const LEAST: u64 = 50;
/// After so many new values a percentile is computed anew.
const STALE_AFTER: u32 = 32;

#[derive(Clone, Debug)]
struct Half {
    buckets: [u32; BUCKETS],
    values: u64,
}

impl Default for Half {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], values: 0 }
    }
}

/// What first attempts at a pool took of late, within the last ten to twenty seconds.
///
/// One that was given up because a second was faster counts with the time that it had: it would have taken longer, and
/// so stays among the slow. Else hedging would hide what it is for, and come earlier and earlier.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    halves: [Half; 2],
    began_ms: u64,
    /// The last percentile asked for, its value, and how many values came since.
    known: Option<(u16, u64)>,
    since: u32,
}

impl Latencies {
    /// A first attempt took so long, or longer.
    pub fn note(&mut self, now_ms: u64, us: u64) {
        self.turn(now_ms);
        let half = &mut self.halves[0];
        let count = &mut half.buckets[bucket(us)];
        *count = count.saturating_add(1);
        half.values += 1;
        self.since = self.since.saturating_add(1);
    }

    /// How long a first attempt is left alone; `None` while too little is known.
    pub fn delay(&mut self, now_ms: u64, after: HedgeAfter) -> Option<Duration> {
        match after {
            HedgeAfter::Time(time) => Some(time),
            HedgeAfter::Permille(permille) => self.permille(now_ms, permille).map(Duration::from_micros),
        }
    }

    /// The value that so many thousandths do not exceed.
    fn permille(&mut self, now_ms: u64, permille: u16) -> Option<u64> {
        self.turn(now_ms);
        if let Some((of, value)) = self.known
            && of == permille
            && self.since < STALE_AFTER
        {
            return Some(value);
        }
        let value = self.compute(permille);
        (self.known, self.since) = (value.map(|value| (permille, value)), 0);
        value
    }

    fn compute(&self, permille: u16) -> Option<u64> {
        let all: u64 = self.halves.iter().map(|half| half.values).sum();
        if all < LEAST {
            return None;
        }
        let mut above = all.saturating_sub((all * u64::from(permille)).div_ceil(1000));
        let buckets = self.halves[0].buckets.iter().zip(&self.halves[1].buckets).enumerate().rev();
        for (bucket, (new, old)) in buckets {
            let count = u64::from(*new) + u64::from(*old);
            if count > above {
                return Some(upper_us(bucket));
            }
            above -= count;
        }
        None
    }

    /// Forgets what is too old.
    fn turn(&mut self, now_ms: u64) {
        let passed = now_ms.saturating_sub(self.began_ms);
        if passed < HALF_MS {
            return;
        }
        let newer = std::mem::take(&mut self.halves[0]);
        self.halves[1] = if passed < 2 * HALF_MS { newer } else { Half::default() };
        (self.began_ms, self.known) = (now_ms, None);
    }
}

fn bucket(us: u64) -> usize {
    let us = us.min(MOST_US);
    let index = if us < EXACT {
        us
    } else {
        let power = us.ilog2() - FINE_BITS;
        (u64::from(power) << FINE_BITS) + (us >> power)
    };
    usize::try_from(index).map_or(BUCKETS - 1, |index| index.min(BUCKETS - 1))
}

/// The largest value of a bucket.
fn upper_us(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < EXACT {
        return bucket;
    }
    let power = (bucket >> FINE_BITS) - 1;
    ((bucket & (EXACT - 1) | EXACT) << power) + (1 << power) - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn p95(latencies: &mut Latencies, now_ms: u64) -> Option<u64> {
        latencies.permille(now_ms, 950)
    }

    #[test]
    fn too_few_values_are_no_percentile() {
        let mut latencies = Latencies::default();
        (1..LEAST).for_each(|_| latencies.note(0, 1000));
        assert_eq!(latencies.delay(0, HedgeAfter::Permille(950)), None);
        assert_eq!(
            latencies.delay(0, HedgeAfter::Time(Duration::from_millis(3))),
            Some(Duration::from_millis(3)),
            "what is fixed needs none"
        );
        latencies.note(0, 1000);
        assert_eq!(latencies.delay(0, HedgeAfter::Permille(950)), Some(Duration::from_micros(1023)));
    }

    #[test]
    fn a_twentieth_of_all_is_above() {
        let mut latencies = Latencies::default();
        (0..95).for_each(|_| latencies.note(0, 2_000));
        (0..5).for_each(|_| latencies.note(0, 900_000));
        assert_eq!(p95(&mut latencies, 0), Some(2_047));
        assert_eq!(latencies.permille(0, 990), Some(917_503));
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let mut latencies = Latencies::default();
        (0..100).for_each(|_| latencies.note(0, 1_000_000));
        (0..1000).for_each(|_| latencies.note(HALF_MS, 500));
        assert_eq!(latencies.permille(HALF_MS, 999), Some(1_048_575), "the older half still counts");
        (0..100).for_each(|_| latencies.note(2 * HALF_MS, 500));
        assert_eq!(latencies.permille(2 * HALF_MS, 999), Some(511));
        assert_eq!(p95(&mut latencies, 10 * HALF_MS), None);
    }

    proptest! {
        #[test]
        fn a_value_is_known_to_an_eighth(us in prop_oneof![0..1000u64, 0..MOST_US, any::<u64>()]) {
            let upper = upper_us(bucket(us));
            let us = us.min(MOST_US);
            prop_assert!(upper >= us);
            prop_assert!(upper - us <= us / 8, "{} for {}", upper, us);
            prop_assert!(bucket(us) < BUCKETS);
            prop_assert_eq!(bucket(upper), bucket(us));
        }

        #[test]
        fn a_percentile_is_that_of_the_values(mut values in prop::collection::vec(0..10_000_000u64, 50..400), permille in 500..1000u16) {
            let mut latencies = Latencies::default();
            values.iter().for_each(|us| latencies.note(0, *us));
            values.sort_unstable();
            let rank = (values.len() * usize::from(permille)).div_ceil(1000);
            let exact = values[rank.clamp(1, values.len()) - 1];
            prop_assert_eq!(latencies.permille(0, permille), Some(upper_us(bucket(exact))));
        }
    }
}
