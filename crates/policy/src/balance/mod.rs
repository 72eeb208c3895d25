//! Balancing: which backend of a pool takes a request.
//!
//! One small file for each policy behind one trait, [`Balancer`], that is *told* of changes, so that a pick is O(1) or
//! O(log n). Each worker owns one balancer for each pool; what must hold for the whole process (running requests) is
//! read through [`Loads`].

use std::net::IpAddr;

use crate::plan::{Backend, PolicyKind};
use crate::rng::Rng;

/// How eligible a backend is now. The order of choice is `Ready` of the lowest tier that has one, then `Unknown`; when
/// neither exists, all that are `Out` through no wish of the operator (panic); never those that are `Excluded`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Standing {
    /// Takes work.
    Ready,
    /// No verdict yet.
    #[default]
    Unknown,
    /// Out by evidence (down by probes, ejected).
    Out,
    /// Out by the operator (draining, drained, down by hand).
    Excluded,
}

/// Running requests of backends, over all workers.
pub trait Loads {
    /// Running requests of the backend with this index.
    fn active(&self, backend: usize) -> u32;
}

/// What a pick may depend on.
pub struct Pick<'a> {
    /// The trusted client address.
    pub client: IpAddr,
    /// Backends already tried by this exchange: avoided while others are eligible.
    pub tried: &'a [u16],
    /// Chance.
    pub rng: &'a mut Rng,
    /// Load.
    pub loads: &'a dyn Loads,
}

/// A policy at work in one worker.
pub trait Balancer {
    /// The backend's standing changed.
    fn backend_changed(&mut self, backend: usize, standing: Standing);
    /// An attempt at the backend begins in this worker.
    fn taken(&mut self, backend: usize, loads: &dyn Loads);
    /// An attempt at the backend ended in this worker.
    fn returned(&mut self, backend: usize, loads: &dyn Loads);
    /// Picks a backend; `None` only if all are excluded (or tried and nothing else is left and the pool has no other).
    fn pick(&mut self, pick: &mut Pick<'_>) -> Option<usize>;
}

/// Makes the balancer of a policy for one worker. `seed` makes workers start at different phases.
#[must_use]
pub fn new(_kind: PolicyKind, backends: &[Backend], _seed: u64) -> Box<dyn Balancer> {
    struct Stub(usize, usize);
    impl Balancer for Stub {
        fn backend_changed(&mut self, _: usize, _: Standing) {}
        fn taken(&mut self, _: usize, _: &dyn Loads) {}
        fn returned(&mut self, _: usize, _: &dyn Loads) {}
        fn pick(&mut self, _: &mut Pick<'_>) -> Option<usize> {
            self.0 += 1;
            Some(self.0 % self.1)
        }
    }
    Box::new(Stub(0, backends.len()))
}
