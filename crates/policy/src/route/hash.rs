//! Hash maps from configured names.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::rng::mix;

/// A map from configured hosts, paths or segments. Requests only look up: how long a lookup takes depends on the
/// configured keys alone, so the hash needs neither secret nor randomness.
pub(super) type Map<T> = HashMap<Box<[u8]>, T, BuildHasherDefault<NameHasher>>;

/// Folds eight bytes at a time; the final mixing spreads them over all bits.
#[derive(Default)]
pub(super) struct NameHasher(u64);

impl NameHasher {
    fn fold(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, tail) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.fold(u64::from_le_bytes(*word)));
        if !tail.is_empty() {
            let mut last = [0; 8];
            last[..tail.len()].copy_from_slice(tail);
            self.fold(u64::from_le_bytes(last));
        }
    }

    fn write_usize(&mut self, n: usize) {
        self.fold(n as u64);
    }

    fn finish(&self) -> u64 {
        mix(self.0)
    }
}
