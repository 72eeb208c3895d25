//! `least-requests`: the fewest running requests by weight, over all workers. Driven by [`super::tiers`].
//!
//! Each worker keeps its members in order of the load it last saw. A worker sees at once what it does itself; what others
//! do, it finds out:
//! - each pick reads [`REFRESHED`] members anew, one after the other, so that no load is older than
//!   ⌈members / [`REFRESHED`]⌉ picks of this worker;
//! - the first is read before it is chosen; has it become busier, it falls back and the next first is read, up to [`CORRECTED`]
//!   times; then the least of those read is taken.
//!
//! **The bound.** For each member m, the chosen one is now no busier than m was when last read, plus F / [`CORRECTED`],
//! where F is the number of requests that other workers began since. Proof: all that were read came before m.
//! If one had not become busier, it is chosen, and F does not count. Else [`CORRECTED`] of them became busier by F
//! requests in all, so one of them by at most F / [`CORRECTED`]. In pools of at most [`REFRESHED`] the pick is exact.
//!
//! Equal loads take turns by weight, as idle backends do: each pick moves the chosen behind its equals. Turns start by
//! chance, so that workers with nothing to do do not all begin with the same backend.

use super::tiers::{Choose, Member, position};
use super::tournament::{Key, Tournament};
use super::{Loads, Pick};
use crate::rng::Rng;

/// Members read anew at each pick.
const REFRESHED: usize = 8;

/// First members read at each pick, at most.
const CORRECTED: usize = 8;

/// Virtual time between two turns of a member of a thousandth of weight 1.
const TURN: u64 = 1000 << 16;

/// Loads are counted in so many parts of a request, so that those of different weights never round to the same: weights
/// in thousandths are at most a million, and two fractions below that differ by more than 2⁻⁴⁰.
const PARTS: u32 = 40;

/// Loads of one level as this worker saw them.
pub(super) struct LeastRequests {
    order: Tournament<Load>,
    members: Vec<Member>,
    /// Of each backend, by its index.
    seen: Vec<Seen>,
    /// All members have the same weight, which then needs no division.
    even: bool,
    /// The member to read next.
    next: usize,
    /// The turn that was taken last.
    turn: u64,
    /// Chosen, but not yet behind its equals: mostly its load changes next, and it moves only once.
    chosen: Option<u16>,
    /// Where turns begin.
    starts: Rng,
}

/// What was last read of a backend (no weight, if it is no member), and when its turn is, in virtual time: at a million turns a second of one member of
/// weight 1 that lasts nine years.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    active: u32,
    weight: u32,
    turn: u64,
}

/// What orders members: running requests by weight, then turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Load(u128);

impl Key for Load {
    const NONE: Self = Self(u128::MAX);
}

impl Choose for LeastRequests {
    fn members_changed(&mut self, members: &[Member], loads: &dyn Loads) {
        for gone in self.members.iter().filter(|old| position(members, old.backend).is_none()) {
            self.order.remove(gone.backend);
            self.seen[usize::from(gone.backend)] = Seen::default();
        }
        self.seen.resize(members.last().map_or(0, |last| usize::from(last.backend) + 1), Seen::default());
        self.even = members.windows(2).all(|pair| pair[0].weight == pair[1].weight);
        for Member { backend, weight, .. } in members.iter().copied() {
            let mut seen = self.seen[usize::from(backend)];
            if seen.weight != weight {
                let turn = self.turn + self.starts.below(TURN / u64::from(weight) + 1);
                seen = Seen { active: loads.active(usize::from(backend)), weight, turn };
            }
            self.set(backend, seen);
        }
        self.next = members.partition_point(|member| Some(member.backend) < self.next_backend()) % members.len().max(1);
        self.members = members.to_vec();
    }

    fn choose(&mut self, pick: &mut Pick<'_>) -> Option<u16> {
        self.pass_turn();
        self.refresh(pick.loads);
        let backend = self.least(pick)?;
        let seen = &mut self.seen[usize::from(backend)];
        self.turn = self.turn.max(seen.turn);
        seen.turn = self.turn + TURN / u64::from(seen.weight).max(1);
        self.chosen = Some(backend);
        Some(backend)
    }

    fn load_changed(&mut self, backend: u16, loads: &dyn Loads) {
        if self.seen.get(usize::from(backend)).is_some_and(|seen| seen.weight > 0) {
            self.read(backend, loads);
        }
    }
}

impl LeastRequests {
    pub(super) fn new(seed: u64) -> Self {
        let starts = Rng::new(seed);
        let (order, members, seen) = (Tournament::new(), Vec::new(), Vec::new());
        Self { order, members, seen, even: true, next: 0, turn: 0, chosen: None, starts }
    }

    fn next_backend(&self) -> Option<u16> {
        self.members.get(self.next).map(|member| member.backend)
    }

    /// Reads the next few members.
    fn refresh(&mut self, loads: &dyn Loads) {
        for _ in 0..REFRESHED.min(self.members.len()) {
            let backend = self.members[self.next].backend;
            self.read(backend, loads);
            self.next = if self.next + 1 < self.members.len() { self.next + 1 } else { 0 };
        }
    }

    /// The least loaded as far as a few reads can tell.
    fn least(&mut self, pick: &Pick<'_>) -> Option<u16> {
        let mut least_read = None;
        for _ in 0..CORRECTED {
            let (before, backend) = self.order.least(pick.tried)?;
            self.read(backend, pick.loads);
            let load = self.load(self.seen[usize::from(backend)]);
            if load <= before {
                return Some(backend);
            }
            least_read = least_read.into_iter().chain([(load, backend)]).min();
        }
        least_read.map(|(_, backend)| backend)
    }

    /// Reads the load of a member; what it was is kept in order.
    fn read(&mut self, backend: u16, loads: &dyn Loads) {
        let active = loads.active(usize::from(backend));
        let seen = self.seen[usize::from(backend)];
        if active != seen.active {
            self.set(backend, Seen { active, ..seen });
        }
    }

    fn set(&mut self, backend: u16, seen: Seen) {
        self.seen[usize::from(backend)] = seen;
        self.order.set(backend, self.load(seen));
        if self.chosen == Some(backend) {
            self.chosen = None;
        }
    }

    fn load(&self, seen: Seen) -> Load {
        let requests = u64::from(seen.active);
        let load = if self.even { requests } else { parts(seen.active) / u64::from(seen.weight).max(1) };
        Load(u128::from(load) << u64::BITS | u128::from(seen.turn))
    }

    /// Moves the chosen behind its equals, the less the greater its weight, if its load has not done so.
    fn pass_turn(&mut self) {
        if let Some(backend) = self.chosen.take()
            && let Some(seen) = self.seen.get(usize::from(backend)).copied().filter(|seen| seen.weight > 0)
        {
            self.set(backend, seen);
        }
    }
}

/// Requests in parts; more than sixteen million of one backend are all the same.
fn parts(requests: u32) -> u64 {
    u64::from(requests.min((1 << (u64::BITS - PARTS)) - 1)) << PARTS
}
