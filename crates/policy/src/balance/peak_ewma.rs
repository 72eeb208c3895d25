//! `peak-ewma`: the work goes where it will probably be done first. Driven by [`super::tiers`].
//!
//! What a backend costs is its latency ([`super::Latency`]) times its load, which is one and its running requests by
//! weight. So a backend that takes ten times as long gets requests when the others have ten times as much to do. In pools
//! of up to [`ALL`] all backends are compared, in larger ones two different ones thrown by weight.
//!
//! **A backend without a latency**, new or not asked for a while, is taken to be as fast as the fastest of those compared:
//! running requests decide. It is therefore not starved, and not flooded either, since what it has not yet answered
//! counts against it; its first answer says the rest.

use super::shares::Shares;
use super::tiers::{Choose, Member, WHOLE};
use super::{Loads, Pick, avoid};

/// More backends are not all compared.
const ALL: usize = 8;

/// The members of one level.
#[derive(Default)]
pub(super) struct PeakEwma {
    members: Vec<Member>,
    shares: Shares,
}

impl Choose for PeakEwma {
    fn members_changed(&mut self, members: &[Member], _loads: &dyn Loads) {
        self.members = members.to_vec();
        self.shares = Shares::new(members);
    }

    /// Equal cost falls to the first thrown, which was thrown by weight.
    fn choose(&mut self, pick: &mut Pick<'_>) -> Option<u16> {
        if self.members.len() > ALL {
            let (one, other) = self.shares.throw_two(pick.tried, pick.rng)?;
            return cheapest([Some(one), other].into_iter().flatten(), pick);
        }
        let one = self.shares.throw(pick.tried, pick.rng)?;
        let mut compared = [one; ALL];
        let mut count = 1;
        for member in &self.members {
            let is_other = member.backend != one.backend && !avoid::has(pick.tried, member.backend);
            // The thrown one was thrown by what it gets of its weight; the others come in by the same measure.
            if is_other && member.takes(pick.rng) {
                compared[count] = *member;
                count += 1;
            }
        }
        cheapest(compared.into_iter().take(count), pick)
    }
}

/// What one pick sees of a member.
#[derive(Clone, Copy, Default)]
struct Seen {
    backend: u16,
    weight: u32,
    active: u32,
    latency_us: Option<u32>,
}

impl Seen {
    /// Cost times weight.
    fn weighted_cost(&self, fastest_us: u32) -> u128 {
        let load = u64::from(self.active) * u64::from(WHOLE) + u64::from(self.weight);
        u128::from(self.latency_us.unwrap_or(fastest_us)) * u128::from(load)
    }
}

/// The cheapest of at most [`ALL`] members, the first of equals.
fn cheapest(members: impl Iterator<Item = Member>, pick: &Pick<'_>) -> Option<u16> {
    let mut seen = [Seen::default(); ALL];
    let mut count = 0;
    for (seen, Member { backend, weight, .. }) in seen.iter_mut().zip(members) {
        let active = pick.loads.active(usize::from(backend));
        let latency_us = pick.loads.latency_us(usize::from(backend), pick.now_ms);
        *seen = Seen { backend, weight, active, latency_us };
        count += 1;
    }
    let seen = &seen[..count];
    let fastest_us = seen.iter().filter_map(|seen| seen.latency_us).min().unwrap_or(1);
    let cheapest = seen.iter().min_by(|one, other| {
        let mine = one.weighted_cost(fastest_us) * u128::from(other.weight);
        mine.cmp(&(other.weighted_cost(fastest_us) * u128::from(one.weight)))
    });
    cheapest.map(|seen| seen.backend)
}
