//! The policies at work, through the trait that the engine uses.

mod bounded;
mod eligible;
mod latency;
mod least_requests;
mod maglev;
mod peak_ewma;
mod power_of_two;
mod random;
mod rendezvous;
mod room;
mod round_robin;
mod spill;
mod subset;
mod weights;

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use super::{Balancer, Evidence, Latency, Loads, NodeShare, Pick, Standing, Terms};
use crate::hashing::{Bound, HashKey, Hashing, client_key};
use crate::plan::{Address, Backend, PolicyKind, SpillOver, Wanted};
use crate::rng::Rng;

const HASH: PolicyKind = PolicyKind::Hash(Hashing::by(HashKey::Client));
const MAGLEV: PolicyKind = PolicyKind::Maglev(Hashing::by(HashKey::Client));
const BOUNDED: PolicyKind = PolicyKind::Hash(Hashing { key: HashKey::Client, bound: Some(Bound(125)), among: 1 });
const BOUNDED_MAGLEV: PolicyKind =
    PolicyKind::Maglev(Hashing { key: HashKey::Client, bound: Some(Bound(125)), among: 1 });

const KINDS: [PolicyKind; 11] = [
    PolicyKind::RoundRobin,
    PolicyKind::Random,
    PolicyKind::LeastRequests,
    PolicyKind::PowerOfTwo,
    PolicyKind::PeakEwma,
    PolicyKind::IpHash,
    PolicyKind::First,
    HASH,
    MAGLEV,
    BOUNDED,
    BOUNDED_MAGLEV,
];

/// Running requests and latencies, shared by the workers of a test.
#[derive(Default)]
struct Requests {
    active: RefCell<Vec<u32>>,
    latencies: RefCell<Vec<Latency>>,
    /// Backends that were asked for, the latest last.
    reads: RefCell<Vec<usize>>,
}

impl Requests {
    fn set(&self, backend: usize, active: u32) {
        let mut all = self.active.borrow_mut();
        let len = all.len().max(backend + 1);
        all.resize(len, 0);
        all[backend] = active;
    }

    /// An attempt at a backend ended with such evidence after so many microseconds.
    fn note(&self, backend: usize, evidence: (Evidence, u64), now_ms: u64) {
        let mut all = self.latencies.borrow_mut();
        let len = all.len().max(backend + 1);
        all.resize(len, Latency::default());
        all[backend] = all[backend].after(evidence.0, evidence.1, now_ms);
    }

    /// What was read since the last time.
    fn drain_reads(&self) -> Vec<usize> {
        self.reads.take()
    }

    fn get(&self, backend: usize) -> u32 {
        self.active.borrow().get(backend).copied().unwrap_or(0)
    }
}

impl Loads for Requests {
    fn active(&self, backend: usize) -> u32 {
        self.reads.borrow_mut().push(backend);
        self.get(backend)
    }

    fn latency_us(&self, backend: usize, now_ms: u64) -> Option<u32> {
        self.latencies.borrow().get(backend)?.at(now_ms)
    }
}

/// One worker with its balancer.
struct Worker {
    balancer: Box<dyn Balancer>,
    rng: Rng,
    requests: Rc<Requests>,
    now_ms: u64,
}

impl Worker {
    fn new(kind: PolicyKind, backends: &[Backend], seed: u64) -> Self {
        Self::on_terms(kind, backends, Terms::seeded(seed))
    }

    fn on_terms(kind: PolicyKind, backends: &[Backend], terms: Terms) -> Self {
        let seed = terms.seed;
        Self { balancer: super::new(&kind, backends, terms), rng: Rng::new(seed), requests: Rc::default(), now_ms: 0 }
    }

    /// A worker all of whose backends are ready.
    fn ready(kind: PolicyKind, weights: &[u32], seed: u64) -> Self {
        let mut worker = Self::new(kind, &weighted(weights), seed);
        for backend in 0..weights.len() {
            worker.set(backend, Standing::Ready);
        }
        worker
    }

    fn set(&mut self, backend: usize, standing: Standing) {
        self.balancer.backend_changed(backend, standing);
    }

    fn pick(&mut self) -> Option<usize> {
        self.pick_for(client(1), &[])
    }

    fn pick_but(&mut self, tried: &[u16]) -> Option<usize> {
        self.pick_for(client(1), tried)
    }

    fn pick_for(&mut self, client: IpAddr, tried: &[u16]) -> Option<usize> {
        let requests = Rc::clone(&self.requests);
        let (key, now_ms) = (client_key(client), self.now_ms);
        self.balancer.pick(&mut Pick { key, tried, rng: &mut self.rng, loads: &*requests, now_ms })
    }

    /// Begins an attempt.
    fn take(&mut self, backend: usize) {
        self.requests.set(backend, self.requests.get(backend) + 1);
        self.balancer.taken(backend, &*self.requests);
    }

    /// Ends an attempt.
    fn end(&mut self, backend: usize) {
        self.requests.set(backend, self.requests.get(backend) - 1);
        self.balancer.returned(backend, &*self.requests);
    }
}

/// An IPv4 client; different numbers are different clients.
fn client(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 + number).into()
}

fn backend(name: &str, weight: u32, tier: u8) -> Backend {
    let address = Address::Name(name.to_owned(), 80);
    Backend {
        name: name.to_owned(),
        address,
        weight,
        tier,
        state: Wanted::Ready,
        max_requests: None,
        caps: Default::default(),
        tls: false,
        http2: false,
    }
}

fn weighted(weights: &[u32]) -> Vec<Backend> {
    weights.iter().enumerate().map(|(index, weight)| backend(&format!("b{index}"), *weight, 0)).collect()
}

/// Asserts that the hits fit the shares: Pearson's chi-square stays within six standard deviations of its mean.
fn assert_shares(hits: &[u32], weights: &[u32]) {
    let (thrown, total) = (f64::from(hits.iter().sum::<u32>()), f64::from(weights.iter().sum::<u32>()));
    let off = |(hit, weight): (&u32, &u32)| {
        let expected = thrown * f64::from(*weight) / total;
        (f64::from(*hit) - expected).powi(2) / expected
    };
    let chi_square: f64 = hits.iter().zip(weights).map(off).sum();
    let freedom = f64::from(u32::try_from(hits.len() - 1).unwrap());
    assert!(
        chi_square <= freedom + 6.0 * (2.0 * freedom).sqrt(),
        "chi-square {chi_square} of {hits:?} for {weights:?}"
    );
}
