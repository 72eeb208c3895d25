//! `power-of-two`: two different backends are thrown by weight, the less loaded takes the work. Driven by [`super::tiers`].

use super::shares::Shares;
use super::tiers::{Choose, Member};
use super::{Loads, Pick};

/// The shares to throw at.
#[derive(Default)]
pub(super) struct PowerOfTwo(Shares);

impl Choose for PowerOfTwo {
    fn members_changed(&mut self, members: &[Member], _loads: &dyn Loads) {
        self.0 = Shares::new(members);
    }

    /// Equal load falls to the first thrown, which was thrown by weight.
    fn choose(&mut self, pick: &mut Pick<'_>) -> Option<u16> {
        let (one, other) = self.0.throw_two(pick.tried, pick.rng)?;
        let chosen = other.filter(|other| is_less_loaded(other, &one, pick.loads)).unwrap_or(one);
        Some(chosen.backend)
    }
}

/// Compares running requests by weight, without division.
fn is_less_loaded(this: &Member, that: &Member, loads: &dyn Loads) -> bool {
    let times =
        |load: &Member, weight: &Member| u64::from(loads.active(usize::from(load.backend))) * u64::from(weight.weight);
    times(this, that) < times(that, this)
}
