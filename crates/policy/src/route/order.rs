//! The contract's match order, as one sort key.

use std::cmp::Reverse;

use crate::plan::{HostMatch, Match, PathMatch, Route};

/// Place in the order of all matches; lower is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank(u32);

impl Rank {
    /// The first of all matches.
    pub(super) const BEST: Self = Self(0);
    /// Worse than every match.
    pub(super) const NONE: Self = Self(u32::MAX);

    /// Index into the list of all matches.
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

impl Default for Rank {
    fn default() -> Self {
        Self::NONE
    }
}

/// Where a match stands in the file: order in the file is the last resort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Index of the route.
    pub(super) route: usize,
    /// Index into its matches.
    pub(super) index: usize,
}

/// All matches of all routes, best first.
pub(super) fn ranked(routes: &[Route]) -> impl Iterator<Item = (Rank, Place)> {
    let mut places: Vec<Place> = routes
        .iter()
        .enumerate()
        .flat_map(|(route, it)| (0..it.matches.len()).map(move |index| Place { route, index }))
        .collect();
    places.sort_by_cached_key(|place| (specificity(&routes[place.route].matches[place.index]), *place));
    (0..u32::MAX).map(Rank).zip(places)
}

/// Smaller is preferred; fields in the contract's order.
fn specificity(wanted: &Match) -> impl Ord + use<> {
    let conditions = (
        wanted.methods.is_empty(),
        Reverse(wanted.headers.len()),
        Reverse(wanted.query.len()),
        Reverse(wanted.cookies.len()),
        wanted.clients.is_none(),
    );
    (Reverse(wanted.priority), host_class(&wanted.host), path_class(&wanted.path), conditions)
}

fn host_class(host: &HostMatch) -> (u8, Reverse<usize>) {
    match host {
        HostMatch::Exact(_) => (0, Reverse(0)),
        HostMatch::Wildcard(suffix) => (1, Reverse(suffix.len())),
        HostMatch::Any => (2, Reverse(0)),
    }
}

fn path_class(path: &PathMatch) -> (u8, Reverse<usize>) {
    match path {
        PathMatch::Exact(_) => (0, Reverse(0)),
        PathMatch::Regex(_) => (1, Reverse(0)),
        PathMatch::Prefix(prefix) => (2, Reverse(prefix.len())),
        PathMatch::Any => (3, Reverse(0)),
    }
}
