//! Chance as an argument: a small generator (xoshiro-like splitmix64), seeded by whoever drives the policy.

/// A fast generator; not for secrets. Algorithm: splitmix64 (Steele, Lea, Flood, 2014).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator that repeats itself for the same seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `n`, without noticeable bias; 0 when `n` is 0 (Lemire's multiply-shift).
    pub fn below(&mut self, n: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(n);
        u64::try_from(wide >> 64).unwrap_or(0)
    }
}

/// Mixes 64 bits well (the finaliser of splitmix64); used for hashing addresses, too.
#[must_use]
pub fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_below_and_are_spread() {
        let mut rng = Rng::new(1);
        let mut hits = [0u32; 7];
        for _ in 0..70_000 {
            hits[usize::try_from(rng.below(7)).unwrap()] += 1;
        }
        assert!(hits.iter().all(|hits| hits.abs_diff(10_000) < 500), "{hits:?}");
        assert_eq!((rng.below(0), rng.below(1)), (0, 0));
    }

    #[test]
    fn a_seed_repeats_itself() {
        let (mut one, mut other) = (Rng::new(5), Rng::new(5));
        assert!((0..100).all(|_| one.next_u64() == other.next_u64()));
    }
}
