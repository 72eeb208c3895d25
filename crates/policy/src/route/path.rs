//! Paths of one host: a table of exact paths, the regexes, a tree of prefixes by segment.

use super::Search;
use super::hash::Map;
use super::order::Rank;
use crate::plan::PathMatch;

/// The matches of one host, by path.
#[derive(Debug, Default)]
pub(super) struct PathTable {
    exact: Map<Vec<Rank>>,
    regexes: Vec<Rank>,
    prefixes: PrefixTree,
    any: Vec<Rank>,
    /// The best rank in the table.
    best: Rank,
    /// The best rank in `exact`.
    best_exact: Rank,
}

impl PathTable {
    /// Adds a match; ranks come in ascending order.
    pub(super) fn insert(&mut self, path: &PathMatch, rank: Rank) {
        self.best = self.best.min(rank);
        match path {
            PathMatch::Any => self.any.push(rank),
            PathMatch::Regex(_) => self.regexes.push(rank),
            PathMatch::Prefix(prefix) => self.prefixes.insert(prefix.as_bytes(), rank),
            PathMatch::Exact(path) => {
                self.best_exact = self.best_exact.min(rank);
                self.exact.entry(path.as_bytes().into()).or_default().push(rank);
            }
        }
    }

    /// To be called once after the last insertion.
    pub(super) fn seal(&mut self) {
        self.prefixes.seal();
    }

    pub(super) fn search(&self, search: &mut Search<'_>) {
        if !search.improves(self.best) {
            return;
        }
        // `OPTIONS *` is about the server, not about a resource (RFC 9110, section 9.3.7).
        if search.path.starts_with(b"/") {
            if search.improves(self.best_exact)
                && let Some(ranks) = search.lookup(&self.exact, search.path)
            {
                search.consider(ranks);
            }
            search.consider(&self.regexes);
        }
        self.prefixes.search(search);
        search.consider(&self.any);
    }
}

/// Prefixes as a tree of segments. Node 0 is the root, the prefix of everything (`/*`).
#[derive(Debug, Default)]
struct PrefixTree {
    nodes: Vec<Node>,
    /// The best rank in the tree.
    best: Rank,
}

#[derive(Debug, Default)]
struct Node {
    children: Map<usize>,
    parent: Option<usize>,
    ranks: Vec<Rank>,
    /// The best rank of this node and of all above it.
    best_upwards: Rank,
}

impl PrefixTree {
    fn insert(&mut self, prefix: &[u8], rank: Rank) {
        self.best = self.best.min(rank);
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let mut at = 0;
        for segment in segments(prefix) {
            let next = self.nodes.len();
            let child = *self.nodes[at].children.entry(segment.into()).or_insert(next);
            if child == next {
                self.nodes.push(Node { parent: Some(at), ..Node::default() });
            }
            at = child;
        }
        self.nodes[at].ranks.push(rank);
    }

    fn seal(&mut self) {
        // A parent always comes before its children.
        for at in 0..self.nodes.len() {
            let above = self.nodes[at].parent.map_or(Rank::NONE, |parent| self.nodes[parent].best_upwards);
            let own = self.nodes[at].ranks.first().copied().unwrap_or(Rank::NONE);
            self.nodes[at].best_upwards = own.min(above);
        }
    }

    /// Considers the longest prefix first.
    fn search(&self, search: &mut Search<'_>) {
        if !search.improves(self.best) {
            return;
        }
        let mut at = Some(self.deepest(search));
        while let Some(node) = at.map(|at| &self.nodes[at]) {
            if !search.improves(node.best_upwards) {
                return;
            }
            search.consider(&node.ranks);
            at = node.parent;
        }
    }

    /// The node of the longest known beginning of the path. It looks at no more segments than a prefix has, however
    /// long the path is.
    fn deepest(&self, search: &mut Search<'_>) -> usize {
        let mut at = 0;
        for segment in segments(search.path) {
            match search.lookup(&self.nodes[at].children, segment) {
                Some(child) => at = *child,
                None => break,
            }
        }
        at
    }
}

/// What stands between slashes; none for the empty prefix and for `*`.
fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.strip_prefix(b"/").into_iter().flat_map(|rest| rest.split(|&b| b == b'/'))
}
