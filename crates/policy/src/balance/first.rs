//! `first`: the first backend in file order that can. Driven by [`super::tiers`].
//!
//! Weights mean nothing here, but what a backend gets of its own does: it is taken with that chance, else the next is.

use super::tiers::{Choose, Member, WHOLE};
use super::{Loads, Pick};

/// Members in file order.
pub(super) struct First(Vec<Member>);

impl Choose for First {
    fn new(_seed: u64) -> Self {
        Self(Vec::new())
    }

    fn members_changed(&mut self, members: &[Member], _loads: &dyn Loads) {
        self.0 = members.to_vec();
    }

    /// O(tried): at most so many members are stepped over.
    fn choose(&mut self, pick: &mut Pick<'_>) -> Option<u16> {
        let (tried, rng) = (pick.tried, &mut *pick.rng);
        let mut untried = self.0.iter().filter(|member| !tried.contains(&member.backend));
        let first = untried.next()?;
        let mut takes =
            |member: &Member| member.permille >= WHOLE || rng.below(u64::from(WHOLE)) < u64::from(member.permille);
        if takes(first) {
            return Some(first.backend);
        }
        Some(untried.find(|member| takes(member)).unwrap_or(first).backend)
    }
}
