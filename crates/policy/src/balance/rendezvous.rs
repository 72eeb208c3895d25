//! Owners of places by rendezvous: `ip-hash` and `hash`. Driven by [`super::keyed`].
//!
//! Places fall into [`BUCKETS`] buckets, and each bucket belongs to the member that wins a weighted rendezvous for it: each
//! member throws a number that depends only on its name and the bucket, and the best by weight wins. So:
//! - a member that leaves moves only its own keys, one that joins takes only what it will own: nobody else moves,
//!   whether by health, by hand or by a new plan;
//! - all workers, nodes and restarts agree, since neither seed nor order counts;
//! - a member owns a share of buckets by weight, give or take the root of their number (1 % at 10,000 buckets).
//!
//! A rendezvous is O(n). It is held when a bucket is first asked for, and its winner kept: an answer is O(log n) from then on.
//! When members join or grow, an old winner only meets those; when the winner left, the rendezvous is held anew. A member
//! that ramps up takes only keys that it will keep, and one whose weight falls gives up only its own.

use super::keyed::Owners;
use super::tiers::{Member, position};
use crate::rng::mix;

/// Number of buckets. Fixed: with another number all keys would move.
const BUCKETS: usize = 1 << BUCKET_BITS;
const BUCKET_BITS: u32 = 16;

/// Winners kept for one level.
#[derive(Default)]
pub(super) struct Rendezvous {
    members: Vec<Member>,
    /// Empty before the first pick; then 256 KiB, of which untouched pages cost nothing.
    buckets: Vec<Bucket>,
    /// Members in the order in which they joined since all buckets were empty.
    joined: Vec<u16>,
}

/// What is known of a bucket; zeroes before it is asked for.
#[derive(Clone, Copy, Default)]
struct Bucket {
    winner: u16,
    /// One more than the number of `joined` that the winner has met; 0 if there is no winner.
    met: u16,
}

impl Owners for Rendezvous {
    fn members_changed(&mut self, members: &[Member]) {
        let old = std::mem::replace(&mut self.members, members.to_vec());
        let before = |member: &Member| position(&old, member.backend).map_or(0, |at| old[at].weight);
        // A member that grew may win what it lost before, as one that joins; one that shrank may lose what it has.
        self.joined.extend(members.iter().filter(|member| member.weight > before(member)).map(|member| member.backend));
        let shrunk = members.iter().any(|member| member.weight < before(member));
        if shrunk || self.buckets.is_empty() || self.joined.len() >= usize::from(u16::MAX) {
            self.joined.clear();
            self.buckets = vec![Bucket::default(); BUCKETS];
        }
    }

    fn owner(&mut self, place: u64) -> Option<u16> {
        let at = usize::try_from(place >> (u64::BITS - BUCKET_BITS)).unwrap_or(0);
        let known = self.buckets[at];
        let met = usize::from(known.met);
        let holder = position(&self.members, known.winner).filter(|_| met > 0);
        let newcomers = self.joined.get(met.saturating_sub(1)..).unwrap_or_default();
        let winner = match holder {
            Some(_) if newcomers.is_empty() => return Some(known.winner),
            Some(holder) if newcomers.len() < self.members.len() => {
                let newcomers = newcomers.iter().filter_map(|backend| position(&self.members, *backend));
                rendezvous([holder].into_iter().chain(newcomers).map(|at| &self.members[at]), at as u64)
            }
            _ => rendezvous(self.members.iter(), at as u64),
        }?;
        let met = u16::try_from(self.joined.len() + 1).unwrap_or(0);
        self.buckets[at] = Bucket { winner, met };
        Some(winner)
    }
}

/// Each member's time to the place is exponentially distributed with its weight as rate; the earliest wins, which is
/// each with a chance of its weight over the sum of weights.
pub(super) fn rendezvous<'a>(members: impl Iterator<Item = &'a Member>, place: u64) -> Option<u16> {
    let place = mix(place ^ 0x6a09_e667_f3bc_c908);
    let arrivals = members.map(|member| (arrival(member, place), member.backend));
    arrivals.min_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, backend)| backend)
}

/// When a member comes to a place, which should be well mixed.
pub(super) fn arrival(member: &Member, place: u64) -> f64 {
    /// Of 2^53 steps between 0 and 1, all exact; the half keeps away from the logarithm of zero.
    const STEP: f64 = 1.0 / (1u64 << 53) as f64;
    let chance = ((mix(member.key ^ place) >> 11) as f64 + 0.5) * STEP;
    -chance.ln() / f64::from(member.weight)
}
