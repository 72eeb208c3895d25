//! `least-requests`: the fewest running requests by weight, over all workers. Driven by [`super::tiers`].
//!
//! Each worker keeps a heap of its members by the load it last saw. A worker sees at once what it does itself; what others
//! do, it finds out:
//! - each pick reads [`REFRESHED`] members anew, one after the other, so that no load is older than
//!   ⌈members / [`REFRESHED`]⌉ picks of this worker;
//! - the top is read before it is chosen; has it become busier, it sinks and the next top is read, up to [`CORRECTED`]
//!   times; then the least of those read is taken.
//!
//! **The bound.** For each member m, the chosen one is now no busier than m was when last read, plus F / [`CORRECTED`],
//! where F is the number of requests that other workers began since. Proof: all that were read stood above m in the heap.
//! If one had not become busier, it is chosen, and F does not count. Else [`CORRECTED`] of them became busier by F
//! requests in all, so one of them by at most F / [`CORRECTED`]. In pools of at most [`REFRESHED`] the pick is exact.
//!
//! Equal loads take turns by weight, as idle backends do: each pick moves the chosen behind its equals. Turns start by
//! chance, so that workers with nothing to do do not all begin with the same backend.

use std::cmp::Ordering;

use super::heap::Heap;
use super::tiers::{Choose, Member, position};
use super::{Loads, Pick};
use crate::rng::Rng;

/// Members read anew at each pick.
const REFRESHED: usize = 8;

/// Members read at the top at each pick, at most.
const CORRECTED: usize = 8;

/// Virtual time between two turns of a member of a thousandth of weight 1.
const TURN: u64 = 1000 << 16;

/// Loads of one level as this worker saw them.
pub(super) struct LeastRequests {
    seen: Heap<Load>,
    members: Vec<Member>,
    /// The member to read next.
    next: usize,
    /// The turn that was taken last.
    turn: u64,
    /// Where turns begin.
    starts: Rng,
}

impl Choose for LeastRequests {
    fn members_changed(&mut self, members: &[Member], loads: &dyn Loads) {
        for gone in self.members.iter().filter(|old| position(members, old.backend).is_none()) {
            self.seen.remove(gone.backend);
        }
        for member in members {
            let seen = self.seen.key(member.backend).filter(|seen| seen.weight == member.weight);
            if seen.is_none() {
                let turn = self.turn + self.starts.below(TURN / u64::from(member.weight) + 1);
                let active = loads.active(usize::from(member.backend));
                self.seen.set(member.backend, Load { active, weight: member.weight, turn });
            }
        }
        self.next = members.partition_point(|member| Some(member.backend) < self.next_backend()) % members.len().max(1);
        self.members = members.to_vec();
    }

    fn choose(&mut self, pick: &mut Pick<'_>) -> Option<u16> {
        self.refresh(pick.loads);
        let (load, backend) = self.least(pick)?;
        self.pass_turn(load, backend);
        Some(backend)
    }

    fn load_changed(&mut self, backend: u16, loads: &dyn Loads) {
        if let Some(load) = self.seen.key(backend) {
            self.read(load, backend, loads);
        }
    }
}

impl LeastRequests {
    pub(super) fn new(seed: u64) -> Self {
        Self { seen: Heap::new(), members: Vec::new(), next: 0, turn: 0, starts: Rng::new(seed) }
    }

    fn next_backend(&self) -> Option<u16> {
        self.members.get(self.next).map(|member| member.backend)
    }

    /// Reads the next few members.
    fn refresh(&mut self, loads: &dyn Loads) {
        for _ in 0..REFRESHED.min(self.members.len()) {
            let backend = self.members[self.next].backend;
            self.load_changed(backend, loads);
            self.next = if self.next + 1 < self.members.len() { self.next + 1 } else { 0 };
        }
    }

    /// The least loaded as far as a few reads can tell.
    fn least(&mut self, pick: &Pick<'_>) -> Option<(Load, u16)> {
        let mut least_read = None;
        for _ in 0..CORRECTED {
            let (seen, backend) = self.seen.least(pick.tried)?;
            let load = self.read(seen, backend, pick.loads);
            if load.active <= seen.active {
                return Some((load, backend));
            }
            least_read = least_read.into_iter().chain([(load, backend)]).min();
        }
        least_read
    }

    /// Reads one load; keeps what it was.
    fn read(&mut self, seen: Load, backend: u16, loads: &dyn Loads) -> Load {
        let load = Load { active: loads.active(usize::from(backend)), ..seen };
        if load.active != seen.active {
            self.seen.set(backend, load);
        }
        load
    }

    /// Moves the chosen behind its equals, the less the greater its weight.
    fn pass_turn(&mut self, load: Load, backend: u16) {
        self.turn = self.turn.max(load.turn);
        self.seen.set(backend, Load { turn: self.turn + TURN / u64::from(load.weight).max(1), ..load });
    }
}

/// What orders members: running requests by weight, then turns.
#[derive(Clone, Copy, Debug)]
struct Load {
    active: u32,
    weight: u32,
    /// In virtual time; at a million turns a second of one member of weight 1 it lasts nine years.
    turn: u64,
}

impl Ord for Load {
    fn cmp(&self, other: &Self) -> Ordering {
        let mine = u64::from(self.active) * u64::from(other.weight);
        let others = u64::from(other.active) * u64::from(self.weight);
        mine.cmp(&others).then(self.turn.cmp(&other.turn))
    }
}

impl PartialOrd for Load {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Load {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Load {}
