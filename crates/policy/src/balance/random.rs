//! `random`: each pick is thrown anew, by weight. Driven by [`super::tiers`].

use super::shares::Shares;
use super::tiers::{Choose, Member};
use super::{Loads, Pick};

/// The shares to throw at.
pub(super) struct Random(Shares);

impl Choose for Random {
    fn new(_seed: u64) -> Self {
        Self(Shares::default())
    }

    fn members_changed(&mut self, members: &[Member], _loads: &dyn Loads) {
        self.0 = Shares::new(members);
    }

    fn choose(&mut self, pick: &mut Pick<'_>) -> Option<u16> {
        self.0.throw(pick.tried, pick.rng).map(|member| member.backend)
    }
}
