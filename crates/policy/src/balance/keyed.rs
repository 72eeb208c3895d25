//! Policies that keep a key at its backend: `ip-hash`, `hash` and `maglev`. Driven by [`super::tiers`].
//!
//! Owns a key's own order of backends, and the bound on their loads; whose a place is, is the business of [`Owners`].
//! A key leads to a place, and from there to other places in an order of its own, each with an owner: the first who was not
//! tried and has room takes the request. So what one backend cannot take is spread over all others, and the same key finds
//! the same stand-in again. After [`DETOURS`] places all members are weighed, which is O(n) and seldom.
//!
//! **The bound** (Mirrokni, Thorup, Zadimoghaddam: Consistent Hashing with Bounded Loads, 2016): with m requests running
//! in the level, a member with its share w of all weights takes one more only below ⌈bound · (m + 1) · w⌉. Together they
//! have room for all, since the bound is above 1. The load of whom is asked is read anew, m is as this worker sees it:
//! [`Running`]. When a retry has only full members left, it goes to the first in the key's order all the same.

use super::rendezvous::rendezvous;
use super::running::Running;
use super::tiers::{Choose, Member};
use super::{Loads, Pick, avoid};
use crate::hashing::Bound;
use crate::rng::mix;

/// Other places that a key leads to before all members are weighed.
const DETOURS: u64 = 16;

/// Whose a place is.
pub(super) trait Owners {
    /// Replaces the members; they are in file order, at least one.
    fn members_changed(&mut self, members: &[Member]);
    /// The owner of a place, which is any 64 bits.
    fn owner(&mut self, place: u64) -> Option<u16>;
}

/// A policy over owners of places.
pub(super) struct Keyed<O> {
    owners: O,
    members: Vec<Member>,
    /// Only with a bound.
    running: Option<Running>,
}

impl<O: Owners> Keyed<O> {
    pub(super) fn new(owners: O, bound: Option<Bound>) -> Self {
        Self { owners, members: Vec::new(), running: bound.map(Running::new) }
    }

    fn has_room(&self, backend: u16, pick: &Pick<'_>) -> bool {
        self.running.as_ref().is_none_or(|running| running.has_room(backend, pick.loads))
    }

    /// The first that is free in the order of a rendezvous of all members for the key.
    fn free_of_all(&self, pick: &Pick<'_>) -> Option<u16> {
        let is_free = |member: &&Member| !avoid::has(pick.tried, member.backend) && self.has_room(member.backend, pick);
        rendezvous(self.members.iter().filter(is_free), pick.key)
    }

    fn untried_of_all(&self, pick: &Pick<'_>) -> Option<u16> {
        rendezvous(self.members.iter().filter(|member| !avoid::has(pick.tried, member.backend)), pick.key)
    }
}

impl<O: Owners> Choose for Keyed<O> {
    fn members_changed(&mut self, members: &[Member], loads: &dyn Loads) {
        self.owners.members_changed(members);
        self.members = members.to_vec();
        if let Some(running) = &mut self.running {
            running.members_changed(members, loads);
        }
    }

    fn choose(&mut self, pick: &mut Pick<'_>) -> Option<u16> {
        if let Some(running) = &mut self.running {
            running.refresh(pick.loads);
        }
        let mut first = None;
        for detour in 0..=DETOURS {
            let owner = self.owners.owner(place_of(pick.key, detour))?;
            if avoid::has(pick.tried, owner) {
                continue;
            }
            if self.has_room(owner, pick) {
                return Some(owner);
            }
            first = first.or(Some(owner));
        }
        self.free_of_all(pick).or(first).or_else(|| self.untried_of_all(pick))
    }

    fn load_changed(&mut self, backend: u16, loads: &dyn Loads) {
        if let Some(running) = &mut self.running {
            running.load_changed(backend, loads);
        }
    }
}

/// The place of a key; each detour leads to another one.
fn place_of(key: u64, detour: u64) -> u64 {
    mix(key.wrapping_add(detour.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}
