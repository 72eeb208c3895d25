//! `first`: the first backend in file order that can. Driven by [`super::tiers`].
//!
//! Weights mean nothing here, but what a backend gets of its own does: it is taken with that chance, else the next is.

use super::tiers::{Choose, Member};
use super::{Loads, Pick, avoid};

/// Members in file order.
#[derive(Default)]
pub(super) struct First(Vec<Member>);

impl Choose for First {
    fn members_changed(&mut self, members: &[Member], _loads: &dyn Loads) {
        self.0 = members.to_vec();
    }

    /// O(tried): at most so many members are stepped over.
    fn choose(&mut self, pick: &mut Pick<'_>) -> Option<u16> {
        let (tried, rng) = (pick.tried, &mut *pick.rng);
        let mut untried = self.0.iter().filter(|member| !avoid::has(tried, member.backend));
        let first = untried.next()?;
        if first.takes(rng) {
            return Some(first.backend);
        }
        Some(untried.find(|member| member.takes(rng)).unwrap_or(first).backend)
    }
}
