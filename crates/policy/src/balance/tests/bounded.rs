//! The bound on loads of `hash` and `maglev`.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::rng::Rng;

/// ⌈1.25 · (running + 1) · weight / weights⌉.
fn most(running: u32, weight: u32, weights: &[u32]) -> u32 {
    let total: u32 = weights.iter().sum();
    (125 * (running + 1) * weight).div_ceil(100 * total)
}

/// Workers that share the running requests.
fn workers(kind: &PolicyKind, count: u64, weights: &[u32]) -> Vec<Worker> {
    let requests: Rc<Requests> = Rc::default();
    let worker = |seed| {
        let mut worker = Worker::ready(kind.clone(), weights, seed);
        worker.requests = Rc::clone(&requests);
        worker
    };
    (0..count).map(worker).collect()
}

#[derive(Clone, Debug)]
enum Step {
    /// A request of this client begins.
    Begin(u32),
    End(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    // Few clients, some of them hot.
    prop_oneof![3 => (0u32..4).prop_map(Step::Begin), 2 => (0u32..100).prop_map(Step::Begin), 3 => any::<prop::sample::Index>().prop_map(Step::End)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn nobody_takes_more_than_the_bound_allows(
        weights in prop::collection::vec(1u32..6, 1..20), steps in prop::collection::vec(step(), 0..300),
    ) {
        for kind in [BOUNDED, BOUNDED_MAGLEV] {
            let mut worker = Worker::ready(kind, &weights, 1);
            let mut running = Vec::new();
            for step in &steps {
                match step {
                    Step::Begin(number) => {
                        let picked = worker.pick_for(client(*number), &[]).unwrap();
                        let most = most(u32::try_from(running.len()).unwrap(), weights[picked], &weights);
                        prop_assert!(worker.requests.get(picked) < most);
                        worker.take(picked);
                        running.push(picked);
                    }
                    Step::End(index) if !running.is_empty() => {
                        worker.end(running.swap_remove(index.index(running.len())));
                    }
                    Step::End(_) => {}
                }
            }
        }
    }

    #[test]
    fn below_the_bound_a_key_is_where_it_would_be_without(weights in prop::collection::vec(1u32..6, 2..20)) {
        for (bounded, free) in [(BOUNDED, HASH), (BOUNDED_MAGLEV, MAGLEV)] {
            let (mut bounded, mut free) = (Worker::ready(bounded, &weights, 1), Worker::ready(free, &weights, 1));
            for number in 0..100 {
                prop_assert_eq!(bounded.pick_for(client(number), &[]), free.pick_for(client(number), &[]));
            }
        }
    }
}

/// One key that all requests have spreads as far as it must, and no further: always over the same stand-ins.
#[test]
fn a_hot_key_fills_its_backends_one_after_the_other() {
    let spread = |seed| {
        let mut worker = Worker::ready(BOUNDED, &[1; 10], seed);
        let picks = (0..1000).map(|_| {
            let picked = worker.pick_for(client(7), &[]).unwrap();
            worker.take(picked);
            picked
        });
        let picks: Vec<_> = picks.collect();
        (picks, (0..10).map(|backend| worker.requests.get(backend)).collect::<Vec<_>>())
    };
    let (picks, loads) = spread(1);
    assert!(loads.iter().all(|load| *load <= 125 + 1), "{loads:?}");
    assert_eq!(
        loads.iter().filter(|load| **load >= 120).count(),
        8,
        "eight of ten at the bound hold it all: {loads:?}"
    );
    assert_eq!(picks, spread(2).0);
}

/// What a full backend cannot take goes to all others, not to one of them.
#[test]
fn keys_of_a_full_backend_are_spread() {
    let mut worker = Worker::ready(BOUNDED, &[1; 10], 1);
    for backend in 0..10 {
        worker.requests.set(backend, if backend == 3 { 100 } else { 20 });
    }
    let mut taken: BTreeMap<usize, u32> = BTreeMap::new();
    let mut free = Worker::ready(HASH, &[1; 10], 1);
    for number in 0..5000 {
        if free.pick_for(client(number), &[]) == Some(3) {
            *taken.entry(worker.pick_for(client(number), &[]).unwrap()).or_default() += 1;
        }
    }
    assert_eq!(taken.len(), 9, "{taken:?}");
    assert!(taken.values().all(|taken| *taken > 20), "{taken:?}");
}

/// Workers know of each other by reading a few loads at each pick: the bound is that of the sum they see.
#[test]
fn four_workers_keep_the_bound_together() {
    for backends in [8, 100] {
        let weights = vec![1; backends];
        let mut workers = workers(&BOUNDED, 4, &weights);
        let (mut rng, mut running, mut excess) = (Rng::new(1), Vec::new(), 0);
        for _ in 0..20_000 {
            let worker = usize::try_from(rng.below(4)).unwrap();
            if running.len() >= 400 {
                let index = usize::try_from(rng.below(running.len() as u64)).unwrap();
                let (worker, picked): (usize, usize) = running.swap_remove(index);
                workers[worker].end(picked);
            }
            let number = u32::try_from(rng.below(30)).unwrap();
            let picked = workers[worker].pick_for(client(number), &[]).unwrap();
            let most = most(u32::try_from(running.len()).unwrap(), 1, &weights);
            workers[worker].take(picked);
            excess = excess.max(workers[0].requests.get(picked).saturating_sub(most));
            running.push((worker, picked));
        }
        // Eight are all read at each pick; of a hundred the sum is up to 13 picks old.
        assert!(excess <= if backends == 8 { 0 } else { 1 }, "{excess} above the bound of {backends} backends");
    }
}

#[test]
fn a_retry_goes_to_a_full_backend_rather_than_nowhere() {
    let mut worker = Worker::ready(BOUNDED, &[1, 1], 1);
    worker.requests.set(0, 0);
    worker.requests.set(1, 100);
    assert_eq!(worker.pick_but(&[0]), Some(1));
}

/// All are weighed only when all places of a key are full.
#[test]
fn a_pick_among_a_thousand_reads_few_loads() {
    let mut worker = Worker::ready(BOUNDED, &[1; 1000], 1);
    worker.pick();
    worker.requests.drain_reads();
    let (mut reads, mut whole) = (0, 0);
    for number in 0..3000 {
        let picked = worker.pick_for(client(number), &[]).unwrap();
        let read = worker.requests.drain_reads().len();
        reads += read;
        whole += u32::from(read > 8 + 17);
        worker.take(picked);
    }
    assert!(reads < 3000 * 20, "{reads} reads by 3,000 picks");
    assert!(whole < 10, "{whole} weighed all");
}
