//! Backends to pick: 1,000 ready ones, 64 requests running, and for each pick one ends and is noted.

use std::collections::VecDeque;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use policy::balance::{Evidence, Latency, Loads, Pick, Standing, Terms, new};
use policy::hashing::{Bound, HashKey, Hashing, client_key};
use policy::plan::{Address, Backend, PolicyKind, Wanted};
use policy::rng::Rng;

use crate::Run;

const BACKENDS: u16 = 1000;
const RUNNING: usize = 64;

/// Of each backend what the workers share, laid out as in the engine.
#[derive(Default)]
#[repr(align(128))]
struct Shared {
    active: AtomicU32,
    latency: AtomicU64,
}

struct Backends(Vec<Shared>);

impl Loads for Backends {
    fn active(&self, backend: usize) -> u32 {
        self.0[backend].active.load(Relaxed)
    }

    fn latency_us(&self, backend: usize, now_ms: u64) -> Option<u32> {
        Latency::from_bits(self.0[backend].latency.load(Relaxed)).at(now_ms)
    }
}

impl Backends {
    fn begin(&self, backend: usize) {
        self.0[backend].active.fetch_add(1, Relaxed);
    }

    fn end(&self, backend: usize) {
        self.0[backend].active.fetch_sub(1, Relaxed);
    }

    fn note(&self, backend: usize, took_us: u64, now_ms: u64) {
        let after = |bits| {
            let new = Latency::from_bits(bits).after(Evidence::Answer, took_us, now_ms).to_bits();
            (new != bits).then_some(new)
        };
        let _ = self.0[backend].latency.fetch_update(Relaxed, Relaxed, after);
    }
}

fn backend(number: u16) -> Backend {
    let address = Address::Ip(SocketAddr::from(([10, 0, 0, 1], number)));
    Backend {
        name: address.to_string(),
        address,
        weight: 1,
        tier: 0,
        state: Wanted::Ready,
        max_requests: None,
        caps: Default::default(),
        tls: false,
    }
}

/// 100 picks a millisecond, for 1,024 clients that have all been there before.
fn run(kind: PolicyKind) -> Run {
    let backends: Vec<Backend> = (0..BACKENDS).map(backend).collect();
    let mut balancer = new(&kind, &backends, Terms::seeded(7));
    for index in 0..backends.len() {
        balancer.backend_changed(index, Standing::Ready);
    }
    let shared = Backends(backends.iter().map(|_| Shared::default()).collect());
    for index in 0..backends.len() {
        shared.note(index, 1_000 + index as u64, 0);
    }
    let mut rng = Rng::new(7);
    let mut running = VecDeque::with_capacity(RUNNING + 1);
    let mut number = 0_u32;
    let mut picks: Run = Box::new(move |count| {
        for _ in 0..count {
            number = number.wrapping_add(1);
            let client = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 | number & 0x3ff));
            let key = if kind.hash_key().is_some() { client_key(client) } else { 0 };
            let now_ms = u64::from(number / 100);
            let mut pick = Pick { key, tried: &[], rng: &mut rng, loads: &shared, now_ms };
            let picked = black_box(balancer.pick(&mut pick)).expect("one is ready");
            shared.begin(picked);
            balancer.taken(picked, &shared);
            running.push_back(picked);
            if running.len() > RUNNING
                && let Some(ended) = running.pop_front()
            {
                if kind.wants_latency() {
                    shared.note(ended, 1_000, now_ms);
                }
                shared.end(ended);
                balancer.returned(ended, &shared);
            }
        }
    });
    // What the first pick of a key costs more is not counted.
    picks(4096);
    picks
}

/// A backend goes or comes back, and a pick follows.
fn change(kind: &PolicyKind) -> Run {
    let backends: Vec<Backend> = (0..BACKENDS).map(backend).collect();
    let mut balancer = new(kind, &backends, Terms::seeded(7));
    for index in 0..backends.len() {
        balancer.backend_changed(index, Standing::Ready);
    }
    let shared = Backends(backends.iter().map(|_| Shared::default()).collect());
    let mut rng = Rng::new(7);
    let mut standing = Standing::Ready;
    Box::new(move |count| {
        for number in 0..count {
            standing = if standing == Standing::Ready { Standing::Out } else { Standing::Ready };
            balancer.backend_changed(7, standing);
            let mut pick = Pick { key: number, tried: &[], rng: &mut rng, loads: &shared, now_ms: 0 };
            black_box(balancer.pick(&mut pick)).expect("one is ready");
        }
    })
}

const fn by_client(bound: Option<Bound>) -> Hashing {
    Hashing { key: HashKey::Client, bound, among: 1 }
}

pub(crate) fn round_robin() -> Run {
    run(PolicyKind::RoundRobin)
}

pub(crate) fn random() -> Run {
    run(PolicyKind::Random)
}

pub(crate) fn least_requests() -> Run {
    run(PolicyKind::LeastRequests)
}

pub(crate) fn power_of_two() -> Run {
    run(PolicyKind::PowerOfTwo)
}

pub(crate) fn peak_ewma() -> Run {
    run(PolicyKind::PeakEwma)
}

pub(crate) fn ip_hash() -> Run {
    run(PolicyKind::IpHash)
}

pub(crate) fn hash_bounded() -> Run {
    run(PolicyKind::Hash(by_client(Some(Bound(125)))))
}

pub(crate) fn maglev() -> Run {
    run(PolicyKind::Maglev(by_client(None)))
}

pub(crate) fn first() -> Run {
    run(PolicyKind::First)
}

pub(crate) fn change_ip_hash() -> Run {
    change(&PolicyKind::IpHash)
}

pub(crate) fn change_maglev() -> Run {
    change(&PolicyKind::Maglev(by_client(None)))
}
