//! `power-of-two`: two different backends are thrown by weight, the less loaded takes the work. Driven by [`super::tiers`].

use super::shares::Shares;
use super::tiers::{Choose, Member};
use super::{Loads, Pick};

/// The shares to throw at.
pub(super) struct PowerOfTwo(Shares);

impl Choose for PowerOfTwo {
    fn new(_seed: u64) -> Self {
        Self(Shares::default())
    }

    fn members_changed(&mut self, members: &[Member], _loads: &dyn Loads) {
        self.0 = Shares::new(members);
    }

    /// Equal load falls to the first thrown, which was thrown by weight.
    fn choose(&mut self, pick: &mut Pick<'_>) -> Option<u16> {
        let one = self.0.throw(pick.tried, pick.rng)?;
        let avoid = Avoid::new(pick.tried, one.backend);
        let Some(other) = self.0.throw(avoid.as_slice(), pick.rng) else { return Some(one.backend) };
        let chosen = if is_less_loaded(&other, &one, pick.loads) { other } else { one };
        Some(chosen.backend)
    }
}

/// Compares running requests by weight, without division.
fn is_less_loaded(this: &Member, that: &Member, loads: &dyn Loads) -> bool {
    let times =
        |load: &Member, weight: &Member| u64::from(loads.active(usize::from(load.backend))) * u64::from(weight.weight);
    times(this, that) < times(that, this)
}

/// The tried ones and one more; allocates only for retries.
enum Avoid {
    One([u16; 1]),
    Many(Vec<u16>),
}

impl Avoid {
    fn new(tried: &[u16], more: u16) -> Self {
        if tried.is_empty() { Self::One([more]) } else { Self::Many([tried, &[more]].concat()) }
    }

    fn as_slice(&self) -> &[u16] {
        match self {
            Self::One(one) => one,
            Self::Many(many) => many,
        }
    }
}
