//! `first`: the first backend in file order that can. Driven by [`super::tiers`].

use super::tiers::{Choose, Member};
use super::{Loads, Pick};

/// Members in file order.
#[derive(Default)]
pub(super) struct First(Vec<Member>);

impl Choose for First {
    fn members_changed(&mut self, members: &[Member], _loads: &dyn Loads) {
        self.0 = members.to_vec();
    }

    /// O(tried): at most so many members are stepped over.
    fn choose(&mut self, pick: &mut Pick<'_>) -> Option<u16> {
        self.0.iter().map(|member| member.backend).find(|backend| !pick.tried.contains(backend))
    }
}
