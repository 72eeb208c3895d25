//! A front with its workers and backends, in simulated time: what happens to each request, from one seed.
//!
//! Arrivals are Poisson. Each worker has a balancer of its own; running requests and latencies are shared, as in the
//! engine. Nothing probes the backends: what a policy does about a sick one, it does alone.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use policy::balance::{self, Balancer, Evidence, Latency, Loads, Pick, Standing, Terms};
use policy::plan::{Address, Backend, Caps, PolicyKind, Wanted};
use policy::rng::Rng;

use crate::work::{Keys, Work, uniform};

/// Attempts of one request, the first included.
const TRIES: usize = 3;
/// What a dead backend takes to refuse a connection.
const REFUSAL_US: f64 = 100.0;

/// A server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Server {
    /// One request after the other, in order; so many times the work.
    Queue { slowness: f64 },
    /// All requests at once, each at its share of the speed; so many times the work.
    Shared { slowness: f64 },
    /// One after the other, and the answer is so much longer on its way.
    Far { delay_us: f64 },
    /// Refuses each connection.
    Dead,
}

/// What is simulated.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) servers: Vec<Server>,
    pub(crate) work: Work,
    pub(crate) keys: Keys,
    /// Requests each second.
    pub(crate) rate: f64,
    pub(crate) requests: usize,
    pub(crate) workers: usize,
    pub(crate) seed: u64,
}

/// What came of it. The first tenth of all requests is left out, so that it is not the beginning that counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// From arrival to answer, sorted.
    pub(crate) times_us: Vec<f64>,
    /// Key and backend of each first attempt.
    pub(crate) first_attempts: Vec<(u64, usize)>,
    /// Attempts that failed.
    pub(crate) failed_attempts: usize,
    /// Requests without an answer.
    pub(crate) errors: usize,
}

impl Outcome {
    pub(crate) fn mean_ms(&self) -> f64 {
        self.times_us.iter().sum::<f64>() / self.times_us.len() as f64 / 1000.0
    }

    /// The time that `share` of all requests stay below.
    pub(crate) fn quantile_ms(&self, share: f64) -> f64 {
        let at = (self.times_us.len() as f64 * share) as usize;
        self.times_us[at.min(self.times_us.len() - 1)] / 1000.0
    }

    /// First attempts at a backend, of all.
    pub(crate) fn share_of(&self, backend: usize) -> f64 {
        let hits = self.first_attempts.iter().filter(|(_, picked)| *picked == backend).count();
        hits as f64 / self.first_attempts.len() as f64
    }

    /// Failed attempts for each request.
    pub(crate) fn failed_share(&self) -> f64 {
        self.failed_attempts as f64 / (self.times_us.len() + self.errors) as f64
    }
}

/// The backend that each of some keys has while nothing runs.
pub(crate) fn homes(kind: &PolicyKind, backends: usize, keys: impl Iterator<Item = u64>) -> Vec<usize> {
    let backends: Vec<Backend> = (0..backends).map(backend).collect();
    let mut balancer = balance::new(kind, &backends, Terms::default());
    let idle = Shared::new(backends.len());
    let mut rng = Rng::new(0);
    let mut pick = |key| balancer.pick(&mut Pick { key, tried: &[], rng: &mut rng, loads: &idle, now_ms: 0 }).unwrap();
    keys.map(&mut pick).collect()
}

/// Runs a policy through a setup.
pub(crate) fn run(kind: &PolicyKind, setup: &Setup) -> Outcome {
    let mut world = World::new(kind, setup);
    while let Some(Reverse(event)) = world.events.pop() {
        world.now_us = event.at_us();
        match event.what {
            What::Arrival => world.arrive(),
            What::Refusal { request, backend } => world.fail(request, backend),
            What::Answer { request, backend } => world.answer(request, backend),
            What::ShareDone { backend, version } => world.share_done(backend, version),
        }
    }
    world.outcome.times_us.sort_by(f64::total_cmp);
    world.outcome
}

/// What the workers share.
struct Shared {
    active: Vec<Cell<u32>>,
    latencies: Vec<Cell<Latency>>,
}

impl Shared {
    fn new(backends: usize) -> Self {
        Self { active: vec![Cell::new(0); backends], latencies: vec![Cell::default(); backends] }
    }
}

impl Loads for Shared {
    fn active(&self, backend: usize) -> u32 {
        self.active[backend].get()
    }

    fn latency_us(&self, backend: usize, now_ms: u64) -> Option<u32> {
        self.latencies[backend].get().at(now_ms)
    }
}

/// One request under way.
struct Request {
    number: usize,
    worker: usize,
    key: u64,
    work_us: f64,
    arrived_us: f64,
    attempted_us: f64,
    tried: Vec<u16>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    /// Bits of a positive float, which order as it does.
    at: u64,
    /// In order of making, so that a seed repeats itself.
    number: u64,
    what: What,
}

impl Event {
    fn at_us(&self) -> f64 {
        f64::from_bits(self.at)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Arrival,
    Refusal {
        request: usize,
        backend: usize,
    },
    Answer {
        request: usize,
        backend: usize,
    },
    /// The next request of a shared server ends, unless another came meanwhile.
    ShareDone {
        backend: usize,
        version: u64,
    },
}

/// What a server does now.
#[derive(Default)]
struct Busy {
    /// When a queue is empty.
    free_at_us: f64,
    /// Of a shared server: work that each request has got since the beginning, and when that was.
    served_us: f64,
    served_at_us: f64,
    /// Its requests by the `served_us` at which they end.
    ends: BinaryHeap<Reverse<(u64, usize)>>,
    version: u64,
}

struct World<'a> {
    setup: &'a Setup,
    rng: Rng,
    now_us: f64,
    events: BinaryHeap<Reverse<Event>>,
    made: u64,
    arrived: usize,
    workers: Vec<(Box<dyn Balancer>, Rng)>,
    shared: Shared,
    busy: Vec<Busy>,
    requests: Vec<Option<Request>>,
    free: VecDeque<usize>,
    outcome: Outcome,
}

impl<'a> World<'a> {
    fn new(kind: &PolicyKind, setup: &'a Setup) -> Self {
        let backends: Vec<Backend> = (0..setup.servers.len()).map(backend).collect();
        let worker = |seed: usize| {
            let mut balancer = balance::new(kind, &backends, Terms::seeded(seed as u64));
            (0..backends.len()).for_each(|backend| balancer.backend_changed(backend, Standing::Ready));
            (balancer, Rng::new(setup.seed ^ seed as u64))
        };
        let mut world = Self {
            setup,
            rng: Rng::new(setup.seed),
            now_us: 0.0,
            events: BinaryHeap::new(),
            made: 0,
            arrived: 0,
            workers: (0..setup.workers).map(worker).collect(),
            shared: Shared::new(backends.len()),
            busy: backends.iter().map(|_| Busy::default()).collect(),
            requests: Vec::new(),
            free: VecDeque::new(),
            outcome: Outcome::default(),
        };
        world.expect_arrival();
        world
    }

    fn schedule(&mut self, at_us: f64, what: What) {
        self.made += 1;
        self.events.push(Reverse(Event { at: at_us.to_bits(), number: self.made, what }));
    }

    fn expect_arrival(&mut self) {
        if self.arrived < self.setup.requests {
            let wait_us = -uniform(&mut self.rng).ln() / self.setup.rate * 1e6;
            self.schedule(self.now_us + wait_us, What::Arrival);
        }
    }

    fn now_ms(&self) -> u64 {
        (self.now_us / 1000.0) as u64
    }

    /// Whether a request counts: the beginning does not.
    fn counts(&self, number: usize) -> bool {
        number >= self.setup.requests / 10
    }

    fn arrive(&mut self) {
        let request = Request {
            number: self.arrived,
            worker: usize::try_from(self.rng.below(self.workers.len() as u64)).unwrap(),
            key: self.setup.keys.throw(&mut self.rng),
            work_us: self.setup.work.throw_us(&mut self.rng),
            arrived_us: self.now_us,
            attempted_us: self.now_us,
            tried: Vec::new(),
        };
        self.arrived += 1;
        let place = self.free.pop_front().unwrap_or_else(|| {
            self.requests.push(None);
            self.requests.len() - 1
        });
        self.requests[place] = Some(request);
        self.attempt(place);
        self.expect_arrival();
    }

    fn attempt(&mut self, place: usize) {
        let now_ms = self.now_ms();
        let request = self.requests[place].as_mut().unwrap();
        let (balancer, rng) = &mut self.workers[request.worker];
        let mut pick = Pick { key: request.key, tried: &request.tried, rng, loads: &self.shared, now_ms };
        let backend = balancer.pick(&mut pick).unwrap();
        self.shared.active[backend].update(|active| active + 1);
        balancer.taken(backend, &self.shared);
        request.attempted_us = self.now_us;
        request.tried.push(u16::try_from(backend).unwrap());
        let (work_us, is_first, number, key) = (request.work_us, request.tried.len() == 1, request.number, request.key);
        if is_first && self.counts(number) {
            self.outcome.first_attempts.push((key, backend));
        }
        self.serve(place, backend, work_us);
    }

    fn serve(&mut self, request: usize, backend: usize, work_us: f64) {
        let answer = What::Answer { request, backend };
        match self.setup.servers[backend] {
            Server::Dead => self.schedule(self.now_us + REFUSAL_US, What::Refusal { request, backend }),
            Server::Queue { slowness } => {
                let end_us = self.queue(backend, work_us * slowness);
                self.schedule(end_us, answer);
            }
            Server::Far { delay_us } => {
                let end_us = self.queue(backend, work_us);
                self.schedule(end_us + delay_us, answer);
            }
            Server::Shared { slowness } => {
                self.advance(backend);
                let busy = &mut self.busy[backend];
                busy.ends.push(Reverse(((busy.served_us + work_us * slowness).to_bits(), request)));
                self.expect_share(backend);
            }
        }
    }

    /// When a request ends that is put at the end of a queue.
    fn queue(&mut self, backend: usize, work_us: f64) -> f64 {
        let busy = &mut self.busy[backend];
        busy.free_at_us = busy.free_at_us.max(self.now_us) + work_us;
        busy.free_at_us
    }

    /// Gives each request of a shared server what it got since the last time.
    fn advance(&mut self, backend: usize) {
        let busy = &mut self.busy[backend];
        if !busy.ends.is_empty() {
            busy.served_us += (self.now_us - busy.served_at_us) / busy.ends.len() as f64;
        }
        busy.served_at_us = self.now_us;
    }

    fn expect_share(&mut self, backend: usize) {
        let busy = &mut self.busy[backend];
        busy.version += 1;
        let Some(Reverse((end, _))) = busy.ends.peek() else { return };
        let wait_us = (f64::from_bits(*end) - busy.served_us).max(0.0) * busy.ends.len() as f64;
        let what = What::ShareDone { backend, version: busy.version };
        self.schedule(self.now_us + wait_us, what);
    }

    fn share_done(&mut self, backend: usize, version: u64) {
        if self.busy[backend].version != version {
            return;
        }
        self.advance(backend);
        if let Some(Reverse((_, request))) = self.busy[backend].ends.pop() {
            self.answer(request, backend);
        }
        self.expect_share(backend);
    }

    /// Ends an attempt.
    fn end(&mut self, place: usize, backend: usize, evidence: Evidence) {
        let request = self.requests[place].as_ref().unwrap();
        let took_us = (self.now_us - request.attempted_us) as u64;
        let latency = self.shared.latencies[backend].get().after(evidence, took_us, self.now_ms());
        self.shared.latencies[backend].set(latency);
        self.shared.active[backend].update(|active| active - 1);
        self.workers[request.worker].0.returned(backend, &self.shared);
    }

    fn fail(&mut self, place: usize, backend: usize) {
        self.end(place, backend, Evidence::Failure);
        let request = self.requests[place].as_ref().unwrap();
        let (number, tries) = (request.number, request.tried.len());
        let counts = self.counts(number);
        self.outcome.failed_attempts += usize::from(counts);
        if tries < TRIES {
            return self.attempt(place);
        }
        self.outcome.errors += usize::from(counts);
        self.requests[place] = None;
        self.free.push_back(place);
    }

    fn answer(&mut self, place: usize, backend: usize) {
        self.end(place, backend, Evidence::Answer);
        let request = self.requests[place].take().unwrap();
        self.free.push_back(place);
        if self.counts(request.number) {
            self.outcome.times_us.push(self.now_us - request.arrived_us);
        }
    }
}

fn backend(index: usize) -> Backend {
    let name = format!("b{index}");
    Backend {
        address: Address::Name(name.clone(), 80),
        name,
        weight: 1,
        tier: 0,
        max_requests: None,
        caps: Caps::default(),
        tls: false,
        http2: false,
        state: Wanted::Ready,
    }
}
