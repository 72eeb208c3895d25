//! `ip-hash`: a client address stays with its backend. Driven by [`super::tiers`].
//!
//! Addresses fall into [`BUCKETS`] buckets (IPv6 by /64, IPv4-mapped IPv6 as IPv4), and each bucket belongs to the member
//! that wins a weighted rendezvous for it: each member throws a number that depends only on its name and the bucket, and
//! the best by weight wins. So:
//! - a member that leaves moves only its own clients, one that joins takes only what it will own: nobody else moves,
//!   whether by health, by hand or by a new plan;
//! - all workers, nodes and restarts agree, since neither seed nor order counts;
//! - a member owns a share of buckets by weight, give or take the root of their number (1 % at 10,000 buckets).
//!
//! A rendezvous is O(n). It is held when a bucket is first asked for, and its winner kept: a pick is O(log n) from then on.
//! When members join or grow, an old winner only meets those; when the winner left, the rendezvous is held anew. A member
//! that ramps up takes only clients that it will keep, and one whose weight falls gives up only its own.

use std::net::IpAddr;

use super::tiers::{Choose, Member, position};
use super::{Loads, Pick};
use crate::rng::mix;

/// Number of buckets. Fixed: with another number all clients would move.
const BUCKETS: usize = 1 << BUCKET_BITS;
const BUCKET_BITS: u32 = 16;

/// Other buckets that a client with tried backends asks before all members are weighed.
const DETOURS: u64 = 16;

/// Winners kept for one level.
pub(super) struct IpHash {
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

impl Choose for IpHash {
    fn new(_seed: u64) -> Self {
        Self { members: Vec::new(), buckets: Vec::new(), joined: Vec::new() }
    }

    fn members_changed(&mut self, members: &[Member], _loads: &dyn Loads) {
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

    fn choose(&mut self, pick: &mut Pick<'_>) -> Option<u16> {
        let client = key_of(pick.client);
        let detours = if pick.tried.is_empty() { 0 } else { DETOURS };
        for detour in 0..=detours {
            let winner = self.winner(bucket_of(client, detour))?;
            if !pick.tried.contains(&winner) {
                return Some(winner);
            }
        }
        let untried = self.members.iter().filter(|member| !pick.tried.contains(&member.backend));
        rendezvous(untried, client)
    }
}

impl IpHash {
    /// Who owns a bucket.
    fn winner(&mut self, at: usize) -> Option<u16> {
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

/// The bucket of a client; each detour leads to another one.
fn bucket_of(client: u64, detour: u64) -> usize {
    let hash = mix(client.wrapping_add(detour.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    usize::try_from(hash >> (u64::BITS - BUCKET_BITS)).unwrap_or(0)
}

/// Each member's time to the place is exponentially distributed with its weight as rate; the earliest wins, which is
/// each with a chance of its weight over the sum of weights.
fn rendezvous<'a>(members: impl Iterator<Item = &'a Member>, place: u64) -> Option<u16> {
    let place = mix(place ^ 0x6a09_e667_f3bc_c908);
    let arrivals = members.map(|member| (arrival(member, place), member.backend));
    arrivals.min_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, backend)| backend)
}

fn arrival(member: &Member, place: u64) -> f64 {
    /// Of 2^53 steps between 0 and 1, all exact; the half keeps away from the logarithm of zero.
    const STEP: f64 = 1.0 / (1u64 << 53) as f64;
    let chance = ((mix(member.key ^ place) >> 11) as f64 + 0.5) * STEP;
    -chance.ln() / f64::from(member.weight)
}

/// What of an address counts.
fn key_of(client: IpAddr) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(ip) => mix(u64::from(ip.to_bits())),
        IpAddr::V6(ip) => mix(!u64::try_from(ip.to_bits() >> 64).unwrap_or(0)),
    }
}
