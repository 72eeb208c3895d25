//! The part of a level that one node uses: many nodes before many backends need not all know each other.
//!
//! Each node takes the members that come first in a rendezvous for its name. So a member that leaves is replaced by one
//! other, one that joins replaces at most one, nodes agree on nothing, and each member is used by about the same number
//! of nodes, by chance: with n nodes that use k of m members each, k · n / m, give or take the root of that.

use super::NodeShare;
use super::rendezvous::arrival;
use super::tiers::Member;
use crate::rng::mix;

/// The members that a node uses, in file order.
pub(super) fn of(members: &[Member], share: NodeShare) -> Vec<Member> {
    let size = usize::from(share.size.max(1));
    if members.len() <= size {
        return members.to_vec();
    }
    let place = mix(share.node ^ 0xbb67_ae85_84ca_a73b);
    let mut arrivals: Vec<(f64, Member)> = members.iter().map(|member| (arrival(member, place), *member)).collect();
    arrivals.select_nth_unstable_by(size - 1, |one, other| one.0.total_cmp(&other.0));
    let mut chosen: Vec<Member> = arrivals.into_iter().take(size).map(|(_, member)| member).collect();
    chosen.sort_unstable_by_key(|member| member.backend);
    chosen
}
