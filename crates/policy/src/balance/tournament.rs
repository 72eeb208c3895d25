//! A tournament of backends whose keys change: who has the least?
//!
//! Owns the matches; what a key means is the policy's business (`round-robin`: the next turn, `least-requests`: the load
//! last seen). Backends sit in the bottom row, each match above two is won by the lesser key, and the winner of the last
//! one is the answer. A changed key plays its matches anew, one in each row, and only as far as they change anything:
//! nothing is moved, which makes it cheaper than a heap.

use super::avoid;

/// What backends are ordered by.
pub(super) trait Key: Ord + Copy {
    /// Loses against every other; who has it takes no part.
    const NONE: Self;
}

/// Backends by key.
pub(super) struct Tournament<K> {
    /// By backend; as many as a power of two.
    keys: Vec<K>,
    /// The winner of match `at` is that of the winners of `2 * at` and `2 * at + 1`; the last match is 1, and the bottom row
    /// is the second half.
    winners: Vec<u16>,
}

impl<K: Key> Tournament<K> {
    pub(super) fn new() -> Self {
        Self { keys: Vec::new(), winners: Vec::new() }
    }

    /// The backend with the least key that is not in `avoid`. O(avoided · log n).
    pub(super) fn least(&self, avoid: &[u16]) -> Option<(K, u16)> {
        let least = match avoid {
            [] => self.winners.get(1).map(|backend| (self.keys[usize::from(*backend)], *backend)),
            avoid => self.least_below(1, avoid),
        };
        least.filter(|(key, _)| *key < K::NONE)
    }

    /// Enters a backend, or changes its key; O(log n).
    pub(super) fn set(&mut self, backend: u16, key: K) {
        let index = usize::from(backend);
        if index >= self.keys.len() {
            self.widen(index + 1);
        }
        self.keys[index] = key;
        let mut at = self.keys.len() + index;
        while at > 1 {
            at /= 2;
            let winner = self.winner(at);
            // The others above have not played against this backend, and will not.
            if std::mem::replace(&mut self.winners[at], winner) == winner && winner != backend {
                return;
            }
        }
    }

    /// Removes a backend, if it is here; O(log n).
    pub(super) fn remove(&mut self, backend: u16) {
        if usize::from(backend) < self.keys.len() {
            self.set(backend, K::NONE);
        }
    }

    fn winner(&self, at: usize) -> u16 {
        let (one, other) = (self.winners[2 * at], self.winners[2 * at + 1]);
        if self.keys[usize::from(other)] < self.keys[usize::from(one)] { other } else { one }
    }

    fn widen(&mut self, wanted: usize) {
        let row = wanted.next_power_of_two();
        self.keys.resize(row, K::NONE);
        self.winners = vec![0; 2 * row];
        for (winner, backend) in self.winners[row..].iter_mut().zip(0..=u16::MAX) {
            *winner = backend;
        }
        for at in (1..row).rev() {
            self.winners[at] = self.winner(at);
        }
    }

    fn least_below(&self, at: usize, avoid: &[u16]) -> Option<(K, u16)> {
        let backend = *self.winners.get(at)?;
        if !avoid::has(avoid, backend) {
            return Some((self.keys[usize::from(backend)], backend));
        }
        // Below the bottom row is nobody.
        [2 * at, 2 * at + 1].into_iter().filter_map(|below| self.least_below(below, avoid)).min()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::cmp::Ordering;
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against an ordered map that is searched from end to end.
        #[test]
        fn the_top_is_the_least_of_those_not_avoided(
            steps in prop::collection::vec((0u16..20, prop::option::of(0u32..50)), 1..200),
            avoid in prop::collection::vec(0u16..20, 0..5),
        ) {
            let (mut tournament, mut model) = (Tournament::new(), BTreeMap::new());
            for (backend, key) in steps {
                match key {
                    Some(key) => {
                        tournament.set(backend, key);
                        model.insert(backend, key);
                    }
                    None => {
                        tournament.remove(backend);
                        model.remove(&backend);
                    }
                }
                let least = model.iter().filter(|(backend, _)| !avoid.contains(backend)).map(|(_, key)| *key).min();
                prop_assert_eq!(tournament.least(&avoid).map(|(key, _)| key), least);
                if let Some((key, backend)) = tournament.least(&avoid) {
                    prop_assert!(!avoid.contains(&backend) && model.get(&backend) == Some(&key));
                }
            }
        }
    }

    thread_local!(static COMPARISONS: Cell<u64> = const { Cell::new(0) });

    impl Key for u32 {
        const NONE: Self = u32::MAX;
    }

    #[derive(Clone, Copy, PartialEq, Eq)]
    struct Counted(u64);

    impl Key for Counted {
        const NONE: Self = Self(u64::MAX);
    }

    impl Ord for Counted {
        fn cmp(&self, other: &Self) -> Ordering {
            COMPARISONS.with(|count| count.set(count.get() + 1));
            self.0.cmp(&other.0)
        }
    }

    impl PartialOrd for Counted {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    #[test]
    fn a_turn_among_a_thousand_compares_once_a_row() {
        let mut tournament = Tournament::new();
        for backend in 0..1000 {
            tournament.set(backend, Counted(u64::from(backend)));
        }
        for turn in 1000..3000 {
            COMPARISONS.with(|count| count.set(0));
            let (_, backend) = tournament.least(&[]).unwrap();
            tournament.set(backend, Counted(turn));
            let compared = COMPARISONS.with(Cell::get);
            // And once whether anybody is there.
            assert!(compared <= 10 + 1, "{compared} comparisons");
        }
    }
}
