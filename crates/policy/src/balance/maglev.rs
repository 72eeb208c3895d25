//! Owners of places by a table: `maglev` (Eisenbud et al.: Maglev: A Fast and Reliable Software Network Load Balancer,
//! NSDI 2016, section 3.4). Driven by [`super::keyed`].
//!
//! Each member has an order of its own of all places, by its name. In rounds, each takes the next free place of its order,
//! as many in a round as its weight over the mean of weights, until the table is full. So:
//! - shares are by weight, give or take what a member takes in one round: evener than a rendezvous, most so with many
//!   backends;
//! - all workers, nodes and restarts agree, since neither seed nor order counts;
//! - when a member comes or goes, a few keys of others move, too (one in a hundred or so).
//!
//! An answer is O(1); filling the table takes about a millisecond, at the first pick after a change of members.

use super::keyed::Owners;
use super::tiers::Member;
use crate::rng::mix;

/// Places of the table: a prime, so that each step leads through all of them. Fixed: with another number all keys would
/// move.
const PLACES: usize = 65_537;

/// A place that nobody has taken. The last of 65,536 backends has this number, too; it would get less than its share.
const FREE: u16 = u16::MAX;

/// The table of one level.
#[derive(Default)]
pub(super) struct Maglev {
    owners: Vec<u16>,
}

impl Owners for Maglev {
    fn members_changed(&mut self, members: &[Member]) {
        self.owners = fill(members);
    }

    fn owner(&mut self, place: u64) -> Option<u16> {
        let at = (u128::from(place) * PLACES as u128) >> u64::BITS;
        self.owners.get(usize::try_from(at).unwrap_or(0)).copied()
    }
}

/// One member while the table is filled.
struct Filler {
    backend: u16,
    weight: u64,
    /// The place it asks for next, and how far it is from there to the one after.
    next: usize,
    step: usize,
    /// Turns that are due, in parts of the sum of weights.
    due: u64,
}

impl Filler {
    fn new(member: &Member) -> Self {
        let below = |n: usize, chance: u64| usize::try_from(chance % n as u64).unwrap_or(0);
        Self {
            backend: member.backend,
            weight: u64::from(member.weight),
            next: below(PLACES, mix(member.key)),
            step: 1 + below(PLACES - 1, mix(!member.key)),
            due: 0,
        }
    }

    /// Takes the next free place of its own order; there must be one.
    fn take(&mut self, owners: &mut [u16]) {
        while owners[self.next] != FREE {
            self.next += self.step;
            if self.next >= PLACES {
                self.next -= PLACES;
            }
        }
        owners[self.next] = self.backend;
    }
}

pub(super) fn fill(members: &[Member]) -> Vec<u16> {
    let mut fillers: Vec<Filler> = members.iter().map(Filler::new).collect();
    // The order of turns decides who gets a place that two want, so it must not be that of the file.
    fillers.sort_unstable_by_key(|filler| (filler.next, filler.step));
    let total: u64 = fillers.iter().map(|filler| filler.weight).sum();
    let round = fillers.len() as u64;
    let mut owners = vec![FREE; PLACES];
    let mut free = if members.is_empty() { 0 } else { PLACES };
    while free > 0 {
        for filler in &mut fillers {
            filler.due += filler.weight * round;
            while filler.due >= total && free > 0 {
                filler.take(&mut owners);
                filler.due -= total;
                free -= 1;
            }
        }
    }
    owners
}
