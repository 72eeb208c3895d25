//! `hash` with `among`: a few backends share each key (shuffle sharding). Driven by [`super::tiers`].
//!
//! A key has its first few members in a rendezvous; the least loaded of these by weight takes the request, the first of
//! equals. Two keys seldom have all of them in common, so that a key that breaks its backends leaves nearly every other key
//! one that works. A member that leaves is replaced by one other, for its own keys only.
//!
//! Keys fall into [`BUCKETS`] buckets. A rendezvous is O(n); it is held when a bucket is first asked for after a change of
//! members, and kept.

use super::rendezvous::{arrival, rendezvous};
use super::tiers::{Choose, Member};
use super::{Loads, Pick, avoid};
use crate::rng::mix;

/// Number of buckets. Fixed: with another number all keys would move.
const BUCKETS: usize = 1 << BUCKET_BITS;
const BUCKET_BITS: u32 = 16;

/// In a bucket that was not yet asked for.
const NOBODY: u32 = 0;

/// The members of one level, and who shares which bucket.
pub(super) struct Sharing {
    members: Vec<Member>,
    /// Members that share a key; at least 1.
    among: usize,
    /// Of each bucket so many places in `members`, each one more than it is.
    buckets: Vec<u32>,
}

impl Choose for Sharing {
    fn members_changed(&mut self, members: &[Member], _loads: &dyn Loads) {
        self.members = members.to_vec();
        self.buckets = vec![NOBODY; BUCKETS * self.among.min(members.len())];
    }

    fn choose(&mut self, pick: &mut Pick<'_>) -> Option<u16> {
        let among = self.among.min(self.members.len());
        let bucket = usize::try_from(mix(pick.key) >> (u64::BITS - BUCKET_BITS)).unwrap_or(0);
        let places = self.buckets.get_mut(bucket * among..(bucket + 1) * among)?;
        if places.first() == Some(&NOBODY) {
            hold(&self.members, bucket as u64, places);
        }
        let members = places.iter().map(|place| self.members[*place as usize - 1]);
        let untried = members.filter(|member| !avoid::has(pick.tried, member.backend));
        let loads = untried.map(|member| (u64::from(pick.loads.active(usize::from(member.backend))), member));
        // Compared without division.
        let weighted = |load: u64, other: &Member| load * u64::from(other.weight);
        let least = loads.min_by(|one, other| weighted(one.0, &other.1).cmp(&weighted(other.0, &one.1)));
        // When all that share the key were tried, others are better than none.
        let others = || self.members.iter().filter(|member| !avoid::has(pick.tried, member.backend));
        least.map(|(_, member)| member.backend).or_else(|| rendezvous(others(), bucket as u64))
    }
}

impl Sharing {
    pub(super) fn new(among: u16) -> Self {
        Self { members: Vec::new(), among: usize::from(among.max(1)), buckets: Vec::new() }
    }
}

/// The first of a rendezvous, in their order.
fn hold(members: &[Member], bucket: u64, places: &mut [u32]) {
    let point = mix(bucket ^ 0xa54f_f53a_5f1d_36f1);
    let mut arrivals: Vec<(f64, u32)> =
        (1..).zip(members).map(|(place, member)| (arrival(member, point), place)).collect();
    arrivals.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
    for (place, (_, member)) in places.iter_mut().zip(arrivals) {
        *place = member;
    }
}
