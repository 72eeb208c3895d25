//! Balancing: which backend of a pool takes a request.
//!
//! One small file for each policy behind one trait, [`Balancer`], that is *told* of changes, so that a pick is O(1) or
//! O(log n). Each worker owns one balancer for each pool; what must hold for the whole process (running requests) is
//! read through [`Loads`].
//!
//! Driven by the engine: `pick`, then `taken` when the attempt begins, `returned` when it ended, and `backend_changed`
//! whenever health or the operator changed a standing. Who may be picked at all is decided once, in `tiers`; a policy
//! only chooses within one level of it. Which standing a backend has is the business of [`crate::health`].

mod avoid;
mod first;
mod keyed;
mod latency;
mod least_requests;
mod maglev;
mod peak_ewma;
mod power_of_two;
mod random;
mod rendezvous;
mod round_robin;
mod running;
mod shares;
mod sharing;
mod spill;
mod subset;
mod tiers;
mod tournament;

use first::First;
use keyed::Keyed;
use least_requests::LeastRequests;
use maglev::Maglev;
use peak_ewma::PeakEwma;
use power_of_two::PowerOfTwo;
use random::Random;
use rendezvous::Rendezvous;
use round_robin::RoundRobin;
use sharing::Sharing;
pub use tiers::Awaited;
use tiers::{Chance, Slots, Tiers};

use crate::plan::{Backend, PolicyKind, SpillOver};
use crate::rng::Rng;

pub use latency::{Evidence, Latency};

/// How eligible a backend is now. The order of choice is `Ready` of the lowest tier that has one, then `Unknown`; when
/// neither exists (panic), those that are `Ejected`, then those that are `Out`; never those that are `Excluded`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Standing {
    /// Takes work.
    Ready,
    /// No verdict yet.
    #[default]
    Unknown,
    /// Out by passive evidence.
    Ejected,
    /// Out by probes.
    Out,
    /// Out by the operator (draining, drained, down by hand).
    Excluded,
}

/// What is known of backends, over all workers.
pub trait Loads {
    /// Running requests of the backend with this index.
    fn active(&self, backend: usize) -> u32;
    /// Its [`Latency`] in force at `now_ms`, in microseconds; `None` if nothing recent is known. Only asked by policies
    /// that want it ([`PolicyKind::wants_latency`]).
    fn latency_us(&self, _backend: usize, _now_ms: u64) -> Option<u32> {
        None
    }
}

/// What a pick may depend on.
pub struct Pick<'a> {
    /// What of the request its pool goes by ([`PolicyKind::hash_key`]); anything if it goes by nothing.
    pub key: u64,
    /// Backends already tried by this exchange: avoided while others are eligible.
    pub tried: &'a [u16],
    /// Chance.
    pub rng: &'a mut Rng,
    /// Load.
    pub loads: &'a dyn Loads,
    /// Now, on the clock by which latencies are noted.
    pub now_ms: u64,
}

/// A policy at work in one worker.
pub trait Balancer {
    /// The backend's standing changed.
    fn backend_changed(&mut self, backend: usize, standing: Standing);
    /// The backend gets so many thousandths of its weight from now on: 1000 until told otherwise, and never less than 1.
    fn weight_changed(&mut self, backend: usize, permille: u16);
    /// An attempt at the backend begins in this worker; `loads` counts it already.
    fn taken(&mut self, backend: usize, loads: &dyn Loads);
    /// An attempt at the backend ended in this worker; `loads` counts it no longer.
    fn returned(&mut self, backend: usize, loads: &dyn Loads);
    /// Picks a backend; `None` only if all are excluded. A tried one comes back only when every other eligible one was
    /// tried, too: whether it is worth another attempt is for the caller to say.
    fn pick(&mut self, pick: &mut Pick<'_>) -> Option<usize>;
    /// As `pick`, but never a backend without room while another of its level has some; `None` also if none has. For
    /// pools whose backends have caps: O(n) once the first choice is full. Those that have room then share by weight, or
    /// as the policy does when a backend was tried.
    fn pick_with_room(&mut self, pick: &mut Pick<'_>, room: &dyn Fn(usize) -> bool) -> Option<usize>;
}

/// What a balancer goes by beside its policy and its backends.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Makes workers start at different phases; `ip-hash`, `hash` and `maglev` ignore it, so that all workers and nodes
    /// send a key to the same backend.
    pub seed: u64,
    /// When requests go to higher tiers although lower ones have ready backends.
    pub spill_over: Option<SpillOver>,
    /// Which part of the backends this node uses.
    pub share: Option<NodeShare>,
}

/// The backends of each level that one node uses.
#[derive(Clone, Copy, Debug)]
pub struct NodeShare {
    /// How many; at least 1.
    pub size: u16,
    /// A hash of the node's name.
    pub node: u64,
}

impl Terms {
    /// Nothing but a seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }
}

/// Makes the balancer of a policy for one worker.
///
/// Until told otherwise, every backend is [`Standing::Unknown`], even one that the file wants drained: who drives the
/// balancer tells it of that, too. Indices are those of `backends`, of which a pool has at most 65,536.
#[must_use]
pub fn new(kind: &PolicyKind, backends: &[Backend], terms: Terms) -> Box<dyn Balancer> {
    let seed = terms.seed;
    let slots = Slots::new(backends, &terms, if kind.hash_key().is_some() { Chance::OfKey } else { Chance::Free });
    match kind {
        PolicyKind::RoundRobin => Box::new(Tiers::new(slots, move || RoundRobin::new(seed))),
        PolicyKind::Random => Box::new(Tiers::new(slots, Random::default)),
        PolicyKind::LeastRequests => Box::new(Tiers::new(slots, move || LeastRequests::new(seed))),
        PolicyKind::PowerOfTwo => Box::new(Tiers::new(slots, PowerOfTwo::default)),
        PolicyKind::PeakEwma => Box::new(Tiers::new(slots, PeakEwma::default)),
        PolicyKind::IpHash => Box::new(Tiers::new(slots, || Keyed::new(Rendezvous::default(), None))),
        PolicyKind::Hash(hashing) if hashing.among > 1 => {
            let among = hashing.among;
            Box::new(Tiers::new(slots, move || Sharing::new(among)))
        }
        PolicyKind::Hash(hashing) => {
            let bound = hashing.bound;
            Box::new(Tiers::new(slots, move || Keyed::new(Rendezvous::default(), bound)))
        }
        PolicyKind::Maglev(hashing) => {
            let bound = hashing.bound;
            Box::new(Tiers::new(slots, move || Keyed::new(Maglev::default(), bound)))
        }
        PolicyKind::First => Box::new(Tiers::new(slots, First::default)),
    }
}

#[cfg(test)]
mod tests;
