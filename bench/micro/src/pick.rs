//! Backends to pick: 1,000 ready ones, 64 requests running, and for each pick one ends.

use std::cell::Cell;
use std::collections::VecDeque;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use policy::balance::{Loads, Pick, Standing, new};
use policy::plan::{Address, Backend, PolicyKind, Wanted};
use policy::rng::Rng;

use crate::Run;

const BACKENDS: u16 = 1000;
const RUNNING: usize = 64;

struct Running(Vec<Cell<u32>>);

impl Loads for Running {
    fn active(&self, backend: usize) -> u32 {
        self.0[backend].get()
    }
}

fn backend(number: u16) -> Backend {
    let address = Address::Ip(SocketAddr::from(([10, 0, 0, 1], number)));
    Backend { name: address.to_string(), address, weight: 1, tier: 0, state: Wanted::Ready, max_requests: None, caps: Default::default() }
}

fn run(kind: PolicyKind) -> Run {
    let backends: Vec<Backend> = (0..BACKENDS).map(backend).collect();
    let mut balancer = new(kind, &backends, 7);
    for index in 0..backends.len() {
        balancer.backend_changed(index, Standing::Ready);
    }
    let loads = Running(vec![Cell::new(0); backends.len()]);
    let mut rng = Rng::new(7);
    let mut running = VecDeque::with_capacity(RUNNING + 1);
    let mut client = 0_u32;
    Box::new(move |count| {
        for _ in 0..count {
            client = client.wrapping_add(1);
            let mut pick = Pick {
                client: IpAddr::V4(Ipv4Addr::from(0x0a00_0000 | client & 0xffff)),
                tried: &[],
                rng: &mut rng,
                loads: &loads,
            };
            let picked = black_box(balancer.pick(&mut pick)).expect("one is ready");
            loads.0[picked].set(loads.0[picked].get() + 1);
            balancer.taken(picked, &loads);
            running.push_back(picked);
            if running.len() > RUNNING
                && let Some(ended) = running.pop_front()
            {
                loads.0[ended].set(loads.0[ended].get() - 1);
                balancer.returned(ended, &loads);
            }
        }
    })
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

pub(crate) fn ip_hash() -> Run {
    run(PolicyKind::IpHash)
}

pub(crate) fn first() -> Run {
    run(PolicyKind::First)
}
