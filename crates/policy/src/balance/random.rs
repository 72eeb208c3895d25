//! `random`: each pick is thrown anew, by weight. Driven by [`super::tiers`].

use super::shares::Shares;
use super::tiers::{Choose, Member};
use super::{Loads, Pick};

/// The shares to throw at.
#[derive(Default)]
pub(super) struct Random(Shares);

impl Choose for Random {
    fn members_changed(&mut self, members: &[Member], _loads: &dyn Loads) {
        self.0 = Shares::new(members);
    }

    fn choose(&mut self, pick: &mut Pick<'_>) -> Option<u16> {
        self.0.throw(pick.tried, pick.rng).map(|member| member.backend)
    }
}
