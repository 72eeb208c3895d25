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

/// A hash of bytes, the same in every build: eight at a time, each mixed well. Not against people who look for
/// collisions: whoever chooses the bytes can choose the hash.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    // The length tells texts apart that differ only in zeros at their ends.
    let start = mix(bytes.len() as u64 ^ 0x6a09_e667_f3bc_c908);
    let (words, tail) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(start, |hash, word| mix(hash ^ u64::from_le_bytes(*word)));
    if tail.is_empty() {
        return hash;
    }
    let mut last = [0; 8];
    last[..tail.len()].copy_from_slice(tail);
    mix(hash ^ u64::from_le_bytes(last))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn hashes_of_near_texts_differ_in_all_their_bits() {
        let texts: Vec<Vec<u8>> =
            (0..40).map(|len| vec![0; len]).chain((0..40).map(|n| format!("user-{n}").into())).collect();
        let hashes: BTreeSet<u64> = texts.iter().map(|text| hash(text)).collect();
        assert_eq!(hashes.len(), texts.len());
        for bit in 0..u64::BITS {
            let set = hashes.iter().filter(|hash| **hash >> bit & 1 == 1).count();
            assert!(set.abs_diff(texts.len() / 2) < 25, "bit {bit} is set in {set} of {}", texts.len());
        }
    }

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
