//! Which share of a pool's requests each of its tiers takes while lower ones are short of backends.

use super::tiers::WHOLE;
use crate::plan::SpillOver;

/// What a tier has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tier {
    /// Weight of its ready backends.
    pub(super) ready: u64,
    /// Weight that it would have if all were ready and had their whole weight.
    pub(super) all: u64,
}

/// Ends of the tiers' shares on a line from 0 to 1, in order of tiers; the last is always 1.
pub(super) fn ends(terms: &SpillOver, tiers: &[Tier]) -> Vec<f64> {
    let mut left = 1.0;
    let mut shares: Vec<f64> = Vec::with_capacity(tiers.len());
    for tier in tiers {
        let ready = tier.ready as f64 / tier.all.max(1) as f64;
        let share = left * (ready * 100.0 / f64::from(terms.below_percent)).min(1.0);
        left -= share;
        shares.push(share);
    }
    // Where even all together are short, each carries more in proportion.
    let total = 1.0 - left;
    let mut end = 0.0;
    for share in &mut shares {
        end += *share / total;
        *share = end;
    }
    if let Some(last) = shares.last_mut() {
        *last = 1.0;
    }
    shares
}

/// The tier whose share holds a chance of 64 bits.
pub(super) fn tier(ends: &[f64], chance: u64) -> usize {
    const STEP: f64 = 1.0 / (1u64 << 53) as f64;
    let chance = (chance >> 11) as f64 * STEP;
    ends.iter().position(|end| chance < *end).unwrap_or(0)
}

/// A weight of the file as members count it.
pub(super) fn whole(weight: u32) -> u64 {
    u64::from(weight) * u64::from(WHOLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(below_percent: u8, tiers: &[(u64, u64)]) -> Vec<f64> {
        let tiers: Vec<Tier> = tiers.iter().map(|(ready, all)| Tier { ready: *ready, all: *all }).collect();
        let ends = ends(&SpillOver { below_percent, full: false }, &tiers);
        let starts = [0.0].into_iter().chain(ends.iter().copied());
        ends.iter().zip(starts).map(|(end, start)| ((end - start) * 1000.0).round() / 1000.0).collect()
    }

    #[test]
    fn a_tier_keeps_all_until_it_is_short() {
        assert_eq!(shares(70, &[(10, 10), (5, 5)]), [1.0, 0.0]);
        assert_eq!(shares(70, &[(7, 10), (5, 5)]), [1.0, 0.0]);
        assert_eq!(shares(100, &[(7, 10), (5, 5)]), [0.7, 0.3]);
        assert_eq!(shares(50, &[(2, 10), (5, 5)]), [0.4, 0.6]);
    }

    #[test]
    fn what_the_second_lacks_goes_to_the_third() {
        assert_eq!(shares(100, &[(5, 10), (5, 10), (9, 10)]), [0.513, 0.256, 0.231]);
        assert_eq!(shares(50, &[(1, 10), (1, 10), (10, 10)]), [0.2, 0.16, 0.64]);
    }

    #[test]
    fn when_all_are_short_each_carries_more() {
        assert_eq!(shares(100, &[(1, 2), (1, 2)]), [0.667, 0.333]);
        assert_eq!(shares(100, &[(1, 1000)]), [1.0]);
    }

    #[test]
    fn a_chance_falls_into_one_share() {
        let ends = [0.25, 1.0];
        assert_eq!((tier(&ends, 0), tier(&ends, u64::MAX / 5), tier(&ends, u64::MAX)), (0, 0, 1));
        let hits = (0..1000u64).filter(|part| tier(&ends, part * (u64::MAX / 1000)) == 0).count();
        assert!(hits.abs_diff(250) <= 1, "{hits}");
    }
}
