//! `peak-ewma`: of two different backends thrown by weight, the one takes the work where it will probably be done first.
//! Driven by [`super::tiers`].
//!
//! What a backend costs is its latency ([`super::Latency`]) times its running requests and the one to come, by weight. So
//! a backend that takes ten times as long gets requests when the others have ten times as many running.
//!
//! **A backend without a latency**, new or not asked for a while, costs as much as the other one thrown would if that had
//! to answer in its place: running requests decide, as in `power-of-two`. It is therefore not starved, and not flooded
//! either, since what it has not yet answered counts against it; its first answer says the rest.

use super::shares::Shares;
use super::tiers::{Choose, Member};
use super::{Loads, Pick};

/// The shares to throw at.
#[derive(Default)]
pub(super) struct PeakEwma(Shares);

impl Choose for PeakEwma {
    fn members_changed(&mut self, members: &[Member], _loads: &dyn Loads) {
        self.0 = Shares::new(members);
    }

    /// Equal cost falls to the first thrown, which was thrown by weight.
    fn choose(&mut self, pick: &mut Pick<'_>) -> Option<u16> {
        let (one, other) = self.0.throw_two(pick.tried, pick.rng)?;
        let chosen = other.filter(|other| is_cheaper(other, &one, pick)).unwrap_or(one);
        Some(chosen.backend)
    }
}

/// Compares costs, without division.
fn is_cheaper(this: &Member, that: &Member, pick: &Pick<'_>) -> bool {
    let latency = |member: &Member| pick.loads.latency_us(usize::from(member.backend), pick.now_ms);
    let (mine, others) = match (latency(this), latency(that)) {
        (Some(mine), Some(others)) => (mine, others),
        _ => (1, 1),
    };
    let requests = |member: &Member| u64::from(pick.loads.active(usize::from(member.backend))) + 1;
    let times =
        |latency: u32, requests: u64, weight: u32| u128::from(latency) * u128::from(requests) * u128::from(weight);
    times(mine, requests(this), that.weight) < times(others, requests(that), this.weight)
}
