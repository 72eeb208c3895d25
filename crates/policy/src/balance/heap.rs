//! A binary heap of backends whose keys can be changed in place.
//!
//! Owns the order by key and where each backend stands in it; what a key means is the policy's business
//! (`round-robin`: the next turn, `least-requests`: the load last seen). The least key is on top.

use super::avoid;

/// Not in the heap.
const NOWHERE: usize = usize::MAX;

/// Backends by key.
pub(super) struct Heap<K> {
    /// Each node's key is not above those of its two children, at `2 * at + 1` and `2 * at + 2`.
    nodes: Vec<(K, u16)>,
    /// Where each backend is in `nodes`, by its index.
    places: Vec<usize>,
}

impl<K: Ord + Copy> Heap<K> {
    pub(super) fn new() -> Self {
        Self { nodes: Vec::new(), places: Vec::new() }
    }

    /// The key of a backend, if it is here.
    pub(super) fn key(&self, backend: u16) -> Option<K> {
        self.place(backend).map(|at| self.nodes[at].0)
    }

    /// The backend with the least key that is not in `avoid`. O(avoided): only below an avoided node may another be less.
    pub(super) fn least(&self, avoid: &[u16]) -> Option<(K, u16)> {
        self.least_below(0, avoid)
    }

    /// Enters a backend, or changes its key; O(log n).
    pub(super) fn set(&mut self, backend: u16, key: K) {
        let at = match self.place(backend) {
            Some(at) => {
                self.nodes[at].0 = key;
                at
            }
            None => self.append(backend, key),
        };
        let at = self.rise(at);
        self.sink(at);
    }

    /// Removes a backend, if it is here; O(log n).
    pub(super) fn remove(&mut self, backend: u16) {
        let Some(at) = self.place(backend) else { return };
        self.places[usize::from(backend)] = NOWHERE;
        self.nodes.swap_remove(at);
        if let Some((_, moved)) = self.nodes.get(at) {
            self.places[usize::from(*moved)] = at;
            let at = self.rise(at);
            self.sink(at);
        }
    }

    fn place(&self, backend: u16) -> Option<usize> {
        self.places.get(usize::from(backend)).copied().filter(|at| *at != NOWHERE)
    }

    fn append(&mut self, backend: u16, key: K) -> usize {
        let index = usize::from(backend);
        if self.places.len() <= index {
            self.places.resize(index + 1, NOWHERE);
        }
        let at = self.nodes.len();
        self.nodes.push((key, backend));
        self.places[index] = at;
        at
    }

    fn least_below(&self, at: usize, avoid: &[u16]) -> Option<(K, u16)> {
        let (key, backend) = *self.nodes.get(at)?;
        if !avoid::has(avoid, backend) {
            return Some((key, backend));
        }
        let children = [self.least_below(2 * at + 1, avoid), self.least_below(2 * at + 2, avoid)];
        children.into_iter().flatten().min()
    }

    fn rise(&mut self, mut at: usize) -> usize {
        while at > 0 {
            let parent = (at - 1) / 2;
            if self.nodes[parent].0 <= self.nodes[at].0 {
                break;
            }
            self.swap(at, parent);
            at = parent;
        }
        at
    }

    fn sink(&mut self, mut at: usize) {
        loop {
            let left = 2 * at + 1;
            let children = left..(left + 2).min(self.nodes.len());
            let Some(child) = children.min_by_key(|child| self.nodes[*child].0) else { return };
            if self.nodes[at].0 <= self.nodes[child].0 {
                return;
            }
            self.swap(at, child);
            at = child;
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.nodes.swap(one, other);
        for at in [one, other] {
            self.places[usize::from(self.nodes[at].1)] = at;
        }
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
            let (mut heap, mut model) = (Heap::new(), BTreeMap::new());
            for (backend, key) in steps {
                match key {
                    Some(key) => {
                        heap.set(backend, key);
                        model.insert(backend, key);
                    }
                    None => {
                        heap.remove(backend);
                        model.remove(&backend);
                    }
                }
                prop_assert_eq!(heap.key(backend), model.get(&backend).copied());
                let least = model.iter().filter(|(backend, _)| !avoid.contains(backend)).map(|(_, key)| *key).min();
                prop_assert_eq!(heap.least(&avoid).map(|(key, _)| key), least);
                if let Some((key, backend)) = heap.least(&avoid) {
                    prop_assert!(!avoid.contains(&backend) && model.get(&backend) == Some(&key));
                }
            }
        }
    }

    thread_local!(static COMPARISONS: Cell<u64> = const { Cell::new(0) });

    #[derive(Clone, Copy, PartialEq, Eq)]
    struct Counted(u64);

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
    fn a_turn_among_a_thousand_compares_at_most_twice_a_level() {
        let mut heap = Heap::new();
        for backend in 0..1000 {
            heap.set(backend, Counted(u64::from(backend)));
        }
        for turn in 1000..3000 {
            COMPARISONS.with(|count| count.set(0));
            let (_, backend) = heap.least(&[]).unwrap();
            heap.set(backend, Counted(turn));
            let compared = COMPARISONS.with(Cell::get);
            assert!(compared <= 2 * 10, "{compared} comparisons");
        }
    }
}
