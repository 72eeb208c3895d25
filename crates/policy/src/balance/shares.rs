//! Weighted chance: members side by side on a line, each as long as its weight.
//!
//! Owns the throw that `random`, `power-of-two` and the retries of `round-robin` share. A throw is O(log n) by the sums of
//! weights, plus O(avoided²), which is small: exchanges have few attempts.

use super::tiers::{Member, position};
use crate::rng::Rng;

/// A line of members.
#[derive(Default)]
pub(super) struct Shares {
    /// In file order.
    members: Vec<Member>,
    /// Where each member begins on the line.
    starts: Vec<u64>,
    /// The length of the line.
    total: u64,
}

impl Shares {
    /// Lays out `members`, which are in file order.
    pub(super) fn new(members: &[Member]) -> Self {
        let mut total = 0;
        let mut begin = |member: &Member| {
            let start = total;
            total += u64::from(member.weight);
            start
        };
        let starts = members.iter().map(&mut begin).collect();
        Self { members: members.to_vec(), starts, total }
    }

    /// The members, in file order.
    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// A member by chance, never one of `avoid`; `None` if there is no other. What the avoided leave behind is shared by
    /// weight: the throw falls on the line without them, and then steps over each that lies before it.
    pub(super) fn throw(&self, avoid: &[u16], rng: &mut Rng) -> Option<Member> {
        let avoided: u64 = self.avoided(avoid).map(|at| self.weight(at)).sum();
        let left = self.total.checked_sub(avoided).filter(|left| *left > 0)?;
        let mut place = rng.below(left);
        for at in self.avoided(avoid) {
            if self.starts[at] > place {
                break;
            }
            place += self.weight(at);
        }
        let behind = self.starts.partition_point(|start| *start <= place);
        self.members.get(behind.checked_sub(1)?).copied()
    }

    fn weight(&self, at: usize) -> u64 {
        u64::from(self.members[at].weight)
    }

    /// The places of avoided members, rising and each once.
    fn avoided(&self, avoid: &[u16]) -> impl Iterator<Item = usize> {
        let next = move |from: usize| {
            avoid.iter().filter_map(|backend| position(&self.members, *backend)).filter(|at| *at >= from).min()
        };
        std::iter::successors(next(0), move |at| next(at + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(weights: &[u32]) -> Vec<Member> {
        (0..)
            .zip(weights)
            .map(|(backend, weight)| Member { backend, weight: *weight, permille: 1000, key: 0 })
            .collect()
    }

    #[test]
    fn a_throw_without_the_avoided_keeps_the_others_shares() {
        let shares = Shares::new(&members(&[5, 1, 3, 7, 4]));
        let mut rng = Rng::new(1);
        let mut hits = [0u32; 5];
        for _ in 0..80_000 {
            // An unknown backend and one named twice must not bend the shares.
            let member = shares.throw(&[3, 0, 3, 99], &mut rng).unwrap();
            hits[usize::from(member.backend)] += 1;
        }
        assert_eq!((hits[0], hits[3]), (0, 0));
        for (backend, expected) in [(1, 10_000), (2, 30_000), (4, 40_000)] {
            assert!(hits[backend].abs_diff(expected) < 600, "{hits:?}");
        }
    }

    #[test]
    fn nothing_is_thrown_when_all_are_avoided() {
        let shares = Shares::new(&members(&[2, 2]));
        assert!(shares.throw(&[1, 0], &mut Rng::new(1)).is_none());
        assert!(Shares::default().throw(&[], &mut Rng::new(1)).is_none());
    }
}
