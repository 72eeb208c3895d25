//! Loads and shares of `power-of-two`.

use proptest::prelude::*;

use super::*;

const KIND: PolicyKind = PolicyKind::PowerOfTwo;

proptest! {
    #[test]
    fn of_two_backends_the_more_loaded_is_never_picked(
        backends in prop::collection::vec((1u32..20, 0u32..100), 2..=2), seed: u64,
    ) {
        let weights: Vec<_> = backends.iter().map(|(weight, _)| *weight).collect();
        let mut worker = Worker::ready(KIND, &weights, seed);
        for (backend, (_, active)) in backends.iter().enumerate() {
            worker.requests.set(backend, *active);
        }
        let load = |backend: usize| backends[backend].1 * backends[1 - backend].0;
        for _ in 0..20 {
            let picked = worker.pick().unwrap();
            prop_assert!(load(picked) <= load(1 - picked));
        }
    }

    #[test]
    fn the_one_most_loaded_backend_is_never_picked(
        active in prop::collection::vec(0u32..50, 2..30), busiest in any::<prop::sample::Index>(), seed: u64,
    ) {
        let busiest = busiest.index(active.len());
        let mut worker = Worker::ready(KIND, &vec![1; active.len()], seed);
        for (backend, active) in active.iter().enumerate() {
            worker.requests.set(backend, if backend == busiest { 50 } else { *active });
        }
        for _ in 0..20 {
            prop_assert_ne!(worker.pick(), Some(busiest));
        }
    }
}

#[test]
fn idle_backends_are_thrown_by_weight() {
    let weights = [1, 2, 3, 4];
    let mut worker = Worker::ready(KIND, &weights, 3);
    let mut hits = [0; 4];
    for _ in 0..100_000 {
        hits[worker.pick().unwrap()] += 1;
    }
    assert_shares(&hits, &weights);
}

#[test]
fn a_pick_among_a_thousand_reads_two_loads() {
    let mut worker = Worker::ready(KIND, &[2; 1000], 3);
    for _ in 0..1000 {
        worker.requests.drain_reads();
        let picked = worker.pick().unwrap();
        assert_eq!(worker.requests.drain_reads().len(), 2);
        worker.take(picked);
    }
}
