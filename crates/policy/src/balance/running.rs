//! Running requests of one level as one worker sees them, with their sum, and the bound on a member's share of it.
//!
//! A worker sees at once what it does itself. What others do, it finds out: each pick reads [`REFRESHED`] members anew,
//! one after the other, so that no count in the sum is older than ⌈members / [`REFRESHED`]⌉ picks of this worker. With one
//! worker the sum is exact.

use super::Loads;
use super::tiers::{Member, position};
use crate::hashing::Bound;

/// Members read anew at each pick.
const REFRESHED: usize = 8;

/// What is running.
pub(super) struct Running {
    bound: Bound,
    members: Vec<Member>,
    /// By place in `members`.
    seen: Vec<u32>,
    /// The sum of `seen`.
    total: u64,
    /// The sum of weights.
    weights: u64,
    /// The member to read next.
    next: usize,
}

impl Running {
    pub(super) fn new(bound: Bound) -> Self {
        Self { bound, members: Vec::new(), seen: Vec::new(), total: 0, weights: 0, next: 0 }
    }

    pub(super) fn members_changed(&mut self, members: &[Member], loads: &dyn Loads) {
        self.members = members.to_vec();
        self.seen = members.iter().map(|member| loads.active(usize::from(member.backend))).collect();
        self.total = self.seen.iter().map(|seen| u64::from(*seen)).sum();
        self.weights = members.iter().map(|member| u64::from(member.weight)).sum();
        self.next = 0;
    }

    /// Reads the next few members.
    pub(super) fn refresh(&mut self, loads: &dyn Loads) {
        for _ in 0..REFRESHED.min(self.members.len()) {
            self.read(self.next, loads);
            self.next = if self.next + 1 < self.members.len() { self.next + 1 } else { 0 };
        }
    }

    pub(super) fn load_changed(&mut self, backend: u16, loads: &dyn Loads) {
        if let Some(at) = position(&self.members, backend) {
            self.read(at, loads);
        }
    }

    /// Whether a member may take one more.
    pub(super) fn has_room(&self, backend: u16, loads: &dyn Loads) -> bool {
        let Some(at) = position(&self.members, backend) else { return false };
        u64::from(loads.active(usize::from(backend))) < self.most(u64::from(self.members[at].weight))
    }

    /// ⌈bound · (running + 1) · weight / weights⌉.
    fn most(&self, weight: u64) -> u64 {
        let share = u128::from(self.total + 1) * u128::from(weight) * u128::from(self.bound.0);
        u64::try_from(share.div_ceil(u128::from(self.weights) * 100)).unwrap_or(u64::MAX)
    }

    fn read(&mut self, at: usize, loads: &dyn Loads) {
        let active = loads.active(usize::from(self.members[at].backend));
        let seen = std::mem::replace(&mut self.seen[at], active);
        self.total = self.total - u64::from(seen) + u64::from(active);
    }
}
