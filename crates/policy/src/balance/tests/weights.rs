//! Backends that get a part of their weight, under every policy.

use super::*;

/// Of so many picks, each of another client, none of which ever ends.
fn hits(worker: &mut Worker, picks: u32) -> [u32; 3] {
    let mut hits = [0; 3];
    for number in 0..picks {
        let backend = worker.pick_for(client(number * 7), &[]).unwrap();
        worker.take(backend);
        hits[backend] += 1;
    }
    hits
}

#[test]
fn a_part_of_the_weight_brings_that_part_of_the_work() {
    for kind in KINDS.into_iter().filter(|kind| *kind != PolicyKind::First) {
        for permille in [50u16, 250, 500, 950] {
            let mut worker = Worker::ready(kind.clone(), &[1, 1, 2], 5);
            worker.balancer.weight_changed(0, permille);
            let hits = hits(&mut worker, 100_000);
            let fair = 100_000.0 * f64::from(permille) / (3000.0 + f64::from(permille));
            let got = f64::from(hits[0]);
            assert!((got - fair).abs() <= fair * 0.1 + 30.0, "{}: {hits:?} at {permille}", kind.name());
            let ratio = f64::from(hits[2]) / f64::from(hits[1]);
            assert!((1.9..2.1).contains(&ratio), "{}: {hits:?} at {permille}", kind.name());
        }
    }
}

#[test]
fn the_first_is_passed_over_by_its_part() {
    let mut worker = Worker::ready(PolicyKind::First, &[1, 1, 1], 5);
    worker.balancer.weight_changed(0, 250);
    let hits = hits(&mut worker, 10_000);
    assert!(hits[0].abs_diff(2500) < 250 && hits[2] == 0, "{hits:?}");
    // Where all have a part, the first is as good as any.
    for backend in 1..3 {
        worker.balancer.weight_changed(backend, 1);
    }
    assert!(worker.pick().is_some());
}

#[test]
fn a_weight_that_is_whole_again_leaves_no_trace() {
    for kind in KINDS {
        let mut worker = Worker::ready(kind.clone(), &[1, 1, 1], 5);
        for permille in (50..=1000).step_by(50) {
            worker.balancer.weight_changed(0, permille);
            worker.pick();
        }
        let mut fresh = Worker::ready(kind.clone(), &[1, 1, 1], 5);
        let (seen, wanted) = (hits(&mut worker, 3000), hits(&mut fresh, 3000));
        for (seen, wanted) in seen.iter().zip(wanted) {
            assert!(seen.abs_diff(wanted) <= 150, "{}: {seen} for {wanted}", kind.name());
        }
    }
}

/// Ten picks between two steps, as a quiet worker has them.
#[test]
fn many_small_steps_keep_the_shares_of_a_ramp() {
    for kind in [PolicyKind::RoundRobin, PolicyKind::Random, PolicyKind::LeastRequests, PolicyKind::PowerOfTwo] {
        let mut worker = Worker::ready(kind.clone(), &[1, 1, 1], 5);
        let mut sums = [0u32; 4];
        let mut fair = [0f64; 4];
        for step in 0..4000u32 {
            let permille = 50 + u16::try_from(step * 950 / 4000).unwrap();
            worker.balancer.weight_changed(0, permille);
            let quarter = usize::try_from(step / 1000).unwrap();
            for _ in 0..10 {
                let backend = worker.pick().unwrap();
                worker.take(backend);
                worker.end(backend);
                sums[quarter] += u32::from(backend == 0);
            }
            fair[quarter] += 10.0 * f64::from(permille) / (2000.0 + f64::from(permille));
        }
        for (sum, fair) in sums.iter().zip(fair) {
            let off = f64::from(*sum) / fair;
            assert!((0.85..1.15).contains(&off), "{}: {sums:?}, fair {fair:.0}", kind.name());
        }
        assert!(sums.windows(2).all(|pair| pair[0] < pair[1]), "{}: {sums:?}", kind.name());
    }
}

#[test]
fn a_client_moves_only_to_what_grows_and_from_what_shrinks() {
    let owners = |worker: &mut Worker| -> Vec<usize> {
        (0..5000).map(|number| worker.pick_for(client(number), &[]).unwrap()).collect()
    };
    let mut worker = Worker::ready(PolicyKind::IpHash, &[1, 1, 1], 5);
    worker.balancer.weight_changed(0, 50);
    let mut before = owners(&mut worker);
    for permille in [100, 300, 700, 1000] {
        worker.balancer.weight_changed(0, permille);
        let after = owners(&mut worker);
        let moved: Vec<_> = before.iter().zip(&after).filter(|(old, new)| old != new).collect();
        assert!(!moved.is_empty() && moved.iter().all(|(_, new)| **new == 0), "{permille}");
        before = after;
    }
    assert_eq!(before, owners(&mut Worker::ready(PolicyKind::IpHash, &[1, 1, 1], 9)));
    worker.balancer.weight_changed(0, 400);
    let after = owners(&mut worker);
    assert!(before.iter().zip(&after).all(|(old, new)| old == new || *old == 0));
}
