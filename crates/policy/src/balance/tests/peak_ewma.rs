//! Costs and shares of `peak-ewma`.

use proptest::prelude::*;

use super::*;

const KIND: PolicyKind = PolicyKind::PeakEwma;

/// A worker at `now_ms` whose backends have just answered, each in so many microseconds.
fn answered(us: &[u64], now_ms: u64) -> Worker {
    let mut worker = Worker::ready(KIND, &vec![1; us.len()], 1);
    worker.now_ms = now_ms;
    for (backend, us) in us.iter().enumerate() {
        worker.requests.note(backend, (Evidence::Answer, *us), now_ms);
    }
    worker
}

/// One request after the other, one a millisecond, each answered in its backend's time; how many went to each.
fn sequence(worker: &mut Worker, us: &[u64], requests: usize) -> Vec<usize> {
    let mut hits = vec![0; us.len()];
    for _ in 0..requests {
        let picked = worker.pick().unwrap();
        worker.take(picked);
        worker.requests.note(picked, (Evidence::Answer, us[picked]), worker.now_ms);
        worker.end(picked);
        worker.now_ms += 1;
        hits[picked] += 1;
    }
    hits
}

proptest! {
    #[test]
    fn of_two_backends_the_dearer_is_never_picked(
        backends in prop::collection::vec((1u32..20, 0u32..100, 1u64..1_000_000), 2..=2), seed: u64,
    ) {
        let weights: Vec<_> = backends.iter().map(|(weight, ..)| *weight).collect();
        let mut worker = Worker::ready(KIND, &weights, seed);
        for (backend, (_, active, us)) in backends.iter().enumerate() {
            worker.requests.set(backend, *active);
            worker.requests.note(backend, (Evidence::Answer, *us), 0);
        }
        let cost = |backend: usize| {
            let (weight, active, us) = backends[backend];
            us * u64::from(active + weight) * u64::from(backends[1 - backend].0)
        };
        for _ in 0..20 {
            let picked = worker.pick().unwrap();
            prop_assert!(cost(picked) <= cost(1 - picked));
        }
    }

    #[test]
    fn the_one_dearest_backend_is_never_picked(
        us in prop::collection::vec(1u64..5_000, 2..30), dearest in any::<prop::sample::Index>(), seed: u64,
    ) {
        let dearest = dearest.index(us.len());
        let mut worker = Worker::ready(KIND, &vec![1; us.len()], seed);
        for (backend, us) in us.iter().enumerate() {
            worker.requests.note(backend, (Evidence::Answer, if backend == dearest { 5_000 } else { *us }), 0);
        }
        for _ in 0..20 {
            prop_assert_ne!(worker.pick(), Some(dearest));
        }
    }
}

#[test]
fn without_latencies_running_requests_decide_by_weight() {
    let weights = [1, 2, 3, 4];
    let mut worker = Worker::ready(KIND, &weights, 3);
    let mut hits = [0u32; 4];
    for _ in 0..10_000 {
        let picked = worker.pick().unwrap();
        worker.take(picked);
        hits[picked] += 1;
    }
    for (hits, weight) in hits.iter().zip(weights) {
        assert!(hits.abs_diff(weight * 1000) <= 20, "{hits} for {weight}");
    }
}

#[test]
fn a_backend_ten_times_slower_is_left_within_a_hundred_requests_and_found_again_within_its_decay() {
    let (equal, slow) = ([1_000; 10], [1_000, 1_000, 1_000, 10_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000]);
    let mut worker = answered(&equal, 1_000_000);
    let before = sequence(&mut worker, &equal, 2_000);
    assert!(before[3] > 100, "all are equal: {before:?}");

    sequence(&mut worker, &slow, 100);
    let left = sequence(&mut worker, &slow, 10_000);
    assert_eq!(left[3], 0, "{left:?}");

    // Slow for a minute: tried again each time that ten times as slow has become as fast, which takes 23 s.
    let tried = sequence(&mut worker, &slow, 60_000);
    assert!((2..=4).contains(&tried[3]), "{tried:?}");

    // Fast again: the next trial finds it, and it has its share at once.
    sequence(&mut worker, &equal, 24_000);
    let back = sequence(&mut worker, &equal, 10_000);
    assert!(back[3].abs_diff(1_000) < 200, "{back:?}");
}

#[test]
fn a_slow_backend_still_helps_when_the_others_are_busy() {
    let mut worker = answered(&[1_000, 10_000], 0);
    let picks: Vec<_> = (0..22)
        .map(|_| {
            let picked = worker.pick().unwrap();
            worker.take(picked);
            picked
        })
        .collect();
    assert_eq!(picks.iter().filter(|picked| **picked == 1).count(), 2, "one in eleven: {picks:?}");
    assert!(!picks[..9].contains(&1), "{picks:?}");
}

#[test]
fn idle_backends_that_are_equally_fast_are_thrown_by_weight() {
    for weights in [vec![1, 2, 3, 4], vec![1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4]] {
        let mut worker = Worker::ready(KIND, &weights, 3);
        let mut hits = vec![0; weights.len()];
        for _ in 0..100_000 {
            hits[worker.pick().unwrap()] += 1;
        }
        assert_shares(&hits, &weights);
    }
}

/// Among few, two bad ones cannot be thrown together.
#[test]
fn in_a_small_pool_all_are_compared() {
    let mut worker = answered(&[50_000, 1_000, 100_000, 60_000], 0);
    assert!((0..100).all(|_| worker.pick() == Some(1)));
    assert!((0..100).all(|_| worker.pick_but(&[1]) == Some(0)));
    // A new one counts as the fastest until it has something to do.
    worker.requests.latencies.borrow_mut()[2] = Latency::default();
    worker.requests.set(1, 1);
    assert!((0..100).all(|_| worker.pick() == Some(2)));
    worker.requests.set(2, 2);
    assert!((0..100).all(|_| worker.pick() == Some(1)));
}

#[test]
fn a_new_backend_is_neither_starved_nor_flooded() {
    let mut worker = answered(&[1_000; 10], 0);
    worker.requests.latencies.borrow_mut()[4] = Latency::default();
    let mut hits = [0; 10];
    // Nothing is answered meanwhile.
    for _ in 0..100 {
        let picked = worker.pick().unwrap();
        worker.take(picked);
        hits[picked] += 1;
    }
    assert!((8..=12).contains(&hits[4]), "{hits:?}");
}

#[test]
fn a_backend_that_fails_fast_is_left_after_a_few_failures() {
    for proven in [false, true] {
        let mut worker = answered(&[1_000; 5], 0);
        if !proven {
            worker.requests.latencies.borrow_mut()[2] = Latency::default();
        }
        let mut failed = 0;
        for _ in 0..20_000 {
            worker.now_ms += 1;
            let picked = worker.pick().unwrap();
            let evidence = if picked == 2 { (Evidence::Failure, 50) } else { (Evidence::Answer, 1_000) };
            failed += u32::from(picked == 2);
            worker.requests.note(picked, evidence, worker.now_ms);
        }
        assert!(failed <= if proven { 6 } else { 3 }, "{failed} failures, proven {proven}");
    }
}

#[test]
fn a_pick_among_a_thousand_reads_two_loads() {
    let mut worker = answered(&[1_000; 1000], 0);
    for _ in 0..1000 {
        worker.requests.drain_reads();
        let picked = worker.pick().unwrap();
        assert_eq!(worker.requests.drain_reads().len(), 2);
        worker.take(picked);
    }
}
