//! A binary heap of backends whose keys can be changed in place.
//!
//! Owns the order by key and where each backend stands in it; what a key means is the policy's business
//! (`round-robin`: the next turn, `least-requests`: the load last seen). The least key is on top.

use super::avoid;

/// Not in the heap.
const NOWHERE: u32 = u32::MAX;

/// Children of a node: half as deep as with two, and the four lie side by side.
const CHILDREN: usize = 4;

/// Backends by key.
pub(super) struct Heap<K> {
    /// Each node's key is not above those of its children, from `CHILDREN * at + 1` on.
    nodes: Vec<Node<K>>,
    /// Where each backend is in `nodes`, by its index.
    places: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Node<K> {
    key: K,
    backend: u16,
}

impl<K: Ord + Copy> Heap<K> {
    pub(super) fn new() -> Self {
        Self { nodes: Vec::new(), places: Vec::new() }
    }

    /// The key of a backend, if it is here.
    pub(super) fn key(&self, backend: u16) -> Option<K> {
        self.place(backend).map(|at| self.nodes[at].key)
    }

    /// The backend with the least key that is not in `avoid`. O(avoided): only below an avoided node may another be less.
    pub(super) fn least(&self, avoid: &[u16]) -> Option<(K, u16)> {
        self.least_below(0, avoid)
    }

    /// Enters a backend, or changes its key; O(log n).
    pub(super) fn set(&mut self, backend: u16, key: K) {
        let node = Node { key, backend };
        let at = self.place(backend).unwrap_or_else(|| self.append(node));
        self.settle(at, node);
    }

    /// Removes a backend, if it is here; O(log n).
    pub(super) fn remove(&mut self, backend: u16) {
        let Some(at) = self.place(backend) else { return };
        self.places[usize::from(backend)] = NOWHERE;
        let Some(last) = self.nodes.pop() else { return };
        if at < self.nodes.len() {
            self.settle(at, last);
        }
    }

    fn place(&self, backend: u16) -> Option<usize> {
        let at = *self.places.get(usize::from(backend))?;
        (at != NOWHERE).then_some(at as usize)
    }

    /// Enters a node at the bottom; its backend is not yet placed.
    fn append(&mut self, node: Node<K>) -> usize {
        let index = usize::from(node.backend);
        if self.places.len() <= index {
            self.places.resize(index + 1, NOWHERE);
        }
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn least_below(&self, at: usize, avoid: &[u16]) -> Option<(K, u16)> {
        let node = *self.nodes.get(at)?;
        if !avoid::has(avoid, node.backend) {
            return Some((node.key, node.backend));
        }
        let first = CHILDREN * at + 1;
        (first..first + CHILDREN).filter_map(|child| self.least_below(child, avoid)).min()
    }

    /// Puts a node where it belongs, `at` or above or below it; what lies there now is overwritten.
    fn settle(&mut self, mut at: usize, node: Node<K>) {
        while at > 0 {
            let parent = (at - 1) / CHILDREN;
            if self.nodes[parent].key <= node.key {
                break;
            }
            self.put(at, self.nodes[parent]);
            at = parent;
        }
        while let Some(child) = self.least_child(at)
            && self.nodes[child].key < node.key
        {
            self.put(at, self.nodes[child]);
            at = child;
        }
        self.put(at, node);
    }

    fn least_child(&self, at: usize) -> Option<usize> {
        let first = CHILDREN * at + 1;
        let children = self.nodes.get(first..(first + CHILDREN).min(self.nodes.len()))?;
        let (mut least, mut key) = (0, children.first()?.key);
        for (index, child) in children.iter().enumerate().skip(1) {
            if child.key < key {
                (least, key) = (index, child.key);
            }
        }
        Some(first + least)
    }

    #[expect(clippy::cast_possible_truncation, reason = "a heap has at most one node for each of 65,536 backends")]
    fn put(&mut self, at: usize, node: Node<K>) {
        self.nodes[at] = node;
        self.places[usize::from(node.backend)] = at as u32;
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
