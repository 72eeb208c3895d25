//! Weighted chance: members side by side on a line, each as long as its weight.
//!
//! Owns the throw that `random`, `power-of-two`, `peak-ewma` and the retries of `round-robin` share. A throw is O(1): a
//! guide says for each part of the line where to begin looking. Avoiding members is O(n) at worst.

use super::avoid;
use super::tiers::Member;
use crate::rng::Rng;

/// Throws that are let fall anywhere before the avoided are taken out of the line: most hit another member at once.
const FREE_THROWS: usize = 2;

/// A line of members.
#[derive(Default)]
pub(super) struct Shares {
    /// In file order.
    members: Vec<Member>,
    /// Where each member begins on the line.
    starts: Vec<u64>,
    /// The length of the line.
    total: u64,
    /// The line in as many parts as there are members: the member that each begins in.
    guide: Vec<u16>,
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
        let starts: Vec<u64> = members.iter().map(&mut begin).collect();
        let mut at = 0;
        let parts = 0..members.len() as u64;
        let mut first_in = |part: u64| {
            let place = part * total / members.len() as u64;
            while starts.get(usize::from(at) + 1).is_some_and(|start| *start <= place) {
                at += 1;
            }
            at
        };
        let guide = parts.map(&mut first_in).collect();
        Self { members: members.to_vec(), starts, total, guide }
    }

    /// The members, in file order.
    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// A member by chance, never one of `avoid`; `None` if there is no other. What the avoided leave behind is shared by
    /// weight.
    pub(super) fn throw(&self, avoid: &[u16], rng: &mut Rng) -> Option<Member> {
        for _ in 0..FREE_THROWS {
            let member = self.throw_freely(rng)?;
            if !avoid::has(avoid, member.backend) {
                return Some(member);
            }
        }
        self.throw_beside(avoid, rng)
    }

    /// Two different members by chance, never one of `avoid`; the second is `None` if there is no other.
    pub(super) fn throw_two(&self, avoid: &[u16], rng: &mut Rng) -> Option<(Member, Option<Member>)> {
        let one = self.throw(avoid, rng)?;
        // Only retries allocate.
        let other = match avoid {
            [] => self.throw(&[one.backend], rng),
            tried => self.throw(&avoid::sorted(tried.iter().copied().chain([one.backend])), rng),
        };
        Some((one, other))
    }

    /// Any member by chance.
    fn throw_freely(&self, rng: &mut Rng) -> Option<Member> {
        let chance = rng.next_u64();
        let part = usize::try_from(part_of(chance, self.guide.len() as u64)).ok()?;
        let place = part_of(chance, self.total);
        let mut at = usize::from(*self.guide.get(part)?);
        while self.starts.get(at + 1).is_some_and(|start| *start <= place) {
            at += 1;
        }
        self.members.get(at).copied()
    }

    /// Falls on the line without the avoided, and then steps over each that lies before it.
    fn throw_beside(&self, avoid: &[u16], rng: &mut Rng) -> Option<Member> {
        let avoided: Vec<usize> =
            (0..self.members.len()).filter(|at| avoid::has(avoid, self.members[*at].backend)).collect();
        let weight: u64 = avoided.iter().map(|at| self.weight(*at)).sum();
        let left = self.total.checked_sub(weight).filter(|left| *left > 0)?;
        let mut place = rng.below(left);
        for at in avoided {
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
}

/// Chance as a number below `n`.
fn part_of(chance: u64, n: u64) -> u64 {
    u64::try_from((u128::from(chance) * u128::from(n)) >> u64::BITS).unwrap_or(0)
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
