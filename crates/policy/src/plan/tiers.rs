//! Parts of a pool: tiers that help each other out, and subsets of nodes.

/// When requests go to higher tiers although lower ones have ready backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpillOver {
    /// `below`: a tier of which less than this part is ready, in per cent by weight, gives so much of its requests on.
    pub below_percent: u8,
    /// Whether what finds a tier full goes on, instead of waiting in the queue.
    pub full: bool,
}

/// The part of a pool that one node uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subset {
    /// Backends of each level; at least 1.
    pub size: u16,
    /// The node's name; `None` is the host's.
    pub node: Option<String>,
}
