//! Routing: which route takes a request.
//!
//! Owns the contract's match order and the compiled matcher; what a route then does is [`crate::plan::Action`]. `config`
//! compiles a [`Router`] once for each plan, the engine asks it once for each request.
//!
//! All matches of all routes are sorted once by the contract's order; the place in that list is a match's *rank*, and
//! the answer is simply the lowest rank whose conditions all hold. Host and path tables only keep the search away from
//! matches that cannot hold:
//!
//! ```text
//! host ─┬─ exact host ─────┐
//!       ├─ wildcards ──────┼─► path table ─┬─ exact path ──┐
//!       └─ no host ────────┘               ├─ regexes ─────┼─► ranks, ascending ─► conditions
//!                                          ├─ prefix tree ─┤
//!                                          └─ any path ────┘
//! ```
//!
//! A part of the tables whose best rank is worse than what was found already is never entered, so priorities need no
//! tables of their own.

mod candidate;
mod hash;
mod host;
mod order;
mod path;
pub(crate) mod values;

use std::net::IpAddr;

use wire::head::Request;

use crate::plan::{HostMatch, ListenerId, Match, Route, RouteId};
use candidate::Candidate;
use hash::Map;
use order::Rank;
use path::PathTable;

pub use host::without_port;

/// What the router looks at.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The listener the request came in by.
    pub listener: ListenerId,
    /// The head.
    pub head: &'a Request,
    /// The buffer that the head's spans point into.
    pub buf: &'a [u8],
    /// The (trusted) client address.
    pub client: IpAddr,
}

/// The match that took a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched {
    /// The route.
    pub route: RouteId,
    /// Index into the route's `matches`.
    pub match_index: usize,
    /// Where in the normalised path that begins which the `*` of the path condition stood for: with its leading slash,
    /// the end of the path when nothing is left. A match without path condition leaves the whole path, an exact path
    /// or a regex nothing; of the path `*` nothing is left, either.
    pub rest_at: usize,
}

/// What one search cost, in countable steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Hash lookups in the host and path tables.
    pub lookups: usize,
    /// Matches whose conditions were evaluated.
    pub evaluated: usize,
}

/// The compiled matcher.
#[derive(Debug, Default)]
pub struct Router {
    /// All matches by rank.
    candidates: Vec<Candidate>,
    hosts: Map<PathTable>,
    /// By the part after `*.`.
    wildcards: Map<PathTable>,
    /// Bytes of the longest key in `wildcards`.
    longest_wildcard: usize,
    /// The best rank in `wildcards`.
    best_wildcard: Rank,
    any_host: PathTable,
    /// The best match has no condition: it takes everything.
    takes_all: bool,
}

impl Router {
    /// Compiles the matches of all routes.
    #[must_use]
    pub fn compile(routes: &[Route]) -> Self {
        let mut router = Self { best_wildcard: Rank::NONE, ..Self::default() };
        for (rank, place) in order::ranked(routes) {
            let wanted = &routes[place.route].matches[place.index];
            router.table_of(wanted, rank).insert(&wanted.path, rank);
            router.candidates.push(Candidate::new(wanted, place));
        }
        router.any_host.seal();
        router.hosts.values_mut().chain(router.wildcards.values_mut()).for_each(PathTable::seal);
        router.takes_all = router.candidates.first().is_some_and(Candidate::is_unconditional);
        router
    }

    fn table_of(&mut self, wanted: &Match, rank: Rank) -> &mut PathTable {
        match &wanted.host {
            HostMatch::Any => &mut self.any_host,
            HostMatch::Exact(host) => self.hosts.entry(host.as_bytes().into()).or_default(),
            HostMatch::Wildcard(suffix) => {
                self.longest_wildcard = self.longest_wildcard.max(suffix.len());
                self.best_wildcard = self.best_wildcard.min(rank);
                self.wildcards.entry(suffix.as_bytes().into()).or_default()
            }
        }
    }

    /// The route that takes the request, or none (404).
    #[must_use]
    pub fn route(&self, query: &Query<'_>) -> Option<RouteId> {
        self.route_matched(query).map(|matched| matched.route)
    }

    /// The match that takes the request, for callers that need what its `*` stood for; none is 404.
    #[must_use]
    pub fn route_matched(&self, query: &Query<'_>) -> Option<Matched> {
        let search = self.search(query);
        let best = self.candidates.get(search.best.index())?;
        Some(best.matched(search.path))
    }

    /// What it costs to route the request; tests hold it against the number of hosts and routes.
    #[must_use]
    pub fn effort(&self, query: &Query<'_>) -> Effort {
        self.search(query).effort
    }

    fn search<'a>(&'a self, query: &'a Query<'a>) -> Search<'a> {
        let path = query.head.path(query.buf);
        let mut search =
            Search { candidates: &self.candidates, query, path, best: Rank::NONE, effort: Effort::default() };
        if self.takes_all {
            search.best = Rank::BEST;
            return search;
        }
        if !self.hosts.is_empty() || !self.wildcards.is_empty() {
            let mut room = [0; host::LONGEST];
            if let Some(host) = host::normal(query.head.authority.of(query.buf), &mut room) {
                self.search_host(host, &mut search);
            }
        }
        self.any_host.search(&mut search);
        search
    }

    fn search_host(&self, host: &[u8], search: &mut Search<'_>) {
        if let Some(table) = search.lookup(&self.hosts, host) {
            table.search(search);
        }
        for suffix in host::suffixes(host, self.longest_wildcard) {
            if !search.improves(self.best_wildcard) {
                return;
            }
            if let Some(table) = search.lookup(&self.wildcards, suffix) {
                table.search(search);
            }
        }
    }
}

/// A search under way: the best match so far.
struct Search<'a> {
    candidates: &'a [Candidate],
    query: &'a Query<'a>,
    path: &'a [u8],
    best: Rank,
    effort: Effort,
}

impl Search<'_> {
    /// Whether a match of this rank would be better than what was found.
    fn improves(&self, rank: Rank) -> bool {
        rank < self.best
    }

    /// Takes the first of these (ascending) ranks that holds, if it is better than what was found.
    fn consider(&mut self, ranks: &[Rank]) {
        for &rank in ranks {
            if !self.improves(rank) {
                return;
            }
            self.effort.evaluated += 1;
            if self.candidates[rank.index()].holds(self.query, self.path) {
                self.best = rank;
                return;
            }
        }
    }

    fn lookup<'t, T>(&mut self, map: &'t Map<T>, key: &[u8]) -> Option<&'t T> {
        if map.is_empty() {
            return None;
        }
        self.effort.lookups += 1;
        map.get(key)
    }
}
