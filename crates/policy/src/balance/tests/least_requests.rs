//! The staleness bound, turns and cost of `least-requests`.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::rng::Rng;

const KIND: PolicyKind = PolicyKind::LeastRequests;

/// What the documentation promises: loads read anew at each pick, and tops read at each pick.
const REFRESHED: usize = 8;
const CORRECTED: usize = 8;

/// Running requests by weight.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Load(f64);

/// What happened between two picks of a worker.
struct Interval {
    /// The greatest load of each backend.
    most: Vec<Load>,
    /// Requests that other workers began.
    begun_elsewhere: u32,
}

/// Workers that share the running requests.
struct Process {
    weights: Vec<u32>,
    workers: Vec<Worker>,
    requests: Rc<Requests>,
    /// For each worker what happened since each of its last picks, the newest last.
    past: Vec<VecDeque<Interval>>,
    /// Worker and backend of each running request.
    running: Vec<(usize, usize)>,
}

impl Process {
    fn new(workers: u64, weights: Vec<u32>) -> Self {
        let requests: Rc<Requests> = Rc::default();
        let worker = |seed| {
            let mut worker = Worker::ready(KIND, &weights, seed);
            worker.requests = Rc::clone(&requests);
            worker
        };
        let workers: Vec<_> = (0..workers).map(worker).collect();
        let past = workers.iter().map(|_| VecDeque::new()).collect();
        Self { weights, workers, requests, past, running: Vec::new() }
    }

    fn load(&self, backend: usize) -> Load {
        Load(f64::from(self.requests.get(backend)) / f64::from(self.weights[backend]))
    }

    /// Picks and begins a request; checks the pick against the documented bound.
    fn begin(&mut self, worker: usize) {
        let picked = self.workers[worker].pick().unwrap();
        let window = self.weights.len().div_ceil(REFRESHED);
        if self.past[worker].len() >= window {
            let begun: u32 = self.past[worker].iter().map(|interval| interval.begun_elsewhere).sum();
            let most = |backend: usize| {
                let past = self.past[worker].iter().map(|interval| interval.most[backend].0);
                past.fold(self.load(backend).0, f64::max)
            };
            let least = (0..self.weights.len()).map(most).fold(f64::INFINITY, f64::min);
            let bound = least + f64::from(begun) / CORRECTED as f64;
            assert!(self.load(picked).0 <= bound, "{picked} at {:?}, but the bound is {bound}", self.load(picked));
            self.past[worker].pop_front();
        }
        let most = (0..self.weights.len()).map(|backend| self.load(backend)).collect();
        self.past[worker].push_back(Interval { most, begun_elsewhere: 0 });
        self.workers[worker].take(picked);
        self.running.push((worker, picked));
        for (other, past) in self.past.iter_mut().enumerate() {
            if let Some(interval) = past.back_mut().filter(|_| other != worker) {
                interval.begun_elsewhere += 1;
            }
        }
        self.note(picked);
    }

    fn end(&mut self, request: usize) {
        let (worker, backend) = self.running.swap_remove(request);
        self.workers[worker].end(backend);
    }

    fn note(&mut self, backend: usize) {
        let load = self.load(backend);
        for interval in self.past.iter_mut().filter_map(VecDeque::back_mut) {
            interval.most[backend].0 = interval.most[backend].0.max(load.0);
        }
    }
}

/// One step of a process: a worker begins a request, or one of the running requests ends.
#[derive(Clone, Debug)]
enum Step {
    Begin(usize),
    End(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0usize..4).prop_map(Step::Begin),
        4 => any::<prop::sample::Index>().prop_map(Step::End),
    ]
}

proptest! {
    #[test]
    fn four_workers_keep_within_the_bound(
        weights in prop::collection::vec(1u32..6, 1..60),
        steps in prop::collection::vec(step(), 1..600),
    ) {
        let mut process = Process::new(4, weights);
        for step in steps {
            match step {
                Step::Begin(worker) => process.begin(worker),
                Step::End(request) if !process.running.is_empty() => process.end(request.index(process.running.len())),
                Step::End(_) => {}
            }
        }
    }

    /// Nothing is stale where nobody else acts.
    #[test]
    fn one_worker_always_picks_the_least(
        weights in prop::collection::vec(1u32..6, 1..60),
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let mut process = Process::new(1, weights);
        for step in steps {
            match step {
                Step::Begin(_) => {
                    let least = (0..process.weights.len()).map(|backend| process.load(backend).0);
                    let least = least.fold(f64::INFINITY, f64::min);
                    let before: Vec<_> = (0..process.weights.len()).map(|backend| process.load(backend)).collect();
                    process.begin(0);
                    let (_, picked) = *process.running.last().unwrap();
                    prop_assert_eq!(before[picked], Load(least));
                }
                Step::End(request) if !process.running.is_empty() => process.end(request.index(process.running.len())),
                Step::End(_) => {}
            }
        }
    }
}

#[test]
fn when_all_that_was_seen_is_wrong_the_least_of_those_read_is_picked() {
    for seed in 0..20 {
        let mut worker = Worker::ready(KIND, &[1; 100], seed);
        worker.pick();
        let mut rng = Rng::new(seed);
        for backend in 0..100 {
            worker.requests.set(backend, 10 + u32::try_from(rng.below(1000)).unwrap());
        }
        worker.requests.drain_reads();
        let picked = worker.pick().unwrap();
        let reads = worker.requests.drain_reads();
        assert_eq!(reads.len(), REFRESHED + CORRECTED);
        let least = reads[REFRESHED..].iter().map(|backend| worker.requests.get(*backend)).min();
        assert_eq!(Some(worker.requests.get(picked)), least);
    }
}

/// Each member is read in its turn, also when members before it come and go.
#[test]
fn changes_of_members_leave_nobody_unread() {
    let mut worker = Worker::ready(KIND, &[1; 100], 1);
    worker.pick();
    worker.requests.drain_reads();
    for pick in 0..14 {
        worker.set(pick / 2, if pick % 2 == 0 { Standing::Excluded } else { Standing::Ready });
        worker.pick();
    }
    let read: BTreeSet<_> = worker.requests.drain_reads().into_iter().collect();
    assert!((0..100).all(|backend| read.contains(&backend)), "{read:?}");
    for backend in 1..100 {
        worker.set(backend, Standing::Excluded);
        let picked = worker.pick().unwrap();
        assert!(picked == 0 || picked > backend);
    }
}

/// A backend that others emptied is found within the documented number of picks.
#[test]
fn what_others_end_is_seen_in_time() {
    let mut worker = Worker::ready(KIND, &[1; 100], 1);
    for backend in 0..100 {
        worker.requests.set(backend, 1000);
    }
    worker.pick();
    worker.requests.set(57, 3);
    let found = (0..100usize.div_ceil(REFRESHED)).any(|_| worker.pick() == Some(57));
    assert!(found);
}

#[test]
fn idle_backends_take_turns_by_weight() {
    let weights = [1, 2, 4, 1];
    let mut worker = Worker::ready(KIND, &weights, 3);
    let mut hits = [0u32; 4];
    for _ in 0..8_000 {
        let picked = worker.pick().unwrap();
        worker.take(picked);
        worker.end(picked);
        hits[picked] += 1;
    }
    for (hits, weight) in hits.iter().zip(weights) {
        assert!(hits.abs_diff(weight * 1000) <= 10, "{hits} for {weight}");
    }
}

#[test]
fn cold_workers_do_not_all_begin_with_one_backend() {
    let starts: BTreeSet<_> = (0..32).map(|seed| Worker::ready(KIND, &[1; 50], seed).pick()).collect();
    assert!(starts.len() > 16, "{starts:?}");
}

#[test]
fn a_backend_that_returns_is_read_and_not_believed_idle() {
    let mut worker = Worker::ready(KIND, &[1; 30], 1);
    worker.requests.set(3, 900);
    worker.set(3, Standing::Out);
    worker.pick();
    worker.set(3, Standing::Ready);
    for _ in 0..100 {
        let picked = worker.pick().unwrap();
        worker.take(picked);
        assert_ne!(picked, 3);
    }
}

#[test]
fn a_pick_among_a_thousand_reads_few_loads() {
    let mut process = Process::new(4, vec![1; 1000]);
    for worker in &mut process.workers {
        worker.pick();
    }
    for turn in 0..4000 {
        // One worker sleeps while the others fill the pool; then all it knows is wrong.
        let worker = &mut process.workers[if turn < 3000 { turn % 3 } else { 3 }];
        process.requests.drain_reads();
        let picked = worker.pick().unwrap();
        assert!(process.requests.drain_reads().len() <= REFRESHED + CORRECTED);
        worker.take(picked);
    }
}
